package lab

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"testing"
)

// onlyMetadata makes an API server leave out what objects hold.
const onlyMetadata = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

// Object is one object as the API server tells of it.
type Object struct{ Kind, Name, UID, ResourceVersion string }

func (o Object) compare(p Object) int {
	return cmp.Or(cmp.Compare(o.Kind, p.Kind), cmp.Compare(o.Name, p.Name))
}

// State is what fabric i holds now, by kind and name. While it is written to,
// each kind is of another moment.
func (f *Fleet) State(tb testing.TB, i int) []Object {
	tb.Helper()
	all, err := f.list(tb.Context(), f.Name(i))
	if err != nil {
		tb.Fatal(err)
	}
	return all[f.Name(i)]
}

// States is the State of every fabric, in a list a kind.
func (f *Fleet) States(tb testing.TB) [][]Object {
	tb.Helper()
	all, err := f.list(tb.Context(), "")
	if err != nil {
		tb.Fatal(err)
	}
	states := make([][]Object, f.n)
	for i := range states {
		states[i] = all[f.Name(i)]
	}
	return states
}

// list returns the objects of a namespace, or with "" of all, by namespace.
func (f *Fleet) list(ctx context.Context, namespace string) (map[string][]Object, error) {
	all := map[string][]Object{}
	for _, k := range f.kinds {
		var list struct{ Items []meta }
		if err := f.API.into(ctx, k.path(namespace), onlyMetadata, &list); err != nil {
			return nil, err
		}
		for _, o := range list.Items {
			m := o.Metadata
			all[m.Namespace] = append(all[m.Namespace], Object{k.Kind, m.Name, m.UID, m.ResourceVersion})
		}
	}
	for _, objects := range all {
		slices.SortFunc(objects, Object.compare)
	}
	return all, nil
}

// After is what a fabric that held before must hold after edits, of which
// those of other fabrics count for nothing. It needs every edit that was made
// in between, in any order: what was deleted is gone by its UID, and of the
// rest the highest version stands.
func After(before []Object, edits []Edit, fabric int) []Object {
	type identity struct{ kind, name string }
	last, gone := map[identity]Object{}, map[string]bool{}
	for _, e := range edits {
		gone[e.UID] = gone[e.UID] || e.Did == Deleted
	}
	put := func(o Object) {
		id := identity{o.Kind, o.Name}
		if have, ok := last[id]; !gone[o.UID] && (!ok || version(have) < version(o)) {
			last[id] = o
		}
	}
	for _, o := range before {
		put(o)
	}
	for _, e := range edits {
		if e.Fabric == fabric && e.Did != Deleted {
			put(e.Object)
		}
	}
	after := make([]Object, 0, len(last))
	for _, o := range last {
		after = append(after, o)
	}
	slices.SortFunc(after, Object.compare)
	return after
}

// version is the place of a version among those of its server, which has them
// count up. Kubernetes promises that since 1.35 (KEP-5504).
func version(o Object) uint64 {
	n, _ := strconv.ParseUint(o.ResourceVersion, 10, 64) // what is none comes first
	return n
}
