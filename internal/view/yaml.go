package view

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
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
	return escape(b.Bytes()), nil
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
	return escape(b.Bytes()), nil
}

// escape writes characters that do not print as \uXXXX. In JSON they can stand
// in texts only, and node has put every YAML text that has one in double
// quotes.
func escape(b []byte) []byte {
	lines := strings.SplitAfter(string(b), "\n")
	var out bytes.Buffer
	for _, l := range lines {
		text, nl := strings.CutSuffix(l, "\n")
		out.WriteString(hedgerow.OneLine(text))
		if nl {
			out.WriteByte('\n')
		}
	}
	return out.Bytes()
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
		tag := "!!int"
		if strings.ContainsAny(v.String(), ".eE") {
			tag = "!!float"
		}
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: v.String()}, nil
	case nil, bool:
		n := &yaml.Node{}
		return n, n.Encode(v)
	}
	return nil, fmt.Errorf("a tree has no %T", v)
}

// text is a string node: quoted when it would read back as something else, and
// always when it has characters that do not print.
func text(s string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
	one := strings.ReplaceAll(s, "\n", "")
	if !utf8.ValidString(s) || hedgerow.OneLine(one) != one {
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
