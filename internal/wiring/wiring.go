// Package wiring reads the specs and states of Hedgehog objects: what refers
// to what, and how a switch agent is doing.
//
// It is typed but tolerant: fields come and go between releases, so a field
// that is missing or of another type reads as absent, and never fails an
// object. It is pure and knows nothing of storage or screens.
package wiring

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"hedgerow"
)

// Tree is a JSON value as Go values, numbers as json.Number.
type Tree = any

// Parse reads content, of which the record holds only valid JSON.
func Parse(content []byte) (Tree, error) {
	d := json.NewDecoder(bytes.NewReader(content))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("content is not JSON: %w", err)
	}
	return v, nil
}

// Texts calls fn with every text that path reaches in v. A path is dotted: a
// name is a key; "*" is every element of a list or map; "@" is every key of a
// map, as a text; "**" is any depth, none included.
func Texts(v Tree, path string, fn func(text string)) {
	texts(v, strings.Split(path, "."), fn)
}

func texts(v Tree, path []string, fn func(string)) {
	if len(path) == 0 {
		if s, ok := v.(string); ok {
			fn(s)
		}
		return
	}
	head, rest := path[0], path[1:]
	if head == "**" {
		texts(v, rest, fn)
	}
	switch v := v.(type) {
	case map[string]any:
		switch head {
		case "**", "*":
			next := rest
			if head == "**" {
				next = path
			}
			for _, k := range sortedKeys(v) {
				texts(v[k], next, fn)
			}
		case "@":
			for _, k := range sortedKeys(v) {
				texts(k, rest, fn)
			}
		default:
			if e, ok := v[head]; ok {
				texts(e, rest, fn)
			}
		}
	case []any:
		for _, e := range v {
			switch head {
			case "**":
				texts(e, path, fn)
			case "*":
				texts(e, rest, fn)
			}
		}
	}
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// Link is one reference that an object makes.
type Link struct {
	To   hedgerow.KindID
	Name string
	Path string // of the field that makes it
}

// Links returns what an object of kind k refers to, each target and path once,
// in the order of the kind's references.
func Links(k hedgerow.Kind, v Tree) []Link {
	var links []Link
	for _, r := range k.References {
		Texts(v, r.Path, func(text string) {
			if name, ok := target(text, r.Part); ok {
				if l := (Link{r.To, name, r.Path}); !slices.Contains(links, l) {
					links = append(links, l)
				}
			}
		})
	}
	return links
}

const externalPrefix = "ext."

func target(text string, part hedgerow.Part) (name string, ok bool) {
	switch part {
	case hedgerow.BeforeSlash:
		name, _, _ = strings.Cut(text, "/")
	case hedgerow.AfterPrefix:
		if name, ok = strings.CutPrefix(text, externalPrefix); !ok {
			return "", false
		}
	case hedgerow.NoPrefix:
		if strings.HasPrefix(text, externalPrefix) {
			return "", false
		}
		name = text
	default:
		name = text
	}
	return name, name != ""
}

// Agent is what a switch agent says of itself.
type Agent struct {
	Wanted    int64 // generation of its configuration
	Applied   int64 // generation that it last applied
	Heartbeat time.Time
}

// ReadAgent reads an Agent from its content and vitals.
func ReadAgent(generation int64, content, vitals []byte) (Agent, error) {
	var c struct {
		Status struct {
			LastAppliedGen json.Number `json:"lastAppliedGen"`
		} `json:"status"`
	}
	var v struct {
		Status struct {
			LastHeartbeat string `json:"lastHeartbeat"`
		} `json:"status"`
	}
	if err := json.Unmarshal(content, &c); err != nil {
		return Agent{}, fmt.Errorf("agent: %w", err)
	}
	if vitals != nil {
		if err := json.Unmarshal(vitals, &v); err != nil {
			return Agent{}, fmt.Errorf("agent: %w", err)
		}
	}
	a := Agent{Wanted: generation}
	a.Applied, _ = c.Status.LastAppliedGen.Int64()                    // absent: 0, not applied yet
	a.Heartbeat, _ = time.Parse(time.RFC3339, v.Status.LastHeartbeat) // absent: never
	return a, nil
}
