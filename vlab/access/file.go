package access

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// fileUser is a user as written in the file.
type fileUser struct {
	Name    string   `yaml:"name"`
	Token   string   `yaml:"token"`
	Groups  []string `yaml:"groups,omitempty,flow"`
	Rules   []Rule   `yaml:"rules"`
	Expires string   `yaml:"expires,omitempty"`
}

type file struct {
	Users []fileUser `yaml:"users"`
}

// Error is a mistake in a users file.
type Error struct {
	File string
	Line int // counted from 1; 0 when unknown
	Text string
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return e.File + ": " + e.Text
	}
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Text)
}

// Parse reads a users file: a YAML list of users, or a mapping with that list under "users". A duration in expires
// counts from start. name is used in errors, which are always of type *Error and name the line.
func Parse(name string, text []byte, start time.Time) (*Policy, error) {
	raw, lines, err := decode(text)
	if err != nil {
		return nil, yamlError(name, err)
	}
	if len(raw) == 0 {
		return nil, &Error{File: name, Line: 1, Text: `no users: write a list of {name, token, rules}`}
	}
	users := make([]User, 0, len(raw))
	for i, f := range raw {
		u, err := f.user(start)
		if err != nil {
			return nil, &Error{File: name, Line: lines[i], Text: err.Error()}
		}
		if slices.ContainsFunc(users, func(o User) bool { return o.Name == u.Name }) {
			return nil, &Error{File: name, Line: lines[i], Text: fmt.Sprintf("user %q is there twice: give each user one entry", u.Name)}
		}
		if slices.ContainsFunc(users, func(o User) bool { return o.Token == u.Token }) {
			return nil, &Error{File: name, Line: lines[i], Text: fmt.Sprintf("user %q has the token of another user: tokens must differ", u.Name)}
		}
		users = append(users, u)
	}
	return newPolicy(users), nil
}

// decode reads strictly: a misspelt key would otherwise silently take or give a right.
func decode(text []byte) ([]fileUser, []int, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		return nil, nil, err
	}
	if len(root.Content) == 0 {
		return nil, nil, nil
	}
	strict := yaml.NewDecoder(bytes.NewReader(text))
	strict.KnownFields(true)
	var f file
	list := root.Content[0]
	var err error
	if list.Kind == yaml.SequenceNode {
		err = strict.Decode(&f.Users)
	} else {
		err = strict.Decode(&f)
		list = valueOf(list, "users")
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, err
	}
	lines := make([]int, len(f.Users))
	for i := range lines {
		if list != nil && i < len(list.Content) {
			lines[i] = list.Content[i].Line
		}
	}
	return f.Users, lines, nil
}

func valueOf(mapping *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return mapping.Content[i+1]
		}
	}
	return nil
}

func (f fileUser) user(start time.Time) (User, error) {
	u := User{Name: f.Name, Token: f.Token, Groups: f.Groups, Rules: f.Rules}
	if f.Name == "" {
		return u, errors.New("a user without name: add name")
	}
	if f.Token == "" || strings.ContainsAny(f.Token, " \t\r\n") {
		return u, fmt.Errorf("user %q has no usable token: add token, without blanks", f.Name)
	}
	for _, r := range f.Rules {
		if err := r.check(); err != nil {
			return u, fmt.Errorf("user %q: %w", f.Name, err)
		}
	}
	if f.Expires == "" {
		return u, nil
	}
	var err error
	if u.Expires, err = time.Parse(time.RFC3339, f.Expires); err == nil {
		return u, nil
	}
	after, err := time.ParseDuration(f.Expires)
	if err != nil {
		return u, fmt.Errorf("user %q: expires %q is neither a time (2026-11-23T08:00:00Z) nor a duration after start (30s)", f.Name, f.Expires)
	}
	u.Expires = start.Add(after)
	return u, nil
}

func (r Rule) check() error {
	for _, part := range []struct {
		name   string
		values []string
	}{{"verbs", r.Verbs}, {"groups", r.Groups}, {"resources", r.Resources}} {
		if len(part.values) == 0 {
			return fmt.Errorf(`a rule without %s allows nothing: list some, or ["*"] for all`, part.name)
		}
	}
	for _, v := range r.Verbs {
		if v != All && !slices.Contains(Verbs, v) {
			return fmt.Errorf("unknown verb %q: use %s or *", v, strings.Join(Verbs, ", "))
		}
	}
	return nil
}

var yamlLine = regexp.MustCompile(`line (\d+): ([^\n]*)`)

// yamlError keeps the first mistake that the YAML library names, without the names of our types.
func yamlError(name string, err error) *Error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		line, _ := strconv.Atoi(m[1])
		text, _, _ = strings.Cut(m[2], " in type access.")
		if field, unknown := strings.CutSuffix(text, " not found"); unknown {
			text = field + " is not known: a user has name, token, groups, rules and expires; a rule has verbs, groups, resources and namespaces"
		}
		return &Error{File: name, Line: line, Text: text}
	}
	return &Error{File: name, Text: text}
}

// Default is what a laboratory without a users file gets: admin, who may do everything, and viewer, who may read
// everything, with random tokens.
func Default() []byte {
	text, err := yaml.Marshal(file{Users: []fileUser{
		{Name: "admin", Token: "admin-" + rand.Text(), Rules: []Rule{{Verbs: []string{All}, Groups: []string{All}, Resources: []string{All}}}},
		{Name: "viewer", Token: "viewer-" + rand.Text(), Rules: []Rule{{Verbs: []string{"get", "list", "watch"}, Groups: []string{All}, Resources: []string{All}}}},
	}})
	if err != nil { // plain strings always marshal
		return nil
	}
	return append([]byte("# The users of this vlab. Edit while it runs: it reads the file again within a second.\n"), text...)
}
