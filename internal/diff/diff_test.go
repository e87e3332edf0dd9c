package diff_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"hedgerow/internal/diff"
)

func TestFields(t *testing.T) {
	for _, tc := range []struct {
		name, before, after string
		want                string // PATH: BEFORE -> AFTER, "-" for absent
	}{
		{"the same", `{"a":[1,{"b":null}]}`, `{ "a" : [ 1, {"b":null} ] }`, ``},
		{"a field", `{"spec":{"role":"spine","asn":1}}`, `{"spec":{"role":"leaf","asn":1}}`, `spec.role: "spine" -> "leaf"`},
		{"added", `{"spec":{}}`, `{"spec":{"description":"x"}}`, `spec.description: - -> "x"`},
		{"removed", `{"spec":{"description":"x"}}`, `{"spec":{}}`, `spec.description: "x" -> -`},
		{"a null is not absent", `{"a":null}`, `{}`, `a: null -> -`},
		{"null to text", `{"a":null}`, `{"a":""}`, `a: null -> ""`},
		{"a map that is absent is one delta", `{"spec":{}}`, `{"spec":{"b":{"x":1,"y":[2]}}}`, `spec.b: - -> {"x":1,"y":[2]}`},
		{"an element", `{"links":[{"mtu":1},{"mtu":2}]}`, `{"links":[{"mtu":1},{"mtu":3}]}`, `links[1].mtu: 2 -> 3`},
		{"elements at the end", `{"l":[1]}`, `{"l":[1,2,{"a":3}]}`, "l[1]: - -> 2\nl[2]: - -> {\"a\":3}"},
		{"elements gone", `{"l":[1,2,3]}`, `{"l":[1]}`, "l[1]: 2 -> -\nl[2]: 3 -> -"},
		{"emptied", `{"l":[1],"m":{"a":1}}`, `{"l":[],"m":{}}`, "l[0]: 1 -> -\nm.a: 1 -> -"},
		{"map to list", `{"a":{"b":1}}`, `{"a":[1]}`, `a: {"b":1} -> [1]`},
		{"list to text", `{"a":[1]}`, `{"a":"x"}`, `a: [1] -> "x"`},
		{"text to map", `{"a":"x"}`, `{"a":{}}`, `a: "x" -> {}`},
		{"text to number", `{"a":"1"}`, `{"a":1}`, `a: "1" -> 1`},
		{"numbers as written", `{"a":1,"b":9223372036854775807,"c":1e2}`, `{"a":1.0,"b":9223372036854775808,"c":1e2}`, "a: 1 -> 1.0\nb: 9223372036854775807 -> 9223372036854775808"},
		{"order of fields", `{"b":1,"a":1,"c":{"z":1,"y":1}}`, `{"c":{"y":2,"z":2},"a":2,"b":2}`, "a: 1 -> 2\nb: 1 -> 2\nc.y: 1 -> 2\nc.z: 1 -> 2"},
		{"everything", `{"a":1}`, `[1]`, `: {"a":1} -> [1]`},
		{
			"odd keys", `{"portSpeeds":{"E1/1":"25G"},"metadata":{"annotations":{"a.b/c":"1"}},"":1,"a b":1,"é":1,"x\"]":1,"vpc-1":1}`, `{"portSpeeds":{"E1/1":"50G"},"metadata":{"annotations":{"a.b/c":"2"}},"":2,"a b":2,"é":2,"x\"]":2,"vpc-1":2}`,
			`[""]: 1 -> 2
			["a b"]: 1 -> 2
			metadata.annotations["a.b/c"]: "1" -> "2"
			portSpeeds["E1/1"]: "25G" -> "50G"
			vpc-1: 1 -> 2
			["x\"]"]: 1 -> 2
			["é"]: 1 -> 2`,
		},
		{"hostile keys", `{"\u001b[2J":1,"a\nb":1,"\u202e":1}`, `{}`, `["\x1b[2J"]: 1 -> -
			["a\nb"]: 1 -> -
			["\u202e"]: 1 -> -`},
		{"texts as they are", `{"a":"<&>"}`, `{"a":"\u003c\u0026\u003e "}`, `a: "<&>" -> "<&> "`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			deltas, err := diff.Fields([]byte(tc.before), []byte(tc.after))
			if err != nil {
				t.Fatal(err)
			}
			got := []string{}
			for _, d := range deltas {
				got = append(got, fmt.Sprintf("%s: %s -> %s", d.Path, or(d.Before), or(d.After)))
			}
			want := []string{}
			for l := range strings.Lines(tc.want) {
				want = append(want, strings.TrimSpace(l))
			}
			if tc.name == "everything" {
				want[0] = tc.want
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func or(v json.RawMessage) string {
	if v == nil {
		return "-"
	}
	return string(v)
}

func TestAbsentSides(t *testing.T) {
	for _, tc := range []struct {
		before, after []byte
		want          []diff.Delta
	}{
		{nil, nil, nil},
		{nil, []byte(`{"a":1}`), []diff.Delta{{After: json.RawMessage(`{"a":1}`)}}},
		{[]byte(`{"a":1}`), nil, []diff.Delta{{Before: json.RawMessage(`{"a":1}`)}}},
		{nil, []byte(`null`), []diff.Delta{{After: json.RawMessage(`null`)}}},
	} {
		got, err := diff.Fields(tc.before, tc.after)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s to %s (-want +got):\n%s", tc.before, tc.after, diff)
		}
	}
	for _, bad := range []string{"", "{", "x", "{} {}"} {
		if _, err := diff.Fields([]byte(bad), []byte("{}")); err == nil {
			t.Errorf("%q is compared", bad)
		}
		if _, err := diff.Fields([]byte("{}"), []byte(bad)); err == nil {
			t.Errorf("%q is compared", bad)
		}
	}
}

// drawn are JSON values that share many keys, so that they differ in part.
func drawn(depth int) *rapid.Generator[any] {
	scalar := rapid.SampledFrom([]any{nil, true, "", "x", "y", json.Number("1"), json.Number("1.0"), json.Number("9223372036854775808"), "<\u2028\x1b"})
	if depth == 0 {
		return scalar
	}
	key := rapid.OneOf(rapid.SampledFrom([]string{"a", "b", "E1/1", "", "a.b", "[0]", "[\"a\"]", "é", "\x1b\n", "\u202e", "x-1"}), rapid.String())
	below := drawn(depth - 1)
	return rapid.OneOf(scalar,
		rapid.Map(rapid.SliceOfN(below, 0, 4), func(l []any) any { return l }),
		rapid.Map(rapid.MapOfN(key, below, 0, 4), func(m map[string]any) any { return m }))
}

func encode(t *rapid.T, v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func fields(t *rapid.T, before, after []byte) []diff.Delta {
	ds, err := diff.Fields(before, after)
	if err != nil {
		t.Fatalf("%s to %s: %v", before, after, err)
	}
	return ds
}

func TestFieldsProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := encode(t, drawn(3).Draw(t, "a")), encode(t, drawn(3).Draw(t, "b"))
		if ds := fields(t, a, a); ds != nil {
			t.Fatalf("%s differs from itself: %v", a, ds)
		}
		there, back := fields(t, a, b), fields(t, b, a)
		mirror := make([]diff.Delta, len(back))
		paths := map[string]bool{}
		for i, d := range back {
			mirror[i] = diff.Delta{Path: d.Path, Before: d.After, After: d.Before}
			if paths[d.Path] {
				t.Fatalf("%s to %s: two deltas at %s", b, a, d.Path)
			}
			paths[d.Path] = true
		}
		if len(there) == 0 && len(mirror) == 0 {
			mirror = there
		}
		if diff := cmp.Diff(there, mirror); diff != "" {
			t.Fatalf("%s and %s: the ways there and back differ:\n%s", a, b, diff)
		}
		if got := apply(t, a, there); !sameJSON(t, got, b) {
			t.Fatalf("%s with %v is %s, not %s", a, there, got, b)
		}
	})
}

func sameJSON(t *rapid.T, a, b []byte) bool {
	return bytes.Equal(encode(t, parse(t, a)), encode(t, parse(t, b)))
}

func parse(t *rapid.T, text []byte) any {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

// apply does to text what deltas say: an independent reading of their paths.
func apply(t *rapid.T, text []byte, deltas []diff.Delta) []byte {
	v := parse(t, text)
	for _, d := range slices.Backward(deltas) { // so that lists shrink from their ends
		if d.After == nil {
			v = set(t, v, steps(t, d.Path), nil, true)
		}
	}
	for _, d := range deltas {
		if d.After != nil {
			v = set(t, v, steps(t, d.Path), parse(t, d.After), false)
		}
	}
	return encode(t, v)
}

// steps reads a path: keys as texts, indices as numbers.
func steps(t *rapid.T, path string) (all []any) {
	for path != "" {
		if path[0] == '.' {
			path = path[1:]
		}
		if path[0] != '[' {
			end := strings.IndexAny(path, ".[")
			if end < 0 {
				end = len(path)
			}
			all = append(all, path[:end])
			path = path[end:]
			continue
		}
		if path[1] == '"' {
			quoted, err := strconv.QuotedPrefix(path[1:])
			if err != nil {
				t.Fatalf("path %q: %v", path, err)
			}
			key, _ := strconv.Unquote(quoted)
			all = append(all, key)
			path = path[1+len(quoted)+1:]
			continue
		}
		number, rest, _ := strings.Cut(path[1:], "]")
		i, err := strconv.Atoi(number)
		if err != nil {
			t.Fatalf("path %q: %v", path, err)
		}
		all = append(all, i)
		path = rest
	}
	return all
}

func set(t *rapid.T, v any, way []any, to any, remove bool) any {
	if len(way) == 0 {
		return to
	}
	switch v := v.(type) {
	case map[string]any:
		key := way[0].(string)
		if remove && len(way) == 1 {
			delete(v, key)
			return v
		}
		v[key] = set(t, v[key], way[1:], to, remove)
		return v
	case []any:
		i := way[0].(int)
		switch {
		case remove && len(way) == 1 && i == len(v)-1:
			return v[:i]
		case i == len(v) && len(way) == 1:
			return append(v, to)
		}
		v[i] = set(t, v[i], way[1:], to, remove)
		return v
	}
	t.Fatalf("%v has nothing at %v", v, way)
	return nil
}
