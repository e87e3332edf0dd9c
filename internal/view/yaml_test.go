package view_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
	kubeyaml "k8s.io/apimachinery/pkg/util/yaml"
	"pgregory.net/rapid"

	"hedgerow"
	"hedgerow/internal/view"
)

func TestYAML(t *testing.T) {
	tree := parse(t, `{"spec":{"role":"spine","asn":65100,"on":"on","yes":true,"n":null,"empty":{},"none":[],"float":1.0,"exp":1e5,"big":18446744073709551616,
		"text":"two\nlines\n","links":[{"port":"E1/1"},["a"],"1"],"time":"2026-03-14T15:09:26Z"},"kind":"Switch","metadata":{"name":"a"},"zz":"","apiVersion":"v1","aa":"~"}`)
	want := `apiVersion: v1
kind: Switch
metadata:
  name: a
spec:
  asn: 65100
  big: 18446744073709551616
  empty: {}
  exp: 1e5
  float: 1.0
  links:
    - port: E1/1
    - - a
    - "1"
  "n": null
  none: []
  "on": "on"
  role: spine
  text: |
    two
    lines
  time: "2026-03-14T15:09:26Z"
  "yes": true
aa: "~"
zz: ""
`
	got, err := view.YAML(tree)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := view.YAML(map[string]any{"a": struct{}{}}); err == nil {
		t.Error("a tree of anything is written")
	}
}

// hostile texts are those that YAML, a terminal or a reader could take for
// something else.
var hostile = []string{
	"", " ", "  lead", "trail ", "\n", "\n\n", "\na", "a\n", "a\n\n", "  a\nb", "a\n  b\n", "a\n \n", "\n  a", " \n a\nb", "a\tb", "\ta", "a\r\nb", "\r",
	"\x1b[2J", "\x1b]0;x\a", "\x00", "\x7f", "\u0085", "\u009b31m", "\u00a0", "\u200b", "\u202e evil", "\u2028", "\u2029", "\ufeff", "\ufffd", "\ufffe", "😀", "\U000E0041", "\U0001D173",
	"null", "~", "true", "yes", "off", "1", "1.0", "0x1f", "0o17", "1_000", "1e3", ".inf", ".nan", "-", "2026-03-14", "12:30:00", "=", "<<", "!!int 1", "&a", "*a", "@x", "`x", "%x",
	"- a", "a: b", "a:", "? a", "# no", "a # b", "{a: b}", "[a]", "---", "...", "--- a", "a\n---\nb: c", "|", ">", "'", "\"", "\\", "\\u001b", `\x1b`, "it's", "a'b\"c", "é\nü", "x\n\u202e\ny",
	strings.Repeat("long ", 100), strings.Repeat("x", 300), strings.Repeat("k", 130) + ": v", "a\n" + strings.Repeat(" ", 20) + "b", "a \nb", "line\nwith \u200b zero\n", "\n\x1b", "\x1b\n  y",
}

func drawn(depth int) *rapid.Generator[any] {
	text := rapid.OneOf(rapid.SampledFrom(hostile), rapid.String(), rapid.Map(rapid.SliceOfN(rapid.SampledFrom(hostile), 2, 3), func(l []string) string { return strings.Join(l, "") }))
	scalar := rapid.OneOf(
		rapid.Map(text, func(s string) any { return s }),
		rapid.SampledFrom([]any{nil, true, false}),
		rapid.Map(rapid.SampledFrom([]string{"0", "-0", "1", "1.0", "1.50", "-12", "1e5", "1E+05", "1e-7", "9223372036854775807", "-9223372036854775808", "18446744073709551615", "18446744073709551616", "123456789012345678901234567890", "-1e-400"}), func(s string) any { return json.Number(s) }),
	)
	if depth == 0 {
		return scalar
	}
	below := drawn(depth - 1)
	return rapid.OneOf(scalar,
		rapid.Map(rapid.SliceOfN(below, 0, 3), func(l []any) any { return l }),
		rapid.Map(rapid.MapOfN(text, below, 0, 3), func(m map[string]any) any { return m }))
}

type failer interface {
	Helper()
	Fatalf(string, ...any)
}

func TestHostileTexts(t *testing.T) {
	for _, s := range hostile {
		t.Run(fmt.Sprintf("%q", s), func(t *testing.T) {
			roundTrip(t, s)
			roundTrip(t, map[string]any{s: s, "b": []any{s, map[string]any{s: []any{s}}}, "z": map[string]any{"deep": map[string]any{"deeper": s}}})
		})
	}
}

func TestRoundTripProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { roundTrip(t, drawn(3).Draw(t, "tree")) })
}

// roundTrip writes v as YAML and as JSON; both must read back as v and be safe
// to print.
func roundTrip(t failer, v any) {
	t.Helper()
	y, err := view.YAML(v)
	if err != nil {
		t.Fatalf("%#v: %v", v, err)
	}
	var n yaml.Node
	if err := yaml.Unmarshal(y, &n); err != nil {
		t.Fatalf("%#v: YAML does not read back: %v\n%s", v, err, y)
	}
	if diff := cmp.Diff(v, fromYAML(t, n.Content[0])); diff != "" {
		t.Fatalf("YAML reads back as another (-want +got):\n%s\n%s", diff, y)
	}
	// kubectl reads YAML 1.1, into floats.
	if asKubectl, err := kubeyaml.ToJSON(y); err != nil {
		t.Fatalf("kubectl cannot read it: %v\n%s", err, y)
	} else if diff := cmp.Diff(numberless(v), numberless(parse(t, string(asKubectl)))); diff != "" {
		t.Fatalf("kubectl reads another (-want +got):\n%s\n%s", diff, y)
	}
	j, err := view.JSON(v)
	if err != nil {
		t.Fatalf("%#v: %v", v, err)
	}
	if diff := cmp.Diff(v, parse(t, string(j))); diff != "" {
		t.Fatalf("JSON reads back as another (-want +got):\n%s\n%s", diff, j)
	}
	for _, out := range [][]byte{y, j} {
		if !utf8.Valid(out) || !bytes.HasSuffix(out, []byte("\n")) {
			t.Fatalf("not UTF-8, or no line: %q", out)
		}
		for _, c := range string(out) {
			if c != '\n' && (unicode.IsControl(c) || unicode.Is(unicode.Cf, c) || unicode.Is(unicode.Zl, c) || unicode.Is(unicode.Zp, c)) {
				t.Fatalf("%U is written as it is: %q", c, out)
			}
		}
		for l := range strings.Lines(string(out)) {
			if l = strings.TrimSuffix(l, "\n"); hedgerow.OneLine(l) != l {
				t.Fatalf("not safe to print: %q", l)
			}
		}
	}
}

// numberless puts one number for all.
func numberless(v any) any {
	switch v := v.(type) {
	case json.Number:
		return 0
	case []any:
		l := make([]any, len(v))
		for i, e := range v {
			l[i] = numberless(e)
		}
		return l
	case map[string]any:
		m := map[string]any{}
		for k, e := range v {
			m[k] = numberless(e)
		}
		return m
	}
	return v
}

func parse(t failer, text string) any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return v
}

// fromYAML reads a tree back by the tags that YAML gives its scalars: an
// independent way to what yaml.Unmarshal would make of it, but for numbers,
// which stay as written.
func fromYAML(t failer, n *yaml.Node) any {
	t.Helper()
	switch n.Kind {
	case yaml.MappingNode:
		m := map[string]any{}
		for i := 0; i < len(n.Content); i += 2 {
			if tag := n.Content[i].ShortTag(); tag != "!!str" {
				t.Fatalf("the key %q is of the type %s", n.Content[i].Value, tag)
			}
			m[n.Content[i].Value] = fromYAML(t, n.Content[i+1])
		}
		return m
	case yaml.SequenceNode:
		l := []any{}
		for _, e := range n.Content {
			l = append(l, fromYAML(t, e))
		}
		return l
	case yaml.ScalarNode:
		switch tag := n.ShortTag(); tag {
		case "!!str":
			return n.Value
		case "!!int", "!!float":
			return json.Number(n.Value)
		case "!!null":
			return nil
		case "!!bool":
			return n.Value == "true"
		default:
			t.Fatalf("%q is of the type %s", n.Value, tag)
		}
	}
	t.Fatalf("a node of kind %d", n.Kind)
	return nil
}

func TestJSON(t *testing.T) {
	got, err := view.JSON(map[string]any{"b": "<\x1b[2J\u202e\U000E0041>", "a": []any{json.Number("1.0"), map[string]any{}}})
	if err != nil {
		t.Fatal(err)
	}
	want := `{
  "a": [
    1.0,
    {}
  ],
  "b": "<\u001b[2J\u202e\udb40\udc41>"
}
`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := view.JSON(func() {}); err == nil {
		t.Error("a function is written")
	}
}
