package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"hedgerow"
)

// rule is a compiled hedgerow.ContentRule.
type rule struct{ keep, vitals []pattern }

// pattern is a dotted path to a text, number or boolean: a name, "*" for any
// key or index, or "**" at the end for everything below.
type pattern []string

func compile(r hedgerow.ContentRule) *rule {
	if !r.AllowListed() {
		return nil
	}
	return &rule{keep: patterns(r.Keep), vitals: patterns(r.Vitals)}
}

func patterns(paths []string) []pattern {
	ps := make([]pattern, len(paths))
	for i, p := range paths {
		ps[i] = strings.Split(p, ".")
	}
	return ps
}

// identityPaths of every object are kept, whatever its rule.
var identityPaths = patterns([]string{
	"apiVersion", "kind", "metadata.name", "metadata.namespace", "metadata.labels.*",
	"metadata.ownerReferences.**", "metadata.finalizers.**", "metadata.deletionTimestamp",
})

// split returns the part of content that the rule keeps, and its vitals (nil
// when there are none), both canonical.
func (r *rule) split(content []byte, generation int64) (kept, vitals []byte, err error) {
	v, err := decode(content)
	if err != nil {
		return nil, nil, err
	}
	root, ok := v.(map[string]any)
	if !ok {
		return nil, nil, fmt.Errorf("expected an object")
	}
	if meta, ok := root["metadata"].(map[string]any); ok && generation != 0 {
		meta["generation"] = json.Number(fmt.Sprint(generation))
	}
	k, _ := pick(root, append(r.keep[:len(r.keep):len(r.keep)], identityPaths...))
	if kept, err = encode(k); err != nil {
		return nil, nil, err
	}
	if w, ok := pick(root, r.vitals); ok {
		if vitals, err = encode(w); err != nil {
			return nil, nil, err
		}
	}
	return kept, vitals, nil
}

// pick copies the parts of v that any pattern reaches. A pattern without "**"
// at its end reaches no map or list: when a later release puts one there,
// nobody has looked at what it holds.
func pick(v any, ps []pattern) (any, bool) {
	leaf := false
	for _, p := range ps {
		if len(p) > 0 && p[0] == "**" {
			return v, true
		}
		leaf = leaf || len(p) == 0
	}
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, e := range v {
			if next := advance(ps, k); len(next) > 0 {
				if w, ok := pick(e, next); ok {
					out[k] = w
				}
			}
		}
		return out, len(out) > 0
	case []any:
		var out []any
		next := advance(ps, "")
		for _, e := range v {
			if w, ok := pick(e, next); ok {
				out = append(out, w)
			}
		}
		return out, len(out) > 0
	}
	return v, leaf
}

// advance returns what is left of the patterns that allow key; a list's
// elements have the key "", which only "*" allows.
func advance(ps []pattern, key string) []pattern {
	var next []pattern
	for _, p := range ps {
		if len(p) > 0 && (p[0] == "*" || key != "" && p[0] == key) {
			next = append(next, p[1:])
		}
	}
	return next
}

// decode reads JSON keeping numbers as they are written.
func decode(b []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	err := d.Decode(&v)
	return v, err
}

// encode writes v in canonical form.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return Canonical(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}
