package kinds

import (
	"fmt"
	"sync"

	"go.yaml.in/yaml/v3"

	"hedgerow"
	"hedgerow/internal/crds"
)

// BuiltinColumns are the printer columns of a kind in the definitions that
// come with Hedgerow, for clusters that do not let us read theirs. The second
// result tells whether the kind is among them.
func BuiltinColumns(id hedgerow.KindID) ([]hedgerow.Column, bool) {
	cols, ok := builtin()[id]
	return cols, ok
}

var builtin = sync.OnceValue(func() map[hedgerow.KindID][]hedgerow.Column {
	out := map[hedgerow.KindID][]hedgerow.Column{}
	files, err := crds.All()
	if err != nil {
		panic(fmt.Sprintf("reading embedded files: %v", err)) // cannot happen: they are in the binary
	}
	for _, f := range files {
		var crd struct {
			Spec struct {
				Group    string
				Names    struct{ Kind string }
				Versions []struct {
					Columns []struct {
						Name, Type, Format, Description string
						Path                            string `yaml:"jsonPath"`
						Priority                        int
					} `yaml:"additionalPrinterColumns"`
				}
			}
		}
		if err := yaml.Unmarshal(f, &crd); err != nil {
			panic(fmt.Sprintf("parsing embedded files: %v", err)) // excluded by the tests of internal/crds
		}
		id := hedgerow.KindID{Group: crd.Spec.Group, Kind: crd.Spec.Names.Kind}
		out[id] = nil
		for _, v := range crd.Spec.Versions {
			for _, c := range v.Columns {
				out[id] = append(out[id], hedgerow.Column{Name: c.Name, Type: c.Type, Format: c.Format, Path: c.Path, Priority: c.Priority, Help: c.Description})
			}
		}
	}
	return out
})
