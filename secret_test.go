package hedgerow_test

import (
	"bytes"
	"encoding/base64"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"

	"hedgerow"
)

const canary = "Canary-4711-xyzzy"

// shows reports whether text gives the canary away, as characters, numbers or
// in an encoding.
func shows(text string) bool {
	text = strings.ToLower(text)
	for _, form := range printed {
		if strings.Contains(text, form) {
			return true
		}
	}
	return false
}

var printed = func() []string {
	var all []string
	for _, form := range []string{
		canary, fmt.Sprintf("%x", canary), fmt.Sprintf("% x", canary), fmt.Sprintf("%d", []byte(canary)), fmt.Sprintf("%o", []byte(canary)),
		fmt.Sprintf("%#v", []byte(canary)), fmt.Sprintf("%U", []byte(canary)), fmt.Sprintf("%b", []byte(canary)), fmt.Sprintf("%c", []byte(canary)),
		base64.StdEncoding.EncodeToString([]byte(canary)), "67 97 110", "67, 97, 110",
	} {
		all = append(all, strings.ToLower(strings.Trim(form, "[]")))
	}
	return all
}()

func TestSecretIsNeverPrinted(t *testing.T) {
	s := hedgerow.NewSecret([]byte(canary))
	type holder struct {
		Exported hedgerow.Secret
		hidden   hedgerow.Secret
		pointer  *hedgerow.Secret
	}
	h := holder{s, s, &s}
	values := map[string]any{
		"value": s, "pointer": &s, "struct": h, "struct pointer": &h, "slice": []hedgerow.Secret{s},
		"map": map[string]hedgerow.Secret{"k": s}, "any": []any{s, h}, "error": fmt.Errorf("with %v", s),
	}
	for name, v := range values {
		for _, verb := range "vdsqxXobcUtTpeEfFgGOwz" {
			for _, flags := range []string{"", "+", "#", " ", "-20", "020", "+#"} {
				format := "%" + flags + string(verb)
				if text := fmt.Sprintf(format, v); shows(text) {
					t.Errorf("%s printed with %s shows the secret: %s", name, format, text)
				}
			}
		}
		if text := fmt.Sprint(v) + fmt.Sprintln(v); shows(text) {
			t.Errorf("%s shows the secret: %s", name, text)
		}
		var b bytes.Buffer
		slog.New(slog.NewTextHandler(&b, nil)).Info("m", "k", v, slog.Group("g", "k", v))
		slog.New(slog.NewJSONHandler(&b, nil)).Info("m", "k", v, slog.Group("g", "k", v))
		if shows(b.String()) {
			t.Errorf("%s logged shows the secret: %s", name, b.String())
		}
		for form, marshal := range map[string]func(any) ([]byte, error){
			"json": json.Marshal, "yaml": marshalYAML, "xml": xml.Marshal, "gob": marshalGob,
		} {
			if b, err := marshal(v); shows(string(b)) || err != nil && shows(err.Error()) {
				t.Errorf("%s as %s shows the secret: %s, %v", name, form, b, err)
			}
		}
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		if diff := cmp.Diff("***", fmt.Sprintf(verb, s)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", verb, diff)
		}
	}
	if s.String() != "***" {
		t.Errorf("String is %q", s.String())
	}
	for _, marshal := range []func(any) ([]byte, error){json.Marshal, marshalYAML, xml.Marshal} {
		if b, err := marshal(s); err == nil {
			t.Errorf("a secret was serialised: %s", b)
		}
	}
	if _, err := s.MarshalText(); err == nil {
		t.Error("a secret was serialised as text")
	}
}

// marshalYAML returns the panic of a marshaler as an error, as yaml reports it.
func marshalYAML(v any) (b []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	return yaml.Marshal(v)
}

func marshalGob(v any) ([]byte, error) {
	var b bytes.Buffer
	err := gob.NewEncoder(&b).Encode(v)
	return b.Bytes(), err
}

func TestSecretReveals(t *testing.T) {
	if got := string(hedgerow.NewSecret([]byte(canary)).Reveal()); got != canary {
		t.Errorf("got %q", got)
	}
	var none hedgerow.Secret
	if !none.IsZero() || none.Reveal() != nil || !hedgerow.NewSecret(nil).IsZero() || hedgerow.NewSecret([]byte("x")).IsZero() {
		t.Error("IsZero is wrong")
	}
}

func redactor(secrets ...string) *hedgerow.Redactor {
	r := &hedgerow.Redactor{}
	for _, s := range secrets {
		r.Add(hedgerow.NewSecret([]byte(s)))
	}
	return r
}

func TestRedactor(t *testing.T) {
	std, raw := base64.StdEncoding, base64.RawURLEncoding
	odd := "p@ss?w/rd>~~"
	for _, tc := range []struct {
		name    string
		secrets []string
		text    string
		want    string
	}{
		{"none known", nil, "token abcd", "token abcd"},
		{"as it is", []string{canary}, "token " + canary + "!", "token ***!"},
		{"twice", []string{canary}, canary + canary + " " + canary, "*** ***"},
		{"trimmed", []string{" " + canary + "\n"}, "x" + canary + "x", "x***x"},
		{"too short", []string{"abc"}, "abcdef", "abcdef"},
		{"short inside long", []string{"pass", "password-1"}, "it is password-1 or pass", "it is *** or ***"},
		{"long inside short first", []string{"password-1", "word"}, "password-1 word", "*** ***"},
		{"overlapping", []string{"abcdef", "defghi"}, "x abcdefghi x", "x *** x"},
		{"overlapping itself", []string{"abab"}, "xabababx", "x***x"},
		{"padded base64", []string{canary}, "b64 " + std.EncodeToString([]byte(canary)), "b64 ***="},
		{"url base64", []string{odd}, "b64 " + raw.EncodeToString([]byte(odd)), "b64 ***"},
		{"in a url", []string{odd}, "https://x/?q=" + url.QueryEscape(odd), "https://x/?q=***"},
		{"as user information", []string{odd}, (&url.URL{Scheme: "https", User: url.UserPassword("u", odd), Host: "h"}).String(), "https://u:***@h"},
		{"quoted", []string{"two\n\"lines\""}, fmt.Sprintf("got %q", "two\n\"lines\""), `got "***"`},
		{"in JSON", []string{"a<b>\"c\""}, `{"p":"a\u003cb\u003e\"c\""}`, `{"p":"***"}`},
		{"made one line", []string{"two\nlines"}, hedgerow.OneLine("got two\nlines"), "got ***"},
		{"several lines", []string{"-----BEGIN KEY-----\nabcd\n-----END KEY-----\n"}, "got -----BEGIN KEY-----\nabcd\n-----END KEY-----\n", `got ***\u000a`},
		{"one line after", []string{canary}, "a\r\nb " + canary, `a\u000d\u000ab ***`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, redactor(tc.secrets...).Text(tc.text)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	var none *hedgerow.Redactor
	if got := none.Text("a\nb"); got != `a\u000ab` {
		t.Errorf("a nil redactor gives %q", got)
	}
}

// Whatever stands around secrets, however they overlap: none can be read.
func TestRedactorLeaksNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringMatching(`[ab]{4,8}`)
		secrets := rapid.SliceOfN(word, 1, 4).Draw(t, "secrets")
		text := strings.Join(rapid.SliceOfN(rapid.OneOf(rapid.SampledFrom(secrets), rapid.StringMatching(`[abc ]{0,3}`)), 0, 8).Draw(t, "parts"), "")
		got := redactor(secrets...).Text(text)
		for _, s := range secrets {
			if strings.Contains(got, s) {
				t.Fatalf("%q with %q gives %q", text, secrets, got)
			}
		}
		// What is left is the text around.
		at := 0
		for i, part := range strings.Split(got, "***") {
			j := strings.Index(text[at:], part)
			if j < 0 || i == 0 && j != 0 {
				t.Fatalf("%q with %q gives %q: %q is not of the text", text, secrets, got, part)
			}
			at += j + len(part)
		}
	})
}

// Basic authentication puts a password at any place of a base64 text.
func TestRedactorFindsBasicAuth(t *testing.T) {
	for _, user := range []string{"u", "us", "use", "user"} {
		for _, after := range []string{"", "1", "12", "123"} {
			b64 := base64.StdEncoding.EncodeToString([]byte(user + ":" + canary + after))
			got := redactor(canary).Text("Basic " + b64)
			if !strings.Contains(got, "***") || len(got) > len("Basic ***")+len(b64)-len(canary) {
				t.Errorf("%s gives %s", b64, got)
			}
		}
	}
}

func TestOneLine(t *testing.T) {
	for in, want := range map[string]string{
		"":                       "",
		"plain, ünïcode 漢字 😀 é":  "plain, ünïcode 漢字 😀 é",
		"\x1b[2J\x1b]0;title\a":  `\u001b[2J\u001b]0;title\u0007`,
		"a\r\nb\tc\vd":           `a\u000d\u000ab\u0009c\u000bd`,
		"user\u202egpj.exe":      `user\u202egpj.exe`,
		"zero\u200bwidth\ufeff":  `zero\u200bwidth\ufeff`,
		"line\u2028sep\u2029":    `line\u2028sep\u2029`,
		"c1 \u009b31m":           `c1 \u009b31m`,
		"del\x7f nul\x00":        `del\u007f nul\u0000`,
		"tag \U000E0041":         `tag \U000e0041`,
		"soft\u00adhyphen":       `soft\u00adhyphen`,
		"no-break\u00a0space":    "no-break\u00a0space",
		"not utf-8 \x9b31m \xff": "not utf-8 \ufffd31m \ufffd",
	} {
		if diff := cmp.Diff(want, hedgerow.OneLine(in)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", in, diff)
		}
	}
}
