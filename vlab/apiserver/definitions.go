package apiserver

import (
	"reflect"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// modelNamer is what every type of k8s.io/api implements: its name in OpenAPI.
type modelNamer interface{ OpenAPIModelName() string }

// servedScheme knows the given types of one group version. They stand in for internal types as well: nothing here is
// served in two versions, so there is nothing to convert.
func servedScheme(gv schema.GroupVersion, types ...runtime.Object) *runtime.Scheme {
	s := runtime.NewScheme()
	s.AddKnownTypes(gv, types...)
	s.AddKnownTypes(schema.GroupVersion{Group: gv.Group, Version: runtime.APIVersionInternal}, types...)
	// list options and the like are looked up in core v1, whatever the group
	core := schema.GroupVersion{Version: "v1"}
	metav1.AddToGroupVersion(s, core)
	if gv != core {
		metav1.AddToGroupVersion(s, gv)
	}
	s.AddUnversionedTypes(core, &metav1.Status{}, &metav1.APIVersions{}, &metav1.APIGroupList{}, &metav1.APIGroup{}, &metav1.APIResourceList{})
	_ = s.SetVersionPriority(gv) // fails only for two groups
	return s
}

// addDefinitions describes types of k8s.io/api, and those that they use, from their Go fields. Upstream's generated
// descriptions of them are part of kube-apiserver, which is not a library.
func addDefinitions(all map[string]common.OpenAPIDefinition, ref common.ReferenceCallback, types ...runtime.Object) {
	d := definer{all, ref}
	for _, t := range types {
		d.define(reflect.TypeOf(t).Elem())
	}
}

type definer struct {
	all map[string]common.OpenAPIDefinition
	ref common.ReferenceCallback
}

// define adds a struct type under its name, which it returns.
func (d definer) define(t reflect.Type) string {
	name := reflect.New(t).Interface().(modelNamer).OpenAPIModelName()
	if _, known := d.all[name]; known {
		return name
	}
	d.all[name] = common.OpenAPIDefinition{} // ends recursion
	s := spec.Schema{SchemaProps: spec.SchemaProps{Type: []string{"object"}, Properties: map[string]spec.Schema{}}}
	var uses []string
	for f := range t.Fields() {
		key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && key == "" { // TypeMeta
			s.Properties["apiVersion"], s.Properties["kind"] = *spec.StringProperty(), *spec.StringProperty()
			continue
		}
		if key != "" && key != "-" {
			s.Properties[key] = d.schema(f.Type, &uses)
		}
	}
	d.all[name] = common.OpenAPIDefinition{Schema: s, Dependencies: uses}
	return name
}

func (d definer) schema(t reflect.Type, uses *[]string) spec.Schema {
	switch t.Kind() {
	case reflect.Pointer:
		return d.schema(t.Elem(), uses)
	case reflect.Bool:
		return *spec.BooleanProperty()
	case reflect.Int32:
		return *spec.Int32Property()
	case reflect.Int64:
		return *spec.Int64Property()
	case reflect.Slice:
		items := d.schema(t.Elem(), uses)
		return *spec.ArrayProperty(&items)
	case reflect.Map:
		values := d.schema(t.Elem(), uses)
		return *spec.MapProperty(&values)
	case reflect.Struct:
		name := d.define(t)
		*uses = append(*uses, name)
		return spec.Schema{SchemaProps: spec.SchemaProps{Ref: d.ref(name)}}
	default:
		return *spec.StringProperty()
	}
}
