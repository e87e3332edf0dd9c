package hedgerow

import (
	"fmt"
	"hash/fnv"
	"strings"
)

// GroupSuffix marks the API groups that belong to a Hedgehog fabric. Every
// resource in such a group is observed, known to us or not.
const GroupSuffix = ".githedgehog.com"

// HedgehogGroup reports whether an API group belongs to a Hedgehog fabric.
func HedgehogGroup(group string) bool { return strings.HasSuffix(group, GroupSuffix) }

// KindID is the identity of a kind inside a fabric. The API version is data.
type KindID struct{ Group, Kind string }

// String is "Kind.group", as kubectl writes it.
func (k KindID) String() string { return k.Kind + "." + k.Group }

// A Kind is what a cluster serves under one resource name, merged with what
// the overlay table of internal/kinds knows about it.
type Kind struct {
	Group, Version, Kind string
	Plural, Singular     string
	ShortNames           []string
	Categories           []string
	Namespaced           bool
	Columns              []Column // as the cluster prints them
	Schema               []byte   // OpenAPI v3 schema as JSON, nil when it could not be read
	// Fingerprint identifies the schema served. When it changes, contents may
	// read differently though no resourceVersion moved, so they are read anew.
	Fingerprint string
	// Unsure says that the definition could not be read this time, and is the
	// one recorded: nothing may be taken for unchanged. Never stored.
	Unsure bool
	// ColumnsFrom says where Columns came from: "cluster", "built-in" (reading
	// the cluster's definitions is forbidden) or "" (none known).
	ColumnsFrom string

	// Below: what we know, from the overlay. Never stored.
	Ownership  Ownership
	Order      int // position in the order of creation; 0: unknown
	References []Reference
	Rule       ContentRule
}

// contentVersion is raised when what internal/manifest keeps, masks or drops
// changes, so that every object is read anew.
const contentVersion = 1

// Reading identifies how objects of the kind read: by the schema served, and
// by our own rules of what is stored. "" when the schema is not known.
func (k Kind) Reading() string {
	if k.Fingerprint == "" {
		return ""
	}
	h := fnv.New32a()
	fmt.Fprint(h, contentVersion, k.Rule)
	return fmt.Sprintf("%s/%08x", k.Fingerprint, h.Sum32())
}

// ID is the identity of the kind.
func (k Kind) ID() KindID { return KindID{k.Group, k.Kind} }

// APIVersion is "group/version".
func (k Kind) APIVersion() string { return k.Group + "/" + k.Version }

// Matches reports whether word, as a user types it, names this kind: plural,
// singular, short name or kind, each with or without ".group", in any case.
func (k Kind) Matches(word string) bool {
	word = strings.ToLower(word)
	base, group, dotted := strings.Cut(word, ".")
	if base == "" {
		return false // a kind may lack a singular
	}
	if dotted && group != k.Group && !strings.HasPrefix(k.Group, group+".") {
		return false
	}
	if base == strings.ToLower(k.Plural) || base == strings.ToLower(k.Singular) || base == strings.ToLower(k.Kind) {
		return true
	}
	for _, s := range k.ShortNames {
		if base == strings.ToLower(s) {
			return true
		}
	}
	return false
}

// Column is one printer column of a kind.
type Column struct {
	Name     string `json:"name"`
	Type     string `json:"type"` // string, integer, number, boolean, date
	Format   string `json:"format,omitempty"`
	Path     string `json:"path"`               // JSONPath, as in additionalPrinterColumns
	Priority int    `json:"priority,omitempty"` // above 0: wide output only
	Help     string `json:"help,omitempty"`
}

// Ownership says who writes the objects of a kind.
type Ownership string

// The ownerships. Generated objects are never "Extra" against Git.
const (
	OwnershipUnknown Ownership = ""
	Authored         Ownership = "authored"  // by people, kept in Git
	Generated        Ownership = "generated" // by the fabric's controllers
	Installed        Ownership = "installed" // by the installer
)

// A Reference says that a field of a kind names objects of another.
type Reference struct {
	Path string // where in the object, in the grammar of internal/wiring
	To   KindID
	// Part says which part of the text is the name, when it is not all of it.
	Part Part
}

// Part selects the name inside a reference text.
type Part string

// The parts of a reference text.
const (
	WholeText   Part = ""      // all of it
	BeforeSlash Part = "/"     // "leaf-01/E1/1" names leaf-01
	AfterPrefix Part = "ext."  // "ext.name" names an External, anything else is not this reference
	NoPrefix    Part = "!ext." // a text without the prefix "ext." names it
)

// ContentRule says which parts of an object are its content, and which are
// vitals: readings that change all the time, of which only the last is kept.
// With Keep empty, everything but server-set metadata and the Vitals paths is
// content.
type ContentRule struct {
	Keep   []string // allow-list of dotted paths; "*" stands for any key or index
	Vitals []string // dotted paths
}

// AllowListed reports whether only listed paths of the object may be stored.
func (r ContentRule) AllowListed() bool { return len(r.Keep) > 0 }
