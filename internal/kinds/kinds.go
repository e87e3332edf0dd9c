// Package kinds holds what Hedgerow knows about the kinds of a Hedgehog
// fabric beyond what a cluster serves: who owns their objects, in which order
// they are created, what they refer to, and what of them may be stored.
//
// It is a table, not code: a kind that is in it costs one row, and a kind that
// is not still syncs, lists and opens. It knows nothing of clusters or
// storage. This package and internal/wiring are the only ones that may type
// the name of a kind.
package kinds

import "hedgerow"

// Overlay is one row of the table.
type Overlay struct {
	Ownership  hedgerow.Ownership
	Order      int
	References []hedgerow.Reference
	Rule       hedgerow.ContentRule
}

// Merge returns k with what the table knows about it filled in. A kind that
// is not in the table comes back as it was.
func Merge(k hedgerow.Kind) hedgerow.Kind {
	o, ok := table[k.ID()]
	if !ok {
		return k
	}
	k.Ownership, k.Order, k.References, k.Rule = o.Ownership, o.Order, o.References, o.Rule
	return k
}

// Agents is the kind whose objects report the health of switches: one object
// a switch, of the same name.
var Agents = agent
