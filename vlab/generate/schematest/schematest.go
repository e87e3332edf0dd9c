// Package schematest checks made-up objects against CustomResourceDefinitions, with the code that a Kubernetes API
// server runs on a write. It is for tests only.
//
// It must not know which kinds exist or where an object came from.
package schematest

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// Fixtures returns a folder of the shared fixtures. It skips the test when they are not on this machine.
func Fixtures(t *testing.T, elem ...string) string {
	t.Helper()
	path := filepath.Join(append([]string{"..", "..", "..", "shared", "fixtures"}, elem...)...)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("no shared fixtures: %s", path)
	}
	return path
}

// Documents reads the documents of a YAML file.
func Documents(t *testing.T, path string) []map[string]any {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	decoder := yaml.NewYAMLOrJSONDecoder(file, 4096)
	var documents []map[string]any
	for {
		var document map[string]any
		switch err := decoder.Decode(&document); {
		case errors.Is(err, io.EOF):
			return documents
		case err != nil:
			t.Fatalf("%s: %v", path, err)
		case document != nil:
			documents = append(documents, document)
		}
	}
}

// Schemas are the schemas of a folder of CustomResourceDefinitions, by apiVersion and kind.
type Schemas map[string]checker

type checker struct {
	structural *schema.Structural
	validator  validation.SchemaValidator
}

// Load reads every definition in a folder.
func Load(t *testing.T, folder string) Schemas {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no definitions in %s: %v", folder, err)
	}
	schemas := Schemas{}
	for _, file := range files {
		for _, document := range Documents(t, file) {
			var crd apiextensionsv1.CustomResourceDefinition
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(document, &crd); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			for _, version := range crd.Spec.Versions {
				key := crd.Spec.Group + "/" + version.Name + " " + crd.Spec.Names.Kind
				schemas[key] = newChecker(t, version.Schema.OpenAPIV3Schema)
			}
		}
	}
	return schemas
}

func newChecker(t *testing.T, props *apiextensionsv1.JSONSchemaProps) checker {
	t.Helper()
	var internal apiextensions.JSONSchemaProps
	err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(props, &internal, nil)
	if err != nil {
		t.Fatal(err)
	}
	structural, err := schema.NewStructural(&internal)
	if err != nil {
		t.Fatal(err)
	}
	validator, _, err := validation.NewSchemaValidator(&internal)
	if err != nil {
		t.Fatal(err)
	}
	return checker{structural: structural, validator: validator}
}

// Check reports every unknown field and every value that the object's schema refuses.
func (s Schemas) Check(t *testing.T, object map[string]any) {
	t.Helper()
	apiVersion, _ := object["apiVersion"].(string)
	kind, _ := object["kind"].(string)
	c, found := s[apiVersion+" "+kind]
	if !found {
		t.Errorf("no definition of %s in %s", kind, apiVersion)
		return
	}
	metadata, _ := object["metadata"].(map[string]any)
	object = decoded(t, object)
	for _, err := range validation.ValidateCustomResource(nil, object, c.validator) {
		t.Errorf("%s %s: %v", kind, metadata["name"], err)
	}
	// Pruning reports what it would drop, and drops it.
	options := schema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}
	for _, path := range pruning.PruneWithOptions(object, c.structural, true, options) {
		t.Errorf("%s %s: the schema has no %s", kind, metadata["name"], path)
	}
}

// decoded returns the object as an API server would read it off the wire.
func decoded(t *testing.T, object map[string]any) map[string]any {
	t.Helper()
	data, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	var read map[string]any
	if err := json.Unmarshal(data, &read); err != nil {
		t.Fatal(err)
	}
	return read
}
