package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestCanonical(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{
		{"as it is", `{"a":1,"b":[true,null,"x"]}`, `{"a":1,"b":[true,null,"x"]}`},
		{"white space", " { \"a\" : [ 1 ,\n\t2 ] } ", `{"a":[1,2]}`},
		{"key order", `{"b":{"d":1,"c":2},"a":[{"z":1,"y":2}]}`, `{"a":[{"y":2,"z":1}],"b":{"c":2,"d":1}}`},
		{"key order is that of UTF-16", `{"\ufb33":1,"😀":2,"é":3,"z":4}`, `{"z":4,"é":3,"😀":2,"` + "\ufb33" + `":1}`},
		{"needless escapes", `{"\u0061":"\u00e9\/\u0041"}`, `{"a":"é/A"}`},
		{"needed escapes", `"\u0000\u0007\u0008\u0009\u000a\u000c\u000d\u001f\"\\"`, `"\u0000\u0007\b\t\n\f\r\u001f\"\\"`},
		{"no escape for the sake of HTML", `"\u003c\u2028\u007f"`, "\"<\u2028\x7f\""},
		{"pairs", `"\ud83d\ude00"`, `"😀"`},
		{"numbers stay", `[1,1.0,1.00,-0,0.1e1,1E+2,1e-7,9223372036854775807,18446744073709551616,123456789012345678901234567890]`, `[1,1.0,1.00,-0,0.1e1,1E+2,1e-7,9223372036854775807,18446744073709551616,123456789012345678901234567890]`},
		{"empties", `[ {} , [ ] , "" ]`, `[{},[],""]`},
		{"an empty key", `{"b":1,"":2}`, `{"":2,"b":1}`},
		{"as deep as can be", strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth), strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth)},
		{"brackets in texts are not depth", `{"b":"` + strings.Repeat(`[\"{`, MaxDepth) + `","a":1}`, `{"a":1,"b":"` + strings.Repeat(`[\"{`, MaxDepth) + `"}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in := []byte(tc.in)
			got, err := Canonical(in)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, string(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if string(in) != tc.in {
				t.Error("the input was changed")
			}
		})
	}
}

func TestCanonicalRefuses(t *testing.T) {
	for name, in := range map[string]string{
		"duplicate keys":            `{"a":1,"a":1}`,
		"duplicate keys below":      `{"a":[{"b":1,"c":2,"b":3}]}`,
		"duplicate keys by escape":  `{"a":1,"\u0061":2}`,
		"too deep":                  strings.Repeat("[", MaxDepth+1) + strings.Repeat("]", MaxDepth+1),
		"far too deep":              strings.Repeat(`{"a":`, 20000) + "1" + strings.Repeat("}", 20000),
		"half a pair":               `"\ud800"`,
		"an escape that is none":    `"\x41"`,
		"two values":                `{} {}`,
		"a comma too many":          `{"b":1, "a":2,}`,
		"bytes that are not UTF-8 ": "{\"b\":\"\xff\", \"a\":1}",
	} {
		if got, err := Canonical([]byte(in)); err == nil {
			t.Errorf("%s: accepted as %.80s", name, got)
		}
	}
}

// slowCanonical is what Canonical must equal, without any of its haste.
func slowCanonical(v []byte) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(v))
	d.UseNumber()
	var b bytes.Buffer
	if err := slowValue(&b, d); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("trailing text")
	}
	return b.Bytes(), nil
}

func slowValue(b *bytes.Buffer, d *json.Decoder) error {
	tok, err := d.Token()
	if err != nil {
		return err
	}
	switch tok := tok.(type) {
	case json.Delim:
		if tok == '[' {
			return slowList(b, d)
		}
		return slowObject(b, d)
	case string:
		slowText(b, tok)
	case json.Number:
		b.WriteString(tok.String())
	case bool:
		fmt.Fprint(b, tok)
	case nil:
		b.WriteString("null")
	}
	return nil
}

func slowList(b *bytes.Buffer, d *json.Decoder) error {
	b.WriteByte('[')
	for first := true; d.More(); first = false {
		if !first {
			b.WriteByte(',')
		}
		if err := slowValue(b, d); err != nil {
			return err
		}
	}
	b.WriteByte(']')
	_, err := d.Token()
	return err
}

func slowObject(b *bytes.Buffer, d *json.Decoder) error {
	type member struct {
		key   []uint16
		name  string
		value string
	}
	var all []member
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		var v bytes.Buffer
		if err := slowValue(&v, d); err != nil {
			return err
		}
		name := key.(string)
		all = append(all, member{utf16.Encode([]rune(name)), name, v.String()})
	}
	slices.SortFunc(all, func(x, y member) int { return slices.Compare(x.key, y.key) })
	b.WriteByte('{')
	for i, m := range all {
		if i > 0 {
			if m.name == all[i-1].name {
				return errors.New("duplicate key")
			}
			b.WriteByte(',')
		}
		slowText(b, m.name)
		b.WriteString(":" + m.value)
	}
	b.WriteByte('}')
	_, err := d.Token()
	return err
}

func slowText(b *bytes.Buffer, s string) {
	b.WriteByte('"')
	for _, c := range s {
		if short := map[rune]string{'"': `\"`, '\\': `\\`, '\b': `\b`, '\f': `\f`, '\n': `\n`, '\r': `\r`, '\t': `\t`}[c]; short != "" {
			b.WriteString(short)
		} else if c < 0x20 {
			fmt.Fprintf(b, `\u%04x`, c)
		} else {
			b.WriteRune(c)
		}
	}
	b.WriteByte('"')
}

// What follows draws JSON values, and writes one value in many ways.

var (
	drawnText = rapid.OneOf(
		rapid.StringMatching(`[a-c]{0,3}`),
		rapid.SampledFrom([]string{"é", "\ufb33", "😀", "\u2028", "\x00", "\x1b[2J", "\"", "\\", "<&>", "a/b", "fabric.githedgehog.com/ports", " "}),
		rapid.String().Filter(func(s string) bool { return !strings.ContainsRune(s, '\ufffd') }),
	)
	drawnNumber = rapid.SampledFrom([]string{"0", "-0", "1", "1.0", "-12.50", "1e5", "1E+05", "9223372036854775807", "-9223372036854775809", "123456789012345678901234567890", "0.1"})
)

func drawnTree(depth int) *rapid.Generator[any] {
	scalar := rapid.OneOf(
		rapid.Map(drawnText, func(s string) any { return s }),
		rapid.Map(drawnNumber, func(s string) any { return json.Number(s) }),
		rapid.SampledFrom([]any{true, false, nil}),
	)
	if depth == 0 {
		return scalar
	}
	below := drawnTree(depth - 1)
	return rapid.OneOf(
		scalar,
		rapid.Map(rapid.SliceOfN(below, 0, 4), func(l []any) any { return l }),
		rapid.Map(rapid.MapOfN(drawnText, below, 0, 5), func(m map[string]any) any { return m }),
	)
}

// write writes v as JSON: with blanks, escapes and an order of keys that are
// drawn, or plainly.
func write(t *rapid.T, v any, plainly bool) string {
	blank := rapid.SampledFrom([]string{"", "", "", " ", "\n\t", "\r\n"})
	var b strings.Builder
	space := func() {
		if !plainly {
			b.WriteString(blank.Draw(t, "blank"))
		}
	}
	text := func(s string) {
		if plainly || rapid.Bool().Draw(t, "plain text") {
			var p bytes.Buffer
			slowText(&p, s)
			b.Write(p.Bytes())
			return
		}
		b.WriteByte('"')
		for _, u := range utf16.Encode([]rune(s)) {
			fmt.Fprintf(&b, `\u%04X`, u)
		}
		b.WriteByte('"')
	}
	var value func(v any)
	value = func(v any) {
		space()
		switch v := v.(type) {
		case map[string]any:
			keys := make([]string, 0, len(v))
			for k := range v {
				keys = append(keys, k)
			}
			slices.Sort(keys)
			if !plainly && len(keys) > 1 {
				keys = rapid.Permutation(keys).Draw(t, "keys")
			}
			b.WriteByte('{')
			for i, k := range keys {
				if i > 0 {
					b.WriteByte(',')
				}
				space()
				text(k)
				space()
				b.WriteByte(':')
				value(v[k])
			}
			b.WriteByte('}')
		case []any:
			b.WriteByte('[')
			for i, e := range v {
				if i > 0 {
					b.WriteByte(',')
				}
				value(e)
			}
			b.WriteByte(']')
		case string:
			text(v)
		case nil:
			b.WriteString("null")
		default:
			fmt.Fprint(&b, v)
		}
		space()
	}
	value(v)
	return b.String()
}

func TestCanonicalProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := drawnTree(4).Draw(t, "value")
		text := []byte(write(t, v, rapid.Bool().Draw(t, "plainly")))
		canonicalAgrees(t, text)
		other, err := Canonical([]byte(write(t, v, false)))
		if err != nil {
			t.Fatal(err)
		}
		got, _ := Canonical(text)
		if !bytes.Equal(got, other) {
			t.Fatalf("two ways to write one value:\n%s\n%s", got, other)
		}
	})
}

type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// canonicalAgrees holds Canonical and isCanonical against slowCanonical.
func canonicalAgrees(t failer, text []byte) {
	t.Helper()
	want, err := slowCanonical(text)
	if err != nil {
		t.Fatalf("the reference fails on %q: %v", text, err)
	}
	got, err := Canonical(text)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("%q:\n got %q\nwant %q", text, got, want)
	}
	if isCanonical(text) && !bytes.Equal(text, want) {
		t.Fatalf("%q is taken for canonical, which is %q", text, want)
	}
	again, err := Canonical(got)
	if err != nil || !bytes.Equal(again, got) {
		t.Fatalf("canonical twice: %q, then %q, %v", got, again, err)
	}
}

func FuzzCanonical(f *testing.F) {
	for _, s := range []string{
		`{"a":1}`, `{"b":1,"a":{"d":[1,2.0,{"z":null}],"c":"\u00e9\n"}}`, ` [ true , false ] `, `"😀"`, `{"é":1,"\ufb33":2}`, `{"a":1,"\u0061":2}`,
		`{"a":1,"a":2}`, `-0.0e-0`, `{"":{"":""}}`, "\"\x7f\u2028\"", `[[[[[[]]]]]]`, `{"a":"\ud83d\ude00"}`, `{"a":"\ud800"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if deeper(text, MaxDepth) {
			return
		}
		if jsontext.Value(text).IsValid() {
			canonicalAgrees(t, text)
			return
		}
		if jsontext.Value(text).IsValid(jsontext.AllowDuplicateNames(true)) {
			if isCanonical(text) {
				t.Fatalf("%q is taken for canonical, with its duplicate keys", text)
			}
			if got, err := Canonical(text); err == nil {
				t.Fatalf("%q: duplicate keys became %q", text, got)
			}
		}
	})
}
