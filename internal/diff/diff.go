// Package diff compares contents field by field.
//
// It is pure: values in, deltas out, in the order of the fields' names. It
// knows no kind, no source and no screen.
package diff

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
)

// A Delta is one field that differs. An absent side is nil; a present one is
// compact JSON.
type Delta struct {
	Path   string          `json:"path"` // spec.links[0].mtu; keys that are not plain names stand in ["…"]
	Before json.RawMessage `json:"before,omitempty"`
	After  json.RawMessage `json:"after,omitempty"`
}

// Fields returns the deltas between two JSON values. A map or list that is
// absent on one side is one delta, not one for each of its fields.
func Fields(before, after []byte) ([]Delta, error) {
	b, err := parse(before)
	if err != nil {
		return nil, err
	}
	a, err := parse(after)
	if err != nil {
		return nil, err
	}
	w := walker{}
	w.value("", b, a)
	return w.deltas, w.err
}

// parse reads JSON; nil is an absent value.
func parse(text []byte) (any, error) {
	if text == nil {
		return absent{}, nil
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("compare: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("compare: more than one value")
	}
	return v, nil
}

type absent struct{}

type walker struct {
	deltas []Delta
	err    error
}

func (w *walker) value(path string, before, after any) {
	switch b := before.(type) {
	case map[string]any:
		if a, ok := after.(map[string]any); ok {
			w.maps(path, b, a)
			return
		}
	case []any:
		if a, ok := after.([]any); ok {
			w.lists(path, b, a)
			return
		}
	default:
		switch after.(type) {
		case map[string]any, []any: // not comparable, and different
		default:
			if before == after {
				return
			}
		}
	}
	w.add(path, before, after)
}

func (w *walker) maps(path string, before, after map[string]any) {
	keys := make([]string, 0, len(before)+len(after))
	for k := range before {
		keys = append(keys, k)
	}
	for k := range after {
		if _, ok := before[k]; !ok {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for _, k := range keys {
		w.value(join(path, k), or(before, k), or(after, k))
	}
}

func or(m map[string]any, k string) any {
	if v, ok := m[k]; ok {
		return v
	}
	return absent{}
}

func (w *walker) lists(path string, before, after []any) {
	for i := range max(len(before), len(after)) {
		var b, a any = absent{}, absent{}
		if i < len(before) {
			b = before[i]
		}
		if i < len(after) {
			a = after[i]
		}
		w.value(path+"["+strconv.Itoa(i)+"]", b, a)
	}
}

func (w *walker) add(path string, before, after any) {
	d := Delta{Path: path}
	for v, into := range map[*any]*json.RawMessage{&before: &d.Before, &after: &d.After} {
		if _, gone := (*v).(absent); gone {
			continue
		}
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(*v); err != nil && w.err == nil {
			w.err = fmt.Errorf("compare %s: %w", path, err)
		}
		*into = bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	}
	w.deltas = append(w.deltas, d)
}

// join appends a key to a path.
func join(path, key string) string {
	if !plain(key) {
		return path + "[" + strconv.Quote(key) + "]"
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

func plain(key string) bool {
	for i := range len(key) {
		c := key[i]
		if c != '_' && c != '-' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return key != ""
}
