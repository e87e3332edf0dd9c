// Package generate makes fabrics out of nothing: the demo and test fabrics of vlab, and streams of objects for load.
//
// It is responsible for objects in the form in which a cluster stores them after admission and hydration: namespace,
// labels, defaults, addresses. The same input gives the same objects in the same order, so that a digest taken today
// holds tomorrow.
//
// It must not know where the objects go: no API server, no files, no YAML, no clock and no randomness. Server-set
// metadata (uid, resourceVersion, creationTimestamp) is left to whoever stores them.
package generate

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Object is one resource as unstructured JSON. It holds only what Kubernetes' unstructured types accept: string, bool,
// int64, []any and map[string]any. Objects share nothing; a caller may change one freely.
type Object = map[string]any

// layouts are the fabrics that can be asked for by name.
var layouts = []struct {
	name  string
	build func() *plan
}{
	{"spine-leaf", spineLeaf},
	{"mesh", mesh},
	{"gateway", gateway},
}

// Names lists the fabrics that [Fabric] can make.
func Names() []string {
	var names []string
	for _, l := range layouts {
		names = append(names, l.name)
	}
	return names
}

// Fabric returns every object of the named fabric in an order in which they can be created: what is referred to comes
// first, and within a kind they are sorted by name.
func Fabric(name string) ([]Object, error) {
	for _, l := range layouts {
		if l.name != name {
			continue
		}
		p := l.build()
		p.hydrate()
		objects := p.objects()
		slices.SortFunc(objects, func(a, b Object) int {
			return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(nameOf(a), nameOf(b)))
		})
		return objects, nil
	}
	return nil, fmt.Errorf("no fabric is called %q: choose one of %s", name, strings.Join(Names(), ", "))
}
