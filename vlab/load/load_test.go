package load_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"hedgerow/internal/crds"
	"hedgerow/vlab/apiserver"
	"hedgerow/vlab/load"
)

// fixtures is where a checkout inside the project's workspace finds real definitions and fabrics.
const fixtures = "../../../shared/fixtures"

// lines collects what a loader says.
type lines struct {
	mu   sync.Mutex
	text []string
}

func (l *lines) say(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, fmt.Sprintf(format, args...))
}

func (l *lines) count(part string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, t := range l.text {
		if strings.Contains(t, part) {
			n++
		}
	}
	return n
}

func start(t *testing.T) *apiserver.Server {
	t.Helper()
	s, err := apiserver.Start(t.Context(), apiserver.Options{Data: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func install(t *testing.T, l *load.Loader, docs []load.Document, err error) {
	t.Helper()
	if err == nil {
		err = l.CRDs(t.Context(), docs)
	}
	if err != nil {
		t.Fatal(err)
	}
}

const fabric = `# two groups and what is wrong with the others
apiVersion: wiring.githedgehog.com/v1beta1
kind: SwitchGroup
metadata: {name: one, namespace: default, labels: {a: b}}
spec: {}
---
apiVersion: wiring.githedgehog.com/v1beta1
kind: SwitchGroup
metadata: {name: two, namespace: elsewhere}
spec: {colour: red}
---
apiVersion: wiring.githedgehog.com/v1beta1
kind: SwitchGroup
metadata: {name: three, namespace: default, labels: {bad: "not a label!"}}
spec: {}
---
apiVersion: wiring.githedgehog.com/v1beta1
kind: Unknown
metadata: {name: four}
`

func TestObjects(t *testing.T) {
	t.Parallel()
	s := start(t)
	var said lines
	l := load.New(s.Client(), s.URL, said.say)
	docs, err := load.Dir(crds.FS, "built-in")
	install(t, l, docs, err)
	objects := func(text string, mode load.Mode) load.Result {
		t.Helper()
		docs, err := load.Parse("f.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		r, err := l.Objects(t.Context(), slices.Values(docs), mode)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if got, want := objects(fabric, load.Update), (load.Result{Created: 2, Refused: 2}); got != want {
		t.Errorf("the first load: %+v, want %+v; said %q", got, want, said.text)
	}
	for _, want := range []string{
		"namespace elsewhere did not exist",
		`f.yaml:7: SwitchGroup/two: unknown field "spec.colour"`,
		"f.yaml:12: SwitchGroup/three refused: ",
		"f.yaml:17: Unknown/four refused: the server does not serve kind Unknown",
	} {
		if said.count(want) != 1 {
			t.Errorf("want one line with %q among %q", want, said.text)
		}
	}
	if got, want := objects(fabric, load.Update), (load.Result{Unchanged: 2, Refused: 2}); got != want {
		t.Errorf("the same again: %+v, want %+v; said %q", got, want, said.text)
	}
	if n := said.count("spec.colour"); n != 1 {
		t.Errorf("the warning came %d times, want once", n)
	}
	changed := strings.Replace(fabric, "{a: b}", "{a: c}", 1)
	if got, want := objects(changed, load.Skip), (load.Result{Unchanged: 2, Refused: 2}); got != want {
		t.Errorf("changed, but not to be updated: %+v, want %+v", got, want)
	}
	if got, want := objects(changed, load.Update), (load.Result{Updated: 1, Unchanged: 1, Refused: 2}); got != want {
		t.Errorf("changed: %+v, want %+v", got, want)
	}
	status := `{apiVersion: wiring.githedgehog.com/v1beta1, kind: Server, metadata: {name: s, uid: x, resourceVersion: "7"}, spec: {description: d}, status: {}}`
	if got, want := objects(status, load.Update), (load.Result{Created: 1}); got != want {
		t.Errorf("with a status: %+v, want %+v; said %q", got, want, said.text)
	}
	if n, err := l.Count(t.Context()); n != 3 || err != nil {
		t.Errorf("count: %d, %v, want 3", n, err)
	}
}

func TestFixtures(t *testing.T) {
	fabrics, _ := filepath.Glob(filepath.Join(fixtures, "wiring/cluster/*.yaml"))
	if len(fabrics) == 0 {
		t.Skipf("no fixtures in %s: nothing to load", fixtures)
	}
	definitions, err := load.Files(filepath.Join(fixtures, "crds"))
	if err != nil {
		t.Fatal(err)
	}
	s := start(t)
	var said lines
	l := load.New(s.Client(), s.URL, said.say)
	install(t, l, definitions, nil)
	for i, file := range fabrics {
		docs, err := load.Files(file)
		if err != nil {
			t.Fatal(err)
		}
		// the fabrics share names: each gets a namespace of its own, which saves a server each
		for _, d := range docs {
			meta := d.Object["metadata"].(map[string]any)
			meta["namespace"] = fmt.Sprintf("%v-%d", meta["namespace"], i)
		}
		r, err := l.Objects(t.Context(), slices.Values(docs), load.Update)
		if err != nil {
			t.Fatal(err)
		}
		if want := (load.Result{Created: len(docs)}); r != want {
			t.Errorf("%s: %+v, want %+v", file, r, want)
		}
	}
	if said.count("refused") > 0 {
		t.Errorf("refused:\n%s", strings.Join(said.text, "\n"))
	}
	if said.count(`unknown field "spec.gateway.links[0].spine"`) == 0 {
		t.Errorf("no warning of the field that a later release renamed: %q", said.text)
	}
}

func TestMistakesInFiles(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, text, want string }{
		{"not YAML", "a: 1\n---\nkind: [\n", "f.yaml:"},
		{"no kind", "# c\napiVersion: v1\n", "f.yaml:2: not a Kubernetes object: it has no kind"},
		{"no name", "---\napiVersion: v1\nkind: Namespace\n", "f.yaml:2: this Namespace has no metadata.name"},
		{"not an object", "- 1\n", "f.yaml:1: not an object"},
		{"in a list", "kind: List\napiVersion: v1\nitems:\n- 7\n", "f.yaml:1: not a Kubernetes object"},
	} {
		_, err := load.Parse("f.yaml", []byte(test.text))
		if err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", test.name, err, test.want)
		}
	}
	docs, err := load.Parse("f.yaml", []byte("# nothing\n---\n---\n{apiVersion: v1, kind: NamespaceList, items: [{apiVersion: v1, kind: Namespace, metadata: {name: a}}]}\n"))
	if err != nil || len(docs) != 1 || docs[0].Origin != "f.yaml:4 item 1" {
		t.Errorf("a list: %v %v", docs, err)
	}
	empty := t.TempDir()
	for _, name := range []string{empty, filepath.Join(empty, "absent.yaml")} {
		if _, err := load.Files(name); err == nil || !strings.HasPrefix(err.Error(), name+": ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(fabric))
	f.Add([]byte("---\n...\n{}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		docs, err := load.Parse("f", text)
		if err != nil && !strings.HasPrefix(err.Error(), "f:") {
			t.Errorf("an error without place: %v", err)
		}
		for _, d := range docs {
			if d.Object["kind"] == "" || d.Origin == "" {
				t.Errorf("half a document: %+v", d)
			}
		}
	})
}
