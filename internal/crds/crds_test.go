package crds_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"hedgerow/internal/crds"
)

// openSpecs are the kinds whose spec is left open: machines write them and Hedgerow never stores them.
var openSpecs = []string{"Agent", "Catalog", "GatewayAgent"}

// definition is the part of a CustomResourceDefinition that these tests read, strict about everything else so that a
// stray annotation, status or misspelt key fails to decode.
type definition struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string
	Metadata   struct {
		Name        string
		Annotations map[string]string `yaml:",omitempty"`
	}
	Spec struct {
		Group    string
		Scope    string
		Names    names
		Versions []version
	}
}

type names struct {
	Kind       string
	ListKind   string `yaml:"listKind"`
	Plural     string
	Singular   string
	ShortNames []string `yaml:"shortNames"`
	Categories []string
}

type version struct {
	Name         string
	Served       bool
	Storage      bool
	Subresources map[string]any
	Columns      []column `yaml:"additionalPrinterColumns"`
	Schema       struct {
		Root schema `yaml:"openAPIV3Schema"`
	}
}

type column struct {
	Name     string
	Type     string
	Format   string
	Priority int
	JSONPath string `yaml:"jsonPath"`
}

// schema is kept as plain data: the tests are about which keys are there and which are not.
type schema = map[string]any

// parse reads the only document of a file.
func parse(t *testing.T, name string, text []byte) definition {
	t.Helper()
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	var def definition
	if err := dec.Decode(&def); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if len(def.Spec.Versions) != 1 {
		t.Fatalf("%s: %d versions, want 1", name, len(def.Spec.Versions))
	}
	return def
}

// readAll parses every *.yaml file of fsys, by file name.
func readAll(t *testing.T, fsys fs.FS) map[string]definition {
	t.Helper()
	files, err := fs.Glob(fsys, "*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defs := make(map[string]definition, len(files))
	for _, name := range files {
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			t.Fatal(err)
		}
		defs[name] = parse(t, name, text)
	}
	return defs
}

// walk calls visit for a schema and everything below it. A path joins field names with dots, [] stands for the items of
// a list and {} for the values of a map.
func walk(path string, s schema, visit func(path string, s schema)) {
	visit(path, s)
	for _, name := range slices.Sorted(maps.Keys(sub(s, "properties"))) {
		if child := sub(sub(s, "properties"), name); child != nil {
			walk(path+"."+name, child, visit)
		}
	}
	if items := sub(s, "items"); items != nil {
		walk(path+"[]", items, visit)
	}
	if values := sub(s, "additionalProperties"); values != nil {
		walk(path+"{}", values, visit)
	}
}

// sub returns the mapping under a key, or nil.
func sub(s schema, key string) schema {
	m, _ := s[key].(schema)
	return m
}

func TestAll(t *testing.T) {
	docs, err := crds.All()
	if err != nil {
		t.Fatal(err)
	}
	if len(docs) != 22 {
		t.Errorf("%d definitions, want 22", len(docs))
	}
	for i, doc := range docs {
		if !bytes.Contains(doc, []byte("\nkind: CustomResourceDefinition\n")) {
			t.Errorf("document %d is no CustomResourceDefinition", i)
		}
	}
}

func TestNames(t *testing.T) {
	seen := make(map[string]string)
	for file, def := range readAll(t, crds.FS) {
		n, group := def.Spec.Names, def.Spec.Group
		short, _, _ := strings.Cut(group, ".")
		for what, pair := range map[string][2]string{
			"file":       {file, n.Plural + "." + short + ".yaml"},
			"apiVersion": {def.APIVersion, "apiextensions.k8s.io/v1"},
			"kind":       {def.Kind, "CustomResourceDefinition"},
			"name":       {def.Metadata.Name, n.Plural + "." + group},
			"scope":      {def.Spec.Scope, "Namespaced"},
			"listKind":   {n.ListKind, n.Kind + "List"},
			"singular":   {n.Singular, strings.ToLower(n.Kind)},
		} {
			if pair[0] != pair[1] {
				t.Errorf("%s: %s is %q, want %q", file, what, pair[0], pair[1])
			}
		}
		if len(def.Metadata.Annotations) > 0 {
			t.Errorf("%s: has annotations", file)
		}
		// Short names share one namespace with plurals for kubectl, whatever the group.
		for _, name := range append([]string{n.Kind, n.Plural}, n.ShortNames...) {
			if other, ok := seen[name]; ok {
				t.Errorf("%s: name %q is taken by %s", file, name, other)
			}
			seen[name] = file
		}
		v := def.Spec.Versions[0]
		if _, ok := v.Subresources["status"]; !v.Served || !v.Storage || !ok {
			t.Errorf("%s: %s must be served, stored and have a status subresource", file, v.Name)
		}
	}
}

// TestText keeps the files fit for reading: a header that says what the kind is, no anchors, a bounded length.
func TestText(t *testing.T) {
	for file := range readAll(t, crds.FS) {
		text, err := crds.FS.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(text, []byte("# ")) {
			t.Errorf("%s: no header comment", file)
		}
		if n := bytes.Count(text, []byte("\n")); n > 600 {
			t.Errorf("%s: %d lines, want at most 600", file, n)
		}
		var doc yaml.Node
		if err := yaml.Unmarshal(text, &doc); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		rejectAnchors(t, file, &doc)
	}
}

func rejectAnchors(t *testing.T, file string, n *yaml.Node) {
	if n.Anchor != "" || n.Kind == yaml.AliasNode {
		t.Errorf("%s:%d: anchors and aliases make a file hard to read and to edit", file, n.Line)
		return
	}
	for _, c := range n.Content {
		rejectAnchors(t, file, c)
	}
}

// TestStructural checks the rules that an API server has for a schema, as far as these files can break them.
func TestStructural(t *testing.T) {
	for file, def := range readAll(t, crds.FS) {
		walk("", def.Spec.Versions[0].Schema.Root, func(path string, s schema) {
			for _, problem := range problems(s) {
				t.Errorf("%s: %s: %s", file, path, problem)
			}
		})
		root := sub(def.Spec.Versions[0].Schema.Root, "properties")
		want := []string{"apiVersion", "kind", "metadata", "spec", "status"}
		if got := slices.Sorted(maps.Keys(root)); !slices.Equal(got, want) {
			t.Errorf("%s: top-level fields are %v, want %v", file, got, want)
		}
		if open := sub(root, "spec")[preserve] == true; open != slices.Contains(openSpecs, def.Spec.Names.Kind) {
			t.Errorf("%s: spec open: %t, want the opposite", file, open)
		}
	}
}

const preserve = "x-kubernetes-preserve-unknown-fields"

// keywords are the schema keys in use. One that is not listed is a misspelling or deserves a look at problems.
var keywords = []string{
	"type", "format", "enum", "pattern", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems",
	"default", "required", "description", "properties", "items", "additionalProperties", "x-kubernetes-map-type", preserve,
}

func problems(s schema) (found []string) {
	for key := range s {
		if !slices.Contains(keywords, key) {
			found = append(found, fmt.Sprintf("unknown keyword %q", key))
		}
	}
	typ, _ := s["type"].(string)
	if !slices.Contains([]string{"object", "array", "string", "integer", "number", "boolean"}, typ) {
		found = append(found, fmt.Sprintf("type is %v", s["type"]))
	}
	if (typ == "array") != (s["items"] != nil) {
		found = append(found, "items belong to arrays, and every array has them")
	}
	if typ != "object" && (s["properties"] != nil || s["additionalProperties"] != nil) {
		found = append(found, "only objects have fields")
	}
	if s["properties"] != nil && s["additionalProperties"] != nil {
		found = append(found, "properties and additionalProperties exclude each other")
	}
	for name, child := range sub(s, "properties") {
		if _, ok := child.(schema); !ok {
			found = append(found, fmt.Sprintf("field %s has no schema", name))
		}
	}
	required, _ := s["required"].([]any)
	for _, r := range required {
		if name, _ := r.(string); sub(sub(s, "properties"), name) == nil {
			found = append(found, fmt.Sprintf("required field %v does not exist", r))
		}
	}
	if pattern, ok := s["pattern"].(string); ok {
		if _, err := regexp.Compile(pattern); err != nil {
			found = append(found, err.Error())
		}
	}
	if def, ok := s["default"].(int); ok {
		if low, ok := s["minimum"].(int); ok && def < low {
			found = append(found, "default is below minimum")
		}
		if high, ok := s["maximum"].(int); ok && def > high {
			found = append(found, "default is above maximum")
		}
	}
	return found
}

// TestDescribed holds that kubectl explain answers for each kind, its spec, its status and every named field of a spec.
func TestDescribed(t *testing.T) {
	for file, def := range readAll(t, crds.FS) {
		walk("", def.Spec.Versions[0].Schema.Root, func(path string, s schema) {
			value := strings.HasSuffix(path, "[]") || strings.HasSuffix(path, "{}")
			needs := path == "" || path == ".status" || strings.HasPrefix(path, ".spec") && !value
			text, _ := s["description"].(string)
			switch {
			case needs && text == "":
				t.Errorf("%s: %s has no description", file, path)
			case text != "" && (!strings.HasSuffix(text, ".") || text != strings.TrimSpace(text)):
				t.Errorf("%s: %s: description is no sentence: %q", file, path, text)
			}
		})
	}
}
