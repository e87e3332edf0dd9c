// Package arch holds the rules of DESIGN section 3 as tests: who may import
// whom, and a few things that no file may do. A new package needs a row here,
// so that its place in the house has been thought about.
package arch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hedgerow/internal/crds"
)

const (
	module = "hedgerow"
	root   = "../.."
)

// anything in a row means: every package of ours.
const anything = "..."

// arrows are the packages of ours, and which of them each may import besides
// the vocabulary (the root), which is everybody's. Tests may import what they
// like.
var arrows = map[string][]string{
	"cmd/hedgerow": {anything},

	"internal/arch":     {},
	"internal/auth":     {},
	"internal/config":   {},
	"internal/crds":     {},
	"internal/diff":     {},
	"internal/httpd":    {},
	"internal/jobs":     {"internal/syncer"},
	"internal/kinds":    {"internal/crds"},
	"internal/kube":     {"internal/kinds", "internal/manifest"},
	"internal/live":     {},
	"internal/manifest": {},
	"internal/store":    {},
	"internal/syncer":   {"internal/diff", "internal/wiring"},
	"internal/view":     {},
	"internal/web":      {"internal/auth", "internal/view"},
	"internal/wiring":   {},

	// What tests stand on.
	"internal/pgtest": {},
	"e2e":             {},
	"e2e/lab":         {},
	"e2e/wire":        {},
}

// kept are modules that only some packages may import.
var kept = []struct {
	prefix string
	by     []string
	but    map[string][]string // package: imports that it may have all the same
	why    string
}{
	{"k8s.io/", []string{"internal/kube"}, map[string][]string{
		"internal/view": {"k8s.io/client-go/util/jsonpath"},
		"cmd/hedgerow":  {"k8s.io/apimachinery/pkg/labels"},
	}, "only internal/kube speaks to a cluster"},
	{"modernc.org/sqlite", []string{"internal/store"}, nil, "only internal/store imports database drivers"},
	{"github.com/mattn/go-sqlite3", []string{"internal/store"}, nil, "only internal/store imports database drivers"},
	{"github.com/lib/pq", []string{"internal/store"}, nil, "only internal/store imports database drivers"},
	{"github.com/jackc/pgx", []string{"internal/store", "internal/pgtest"}, map[string][]string{
		"internal/jobs": {"github.com/jackc/pgx/v5", "github.com/jackc/pgx/v5/pgxpool"}, // the types by which River takes a pool
	}, "only internal/store imports database drivers"},
	{"github.com/pressly/goose", []string{"internal/store"}, nil, "only internal/store knows how the record is laid out"},
	{"github.com/alexedwards/argon2id", []string{"internal/auth"}, nil, "only internal/auth knows how passwords are kept"},
	{"github.com/chromedp/", []string{"e2e/lab"}, nil, "browsers are for tests"},
	{"github.com/prometheus/", []string{"internal/httpd"}, nil, "only internal/httpd knows Prometheus"},
}

// pkg is what these tests read of `go list -json`.
type pkg struct {
	ImportPath, Name, Dir   string
	GoFiles, IgnoredGoFiles []string
	Deps                    []string
	Standard                bool
}

// place is the path of a package inside the module, "." for the root.
func (p pkg) place() string {
	if p.ImportPath == module {
		return "."
	}
	return strings.TrimPrefix(p.ImportPath, module+"/")
}

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Name,Dir,GoFiles,IgnoredGoFiles,Deps,Standard", "./...")
	cmd.Dir = root
	var problems strings.Builder
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, problems.String())
	}
	var all []pkg
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// eachFile calls fn with every file of p that is no test.
func eachFile(t *testing.T, p pkg, fn func(name string, fset *token.FileSet, f *ast.File)) {
	t.Helper()
	for _, name := range slices.Concat(p.GoFiles, p.IgnoredGoFiles) {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		fn(filepath.Join(p.place(), name), fset, f)
	}
}

// broken says which rule an import breaks, "" for none.
func broken(place, path string) string {
	if ours, ok := strings.CutPrefix(path, module+"/"); ok {
		row := arrows[place]
		switch {
		case place == ".":
			return "the root imports the standard library only"
		case slices.Contains(row, anything), slices.Contains(row, ours):
			return ""
		case len(row) == 0:
			return place + " imports none of our packages but the root"
		}
		return fmt.Sprintf("%s imports of our packages only the root, %s", place, strings.Join(row, ", "))
	}
	if first, _, _ := strings.Cut(path, "/"); place == "." && path != module && strings.Contains(first, ".") {
		return "the root imports the standard library only"
	}
	for _, k := range kept {
		if strings.HasPrefix(path, k.prefix) && !slices.Contains(k.by, place) && !slices.Contains(k.but[place], path) {
			return k.why
		}
	}
	return ""
}

func TestArrows(t *testing.T) {
	found := map[string]bool{}
	for _, p := range packages(t) {
		place := p.place()
		found[place] = true
		if _, ok := arrows[place]; !ok && place != "." {
			t.Errorf("%s has no row in internal/arch: decide what it may import", place)
			continue
		}
		eachFile(t, p, func(name string, _ *token.FileSet, f *ast.File) {
			for _, spec := range f.Imports {
				path, err := strconv.Unquote(spec.Path.Value)
				if err != nil {
					t.Fatal(err)
				}
				if rule := broken(place, path); rule != "" {
					t.Errorf("%s imports %s, but %s", name, path, rule)
				}
			}
		})
		if kube, store := slices.Contains(p.Deps, module+"/internal/kube"), slices.Contains(p.Deps, module+"/internal/store"); kube && store && !strings.HasPrefix(place, "cmd/") {
			t.Errorf("%s depends on both internal/kube and internal/store, but only cmd knows that both exist", place)
		}
	}
	for place := range arrows {
		if !found[place] {
			t.Errorf("%s has a row in internal/arch, but there is no such package", place)
		}
	}
}

// The rules catch what they are for.
func TestRulesCatch(t *testing.T) {
	for _, tc := range []struct{ place, path, want string }{
		{".", "fmt", ""},
		{".", "github.com/google/go-cmp/cmp", "the root imports the standard library only"},
		{".", "hedgerow/internal/crds", "the root imports the standard library only"},
		{"internal/diff", "hedgerow", ""},
		{"internal/diff", "hedgerow/internal/kinds", "internal/diff imports none of our packages but the root"},
		{"internal/syncer", "hedgerow/internal/diff", ""},
		{"internal/syncer", "hedgerow/internal/store", "internal/syncer imports of our packages only the root, internal/diff, internal/wiring"},
		{"cmd/hedgerow", "hedgerow/internal/store", ""},
		{"cmd/hedgerow", "k8s.io/apimachinery/pkg/labels", ""},
		{"cmd/hedgerow", "k8s.io/client-go/rest", "only internal/kube speaks to a cluster"},
		{"internal/view", "k8s.io/client-go/util/jsonpath", ""},
		{"internal/view", "k8s.io/client-go/rest", "only internal/kube speaks to a cluster"},
		{"internal/kube", "k8s.io/client-go/rest", ""},
		{"internal/syncer", "modernc.org/sqlite", "only internal/store imports database drivers"},
		{"internal/jobs", "hedgerow/internal/syncer", ""},
		{"internal/jobs", "hedgerow/internal/store", "internal/jobs imports of our packages only the root, internal/syncer"},
		{"internal/jobs", "github.com/jackc/pgx/v5/pgxpool", ""},
		{"internal/jobs", "github.com/jackc/pgx/v5/stdlib", "only internal/store imports database drivers"},
		{"internal/live", "hedgerow/internal/store", "internal/live imports none of our packages but the root"},
		{"internal/config", "github.com/jackc/pgx/v5/stdlib", "only internal/store imports database drivers"},
		{"internal/httpd", "github.com/prometheus/client_golang/prometheus", ""},
		{"internal/jobs", "github.com/prometheus/client_golang/prometheus", "only internal/httpd knows Prometheus"},
		{"internal/httpd", "hedgerow/internal/jobs", "internal/httpd imports none of our packages but the root"},
	} {
		if diff := cmp.Diff(tc.want, broken(tc.place, tc.path)); diff != "" {
			t.Errorf("%s importing %s (-want +got):\n%s", tc.place, tc.path, diff)
		}
	}
}

// kindNames are the names of the kinds that we know.
func kindNames(t *testing.T) map[string]bool {
	t.Helper()
	docs, err := crds.All()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{"Fabricator": true, "ControlNode": true, "FabNode": true}
	kind := regexp.MustCompile(`(?m)^    kind: (\w+)$`)
	for _, d := range docs {
		m := kind.FindSubmatch(d)
		if m == nil {
			t.Fatalf("no kind in %.60s", d)
		}
		names[string(m[1])] = true
	}
	if len(names) != 25 {
		t.Fatalf("%d kinds", len(names))
	}
	return names
}

// Kinds are data: only internal/kinds and internal/wiring know one by name.
func TestNobodyTypesAKind(t *testing.T) {
	names := kindNames(t)
	for _, p := range packages(t) {
		if place := p.place(); place == "internal/kinds" || place == "internal/wiring" {
			continue
		}
		eachFile(t, p, func(name string, fset *token.FileSet, f *ast.File) {
			ast.Inspect(f, func(n ast.Node) bool {
				lit, ok := n.(*ast.BasicLit)
				if !ok || lit.Kind != token.STRING {
					return true
				}
				if text, err := strconv.Unquote(lit.Value); err == nil && names[text] && !labels[p.place()+" "+text] {
					t.Errorf("%s:%d types the kind %q, but kinds are data: only internal/kinds and internal/wiring name one", name, fset.Position(lit.Pos()).Line, text)
				}
				return true
			})
		})
	}
}

// labels are words on a screen that only look like kinds.
var labels = map[string]bool{
	"cmd/hedgerow Server": true, // the address of a cluster
}

// everyFile calls fn with every Go file of the repository, other modules' too.
func everyFile(t *testing.T, fn func(name string, text []byte)) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if n := d.Name(); d.IsDir() && path != root && (strings.HasPrefix(n, ".") || n == "node_modules" || n == "bin") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		fn(name, text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

const mostLines = 600

var vague = []string{"util", "utils", "common", "helper", "helpers", "model", "models", "misc"}

func TestFiles(t *testing.T) {
	everyFile(t, func(name string, text []byte) {
		if n := bytes.Count(text, []byte("\n")); n > mostLines {
			t.Errorf("%s has %d lines, but no file has more than %d", name, n, mostLines)
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		if slices.Contains(vague, strings.TrimSuffix(f.Name.Name, "_test")) {
			t.Errorf("%s is of the package %s, but a package is named for what it does", name, f.Name.Name)
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				t.Errorf("%s has an init function, but nothing happens by being imported", name)
			}
		}
	})
}

func TestGoVersion(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`(?m)^go 1\.26\.\d+$`).Match(text) {
		t.Error("go.mod does not say go 1.26.x, the version that everything is pinned for")
	}
	if regexp.MustCompile(`(?m)^toolchain `).Match(text) {
		t.Error("go.mod has a toolchain line, but the installed Go is used")
	}
}
