// Package crds holds the CustomResourceDefinitions of the 22 Hedgehog kinds that a fabric's cluster serves, so that a
// demo cluster can install them and files can be checked without any cluster.
//
// It is responsible for the schemas alone: names, columns, fields, bounds and what each field is for. The facts (field
// names, types, bounds, defaults, columns) are those of the githedgehog/fabric project on the way to release 26.03
// (commit 78827de); the words are ours. A field that a later release adds is added here by hand, and the test compares
// with the vendor's own files where they are at hand.
//
// It must not know what Hedgerow makes of a kind: references, ownership and order belong to internal/kinds. Nor is it
// the truth about a cluster: releases differ inside one API version, so a connected fabric is judged by the schemas
// that its own cluster serves.
//
// Agent, GatewayAgent and Catalog keep an open spec on purpose. People never write those, an Agent's holds
// credentials, and Hedgerow never stores them.
package crds

import (
	"embed"
	"fmt"
)

// FS has one CustomResourceDefinition a file, called PLURAL.GROUP.yaml with the first label of the group:
// switches.wiring.yaml.
//
//go:embed *.yaml
var FS embed.FS

// All returns the YAML of every definition, one document each, ordered by file name. The definitions do not depend on
// one another, so they can be installed in this order or at once.
func All() ([][]byte, error) {
	entries, err := FS.ReadDir(".")
	if err != nil {
		return nil, fmt.Errorf("list embedded definitions: %w", err)
	}
	docs := make([][]byte, 0, len(entries))
	for _, e := range entries {
		doc, err := FS.ReadFile(e.Name())
		if err != nil {
			return nil, fmt.Errorf("read embedded definition %s: %w", e.Name(), err)
		}
		docs = append(docs, doc)
	}
	return docs, nil
}
