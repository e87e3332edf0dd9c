package crds_test

import (
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hedgerow/internal/crds"
)

// fixtures is where a checkout inside the project's workspace finds the vendor's own definitions. A plain checkout has
// none and skips.
const fixtures = "../../../shared/fixtures/crds"

// byKind reads definitions and returns them by kind.
func byKind(t *testing.T, fsys fs.FS) map[string]definition {
	t.Helper()
	kinds := make(map[string]definition)
	for _, def := range readAll(t, fsys) {
		kinds[def.Spec.Names.Kind] = def
	}
	return kinds
}

func vendor(t *testing.T) map[string]definition {
	t.Helper()
	if _, err := os.Stat(fixtures); err != nil {
		t.Skipf("no vendor definitions to compare with: %v", err)
	}
	return byKind(t, os.DirFS(fixtures))
}

// TestVendorFacts compares every fact of every kind with the vendor's definitions, in both directions.
func TestVendorFacts(t *testing.T) {
	theirs, ours := vendor(t), byKind(t, crds.FS)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(theirs)), slices.Sorted(maps.Keys(ours))); diff != "" {
		t.Fatalf("kinds (-vendor +ours):\n%s", diff)
	}
	for _, kind := range slices.Sorted(maps.Keys(theirs)) {
		t.Run(kind, func(t *testing.T) {
			want, got := surface(theirs[kind]), surface(ours[kind])
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("names, columns and subresources (-vendor +ours):\n%s", diff)
			}
			wantFields, gotFields := fields(t, kind, theirs[kind]), fields(t, kind, ours[kind])
			paths := maps.Clone(wantFields)
			maps.Copy(paths, gotFields)
			for _, path := range slices.Sorted(maps.Keys(paths)) {
				want, isTheirs := wantFields[path]
				got, isOurs := gotFields[path]
				switch {
				case !isOurs:
					t.Errorf("%s: missing, vendor has %s", path, want)
				case !isTheirs:
					t.Errorf("%s: not the vendor's, ours is %s", path, got)
				case want != got:
					t.Errorf("%s: vendor has %s, ours is %s", path, want, got)
				}
			}
		})
	}
}

// surface is a definition without its schema and annotations.
func surface(def definition) definition {
	def.Metadata.Annotations = nil
	def.Spec.Versions = slices.Clone(def.Spec.Versions)
	for i := range def.Spec.Versions {
		def.Spec.Versions[i].Schema.Root = nil
	}
	return def
}

// fields maps each path of a schema to its facts as JSON: all keys but descriptions and children, with sets sorted.
// Below an open spec nothing is compared, and of the open spec itself all but its openness.
func fields(t *testing.T, kind string, def definition) map[string]string {
	t.Helper()
	open := slices.Contains(openSpecs, kind)
	flat := make(map[string]string)
	walk("", def.Spec.Versions[0].Schema.Root, func(path string, s schema) {
		if open && strings.HasPrefix(path, ".spec") && path != ".spec" {
			return
		}
		facts := maps.Clone(s)
		for _, key := range []string{"description", "properties", "items"} {
			delete(facts, key)
		}
		if sub(s, "additionalProperties") != nil {
			delete(facts, "additionalProperties")
		}
		for _, key := range []string{"enum", "required"} {
			if set, ok := facts[key].([]any); ok {
				facts[key] = sorted(set)
			}
		}
		if open && path == ".spec" {
			delete(facts, preserve)
			delete(facts, "required")
		}
		text, err := json.Marshal(facts)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		flat[path] = string(text)
	})
	return flat
}

// sorted orders a set of strings; the schemas have no other sets.
func sorted(set []any) []string {
	out := make([]string, len(set))
	for i, v := range set {
		out[i], _ = v.(string)
	}
	slices.Sort(out)
	return out
}

var sentenceEnd = regexp.MustCompile(`[.!?;](\s+|$)`)

// sentences returns the sentences of a definition's descriptions, made comparable, with a path where each is used.
func sentences(def definition) map[string]string {
	found := make(map[string]string)
	walk(def.Spec.Names.Kind, def.Spec.Versions[0].Schema.Root, func(path string, s schema) {
		text, _ := s["description"].(string)
		text = strings.ToLower(strings.Join(strings.Fields(text), " "))
		for _, sentence := range sentenceEnd.Split(text, -1) {
			if sentence = strings.Trim(sentence, ` .,:"'`); sentence != "" {
				found[sentence] = path
			}
		}
	})
	return found
}

// TestOwnWords guards against copying: facts are shared with the vendor, sentences are not.
func TestOwnWords(t *testing.T) {
	theirs := make(map[string]string)
	for _, def := range vendor(t) {
		maps.Copy(theirs, sentences(def))
	}
	for _, def := range byKind(t, crds.FS) {
		for sentence, path := range sentences(def) {
			if other, ok := theirs[sentence]; ok {
				t.Errorf("%s: %q is the vendor's sentence at %s", path, sentence, other)
			}
		}
	}
}
