package main

import (
	"context"
	"slices"

	"hedgerow"
	"hedgerow/internal/wiring"
)

// link is a reference between two objects of a fabric, seen from one of them.
type link struct {
	kind            hedgerow.Kind // of the other
	namespace, name string
	path            string // of the field that refers
	missing         bool   // the other is not in the record
}

// links returns what an object refers to, and what refers to it. Hedgehog's
// references are by bare name, in the same namespace.
func (a *app) links(ctx context.Context, f hedgerow.Fabric, k hedgerow.Kind, o hedgerow.Recorded) (to, from []link, err error) {
	all, err := a.kinds(ctx, f)
	if err != nil {
		return nil, nil, err
	}
	tree, err := wiring.Parse(o.Content)
	if err != nil {
		return nil, nil, err
	}
	for _, l := range wiring.Links(k, tree) {
		there, err := a.db.Named(ctx, f.ID, l.To, l.Name)
		if err != nil {
			return nil, nil, err
		}
		other := hedgerow.Kind{Group: l.To.Group, Kind: l.To.Kind}
		if i := slices.IndexFunc(all, func(k hedgerow.Kind) bool { return k.ID() == l.To }); i >= 0 {
			other = all[i]
		}
		to = append(to, link{other, o.Namespace, l.Name, l.Path, !slices.ContainsFunc(there, func(t hedgerow.Recorded) bool { return t.Namespace == o.Namespace })})
	}
	for _, other := range all {
		if !slices.ContainsFunc(other.References, func(r hedgerow.Reference) bool { return r.To == k.ID() }) {
			continue
		}
		err := a.db.Mentioning(ctx, f.ID, other.ID(), o.Name, func(referring hedgerow.Recorded) error {
			t, err := wiring.Parse(referring.Content)
			if err != nil {
				return err
			}
			for _, l := range wiring.Links(other, t) {
				if l.To == k.ID() && l.Name == o.Name && referring.Namespace == o.Namespace {
					from = append(from, link{kind: other, namespace: referring.Namespace, name: referring.Name, path: l.Path})
				}
			}
			return nil
		})
		if err != nil {
			return nil, nil, err
		}
	}
	return to, from, nil
}
