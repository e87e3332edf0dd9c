package access_test

import (
	"strings"
	"testing"
	"time"

	"hedgerow/vlab/access"
)

var start = time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)

const text = `users:
- name: a
  token: ta
  groups: [g]
  expires: 30s
  rules:
  - {verbs: [get], groups: [x], resources: [things, "*/status"]}
- name: b
  token: tb
  rules: [{verbs: ["*"], groups: [""], resources: ["*"], namespaces: [n]}]
- {name: m, token: tm, groups: ["system:masters"], rules: []}
`

func TestAllows(t *testing.T) {
	p, err := access.Parse("f", []byte(text), start)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		user string
		access.Request
		want bool
	}{
		{"a", access.Request{Verb: "get", Group: "x", Resource: "things"}, true},
		{"a", access.Request{Verb: "get", Group: "x", Resource: "things", Namespace: "n"}, true},
		{"a", access.Request{Verb: "list", Group: "x", Resource: "things"}, false},
		{"a", access.Request{Verb: "get", Group: "y", Resource: "things"}, false},
		{"a", access.Request{Verb: "get", Group: "x", Resource: "others"}, false},
		{"a", access.Request{Verb: "get", Group: "x", Resource: "others", Subresource: "status"}, true},
		{"a", access.Request{Verb: "get", Group: "x", Resource: "things", Subresource: "scale"}, false},
		{"b", access.Request{Verb: "delete", Resource: "any", Subresource: "sub", Namespace: "n"}, true},
		{"b", access.Request{Verb: "delete", Resource: "any", Namespace: "o"}, false},
		{"b", access.Request{Verb: "delete", Resource: "any"}, false},
		{"m", access.Request{Verb: "delete", Group: "x", Resource: "any"}, true},
		{"c", access.Request{Verb: "get", Group: "x", Resource: "things"}, false},
	} {
		if got := p.Allows(test.user, test.Request); got != test.want {
			t.Errorf("%s %+v: %v, want %v", test.user, test.Request, got, test.want)
		}
	}
	for _, test := range []struct {
		after       time.Duration
		ok, expired bool
	}{{0, true, false}, {30*time.Second - 1, true, false}, {30 * time.Second, false, true}} {
		if u, ok, expired := p.ByToken("ta", start.Add(test.after)); u.Name != "a" || ok != test.ok || expired != test.expired {
			t.Errorf("after %s: %v %v %v", test.after, u.Name, ok, expired)
		}
	}
	if _, ok, expired := p.ByToken("other", start); ok || expired {
		t.Error("an unknown token is good")
	}
}

func TestMistakes(t *testing.T) {
	const rule = "rules: [{verbs: [get], groups: [x], resources: [y]}]"
	for _, test := range []struct{ text, want string }{
		{"", "f:1: no users"},
		{"- name: [", "f"},
		{"- name: a\n  tokn: t\n", "f:2: field tokn is not known: a user has"},
		{"users:\n- name: a\n", "f:2: user \"a\" has no usable token"},
		{"- {token: t}\n", "f:1: a user without name"},
		{"- {name: a, token: t, " + rule + "}\n- {name: a, token: u}\n", "f:2: user \"a\" is there twice"},
		{"- {name: a, token: t, " + rule + "}\n- {name: b, token: t}\n", "f:2: user \"b\" has the token of another user"},
		{"- {name: a, token: t, expires: soon}\n", "f:1: user \"a\": expires \"soon\""},
		{"- {name: a, token: t, rules: [{verbs: [look], groups: [x], resources: [y]}]}\n", "f:1: user \"a\": unknown verb \"look\""},
		{"- {name: a, token: t, rules: [{verbs: [get], resources: [y]}]}\n", "f:1: user \"a\": a rule without groups"},
	} {
		_, err := access.Parse("f", []byte(test.text), start)
		if err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%q: got %v, want %q", test.text, err, test.want)
		}
	}
}

func TestDefault(t *testing.T) {
	p, err := access.Parse("f", access.Default(), start)
	if err != nil {
		t.Fatal(err)
	}
	write := access.Request{Verb: "create", Group: "x", Resource: "y"}
	read := access.Request{Verb: "list", Group: "x", Resource: "y"}
	if !p.Everything("admin") || p.Allows("viewer", write) || !p.Allows("viewer", read) {
		t.Error("admin and viewer have the wrong rights")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(text))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := access.Parse("f", b, start); err != nil && !strings.HasPrefix(err.Error(), "f:") {
			t.Errorf("an error without place: %v", err)
		}
	})
}
