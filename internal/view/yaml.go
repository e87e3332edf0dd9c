package view

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"hedgerow"
)

// YAML writes a tree as YAML, keys sorted but for those that kubectl puts
// first. Characters that could command a terminal are written as escapes,
// which read back as the same characters.
func YAML(tree any) ([]byte, error) {
	n, err := node(tree)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(n); err != nil {
		return nil, err
	}
	return escape(b.Bytes(), hedgerow.OneLine), nil
}

// JSON writes v as indented JSON, with the same escapes.
func JSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return escape(b.Bytes(), func(line string) string {
		line = hedgerow.OneLine(line)
		return beyond.ReplaceAllStringFunc(line, pair)
	}), nil
}

// escape writes the characters of every line that do not print as line does. In
// JSON they can stand in texts only, and node has put every YAML text that has
// one in double quotes.
func escape(b []byte, line func(string) string) []byte {
	var out bytes.Buffer
	for l := range strings.Lines(string(b)) {
		text, nl := strings.CutSuffix(l, "\n")
		out.WriteString(line(text))
		if nl {
			out.WriteByte('\n')
		}
	}
	return out.Bytes()
}

// beyond is an escape that YAML has and JSON has not. In JSON's own text every
// backslash is part of an escape, and none begins so.
var beyond = regexp.MustCompile(`\\(?:\\|U[0-9a-f]{8})`)

// pair writes such an escape as JSON does, as two halves.
func pair(escape string) string {
	code, err := strconv.ParseUint(strings.TrimPrefix(escape, `\U`), 16, 32)
	if err != nil {
		return escape // an escaped backslash
	}
	high, low := utf16.EncodeRune(rune(code))
	return fmt.Sprintf(`\u%04x\u%04x`, high, low)
}

func node(v any) (*yaml.Node, error) {
	switch v := v.(type) {
	case map[string]any:
		n := &yaml.Node{Kind: yaml.MappingNode}
		if len(v) == 0 {
			n.Style = yaml.FlowStyle
		}
		for _, k := range keys(v) {
			e, err := node(v[k])
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, text(k), e)
		}
		return n, nil
	case []any:
		n := &yaml.Node{Kind: yaml.SequenceNode}
		if len(v) == 0 {
			n.Style = yaml.FlowStyle
		}
		for _, e := range v {
			c, err := node(e)
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, c)
		}
		return n, nil
	case string:
		return text(v), nil
	case json.Number:
		n := &yaml.Node{Kind: yaml.ScalarNode, Value: v.String()}
		if _, err := v.Float64(); err != nil {
			n.Tag = "!!float" // too large for readers to see that it is one
		}
		return n, nil
	case nil, bool:
		n := &yaml.Node{}
		return n, n.Encode(v)
	}
	return nil, fmt.Errorf("a tree has no %T", v)
}

// yaml11 are texts that readers of YAML 1.1, kubectl among them, take for a
// boolean or for a number to the base of 60. A MAC address can be one.
var yaml11 = regexp.MustCompile(`^(?i:y|yes|n|no|on|off)$|^[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?$`)

// text is a string node: quoted when it would read back as something else, and
// always when it has characters that do not print.
func text(s string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
	one := strings.ReplaceAll(s, "\n", "")
	if !utf8.ValidString(s) || yaml11.MatchString(s) || hedgerow.OneLine(one) != one {
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

// keys sorts a map's keys; those that say what an object is come first.
func keys(m map[string]any) []string {
	all := make([]string, 0, len(m))
	for k := range m {
		all = append(all, k)
	}
	slices.SortFunc(all, func(a, b string) int {
		if ra, rb := rank(a), rank(b); ra != rb {
			return ra - rb
		}
		return strings.Compare(a, b)
	})
	return all
}

func rank(key string) int {
	if i := slices.Index([]string{"apiVersion", "kind", "metadata", "spec"}, key); i >= 0 {
		return i
	}
	return 4
}
