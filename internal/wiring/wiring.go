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
	"regexp"
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

// Texts calls fn with every text that pattern reaches in v, and the path of
// each. A pattern is dotted: a name is a key; "*" is every element of a list or
// map; "@" is every key of a map, as a text; "**" is any depth, none included.
// A path is written as internal/diff writes it, spec.links[0].leaf.port, but
// that a key which is the text itself stands in brackets: spec.permit[0]["a"].
func Texts(v Tree, pattern string, fn func(path, text string)) {
	w := walker{fn: fn}
	w.walk(v, strings.Split(pattern, "."))
}

type walker struct {
	fn  func(path, text string)
	way []step // to where the walker is
}

// step is a key, or an index when there is none.
type step struct {
	key   string
	index int
	kind  stepKind
}

type stepKind int

const (
	byKey stepKind = iota
	byIndex
	theKey // the key itself is what was sought
)

func (w *walker) walk(v Tree, pattern []string) {
	if len(pattern) == 0 {
		if s, ok := v.(string); ok {
			w.fn(path(w.way), s)
		}
		return
	}
	head, rest := pattern[0], pattern[1:]
	below := rest
	if head == "**" {
		w.walk(v, rest)
		below = pattern
	}
	switch v := v.(type) {
	case map[string]any:
		switch head {
		case "**", "*":
			for _, k := range sortedKeys(v) {
				w.into(step{key: k}, v[k], below)
			}
		case "@":
			for _, k := range sortedKeys(v) {
				w.into(step{key: k, kind: theKey}, k, rest)
			}
		default:
			if e, ok := v[head]; ok {
				w.into(step{key: head}, e, rest)
			}
		}
	case []any:
		if head == "**" || head == "*" {
			for i, e := range v {
				w.into(step{index: i, kind: byIndex}, e, below)
			}
		}
	}
}

func (w *walker) into(s step, v Tree, pattern []string) {
	w.way = append(w.way, s)
	w.walk(v, pattern)
	w.way = w.way[:len(w.way)-1]
}

func path(way []step) string {
	var b strings.Builder
	for _, s := range way {
		switch {
		case s.kind == byIndex:
			fmt.Fprintf(&b, "[%d]", s.index)
		case s.kind == theKey || !plain.MatchString(s.key):
			fmt.Fprintf(&b, "[%q]", s.key)
		case b.Len() > 0:
			b.WriteString("." + s.key)
		default:
			b.WriteString(s.key)
		}
	}
	return b.String()
}

var plain = regexp.MustCompile(`^[-_0-9A-Za-z]+$`)

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
	Path string // of the first field that makes it
}

// Links returns what an object of kind k refers to, each target once, in the
// order of the kind's references.
func Links(k hedgerow.Kind, v Tree) []Link {
	type target struct {
		to   hedgerow.KindID
		name string
	}
	var links []Link
	seen := map[target]bool{}
	for _, r := range k.References {
		Texts(v, r.Path, func(path, text string) {
			name, ok := named(text, r.Part)
			if !ok || seen[target{r.To, name}] {
				return
			}
			seen[target{r.To, name}] = true
			links = append(links, Link{r.To, name, path})
		})
	}
	return links
}

const externalPrefix = "ext."

// named is the name in a reference text.
func named(text string, part hedgerow.Part) (name string, ok bool) {
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

// AgentState is how a switch agent was when it was last read.
type AgentState string

// The states of an agent.
const (
	AgentReady   AgentState = "ready"   // it has applied what is wanted
	AgentPending AgentState = "pending" // not yet, or it has never reported
	AgentSilent  AgentState = "silent"  // it had not been heard of for hedgerow.SilentAfter
)

// State is how the agent was at a reading.
func (a Agent) State(read time.Time) AgentState {
	switch {
	case a.Heartbeat.IsZero():
		return AgentPending
	case read.Sub(a.Heartbeat) > hedgerow.SilentAfter:
		return AgentSilent
	case a.Applied != a.Wanted:
		return AgentPending
	}
	return AgentReady
}

// ReadAgent reads an Agent from its content and vitals. What is not there reads
// as never: not applied yet, never heard of.
func ReadAgent(generation int64, content, vitals []byte) (Agent, error) {
	a := Agent{Wanted: generation}
	c, err := Parse(content)
	if err != nil {
		return a, fmt.Errorf("agent: %w", err)
	}
	if n, ok := status(c, "lastAppliedGen").(json.Number); ok {
		a.Applied, _ = n.Int64()
	}
	if vitals == nil {
		return a, nil
	}
	v, err := Parse(vitals)
	if err != nil {
		return a, fmt.Errorf("agent: %w", err)
	}
	if s, ok := status(v, "lastHeartbeat").(string); ok {
		a.Heartbeat, _ = time.Parse(time.RFC3339, s)
	}
	return a, nil
}

// status is a field of an object's status, nil when it is not there.
func status(v Tree, field string) any {
	root, _ := v.(map[string]any)
	s, _ := root["status"].(map[string]any)
	return s[field]
}
