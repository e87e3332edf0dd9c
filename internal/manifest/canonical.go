package manifest

import (
	"fmt"
	"slices"
	"unicode/utf16"

	"github.com/go-json-experiment/json/jsontext"
)

// Canonical returns the canonical form of a valid JSON value: object keys in
// the order of RFC 8785, no white space, strings with the fewest escapes,
// numbers as they were written (RFC 8785 would round large integers). It
// refuses duplicate keys and values that nest deeper than [MaxDepth], and may
// return v itself.
func Canonical(v []byte) ([]byte, error) {
	if isCanonical(v) {
		return v, nil
	}
	if deeper(v, MaxDepth) {
		return nil, fmt.Errorf("it nests deeper than %d levels", MaxDepth)
	}
	// Format works in place, and v may be a decoder's buffer.
	c := jsontext.Value(slices.Clone(v))
	if err := c.Format(
		jsontext.ReorderRawObjects(true),
		jsontext.AllowDuplicateNames(false),
		jsontext.Multiline(false),
		jsontext.SpaceAfterColon(false),
		jsontext.SpaceAfterComma(false),
	); err != nil {
		return nil, err
	}
	return c, nil
}

// MaxDepth is how deep a value may nest. Sorting keys costs the size of a value
// once for every level, so 8 MiB in 9,000 levels would take 17 seconds.
const MaxDepth = 200

// deeper reports whether valid JSON nests deeper than limit levels.
func deeper(v []byte, limit int) bool {
	depth, inText := 0, false
	for i := 0; i < len(v); i++ {
		switch c := v[i]; {
		case inText && c == '\\':
			i++
		case c == '"':
			inText = !inText
		case inText:
		case c == '{' || c == '[':
			if depth++; depth > limit {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

// compareKeys orders object keys as RFC 8785 does: by UTF-16 code units.
func compareKeys(a, b string) int {
	if isASCII(a) && isASCII(b) {
		return cmpString(a, b)
	}
	return slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
}

func cmpString(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// isCanonical reports whether valid JSON is plainly canonical already, which
// what an API server sends almost always is. It may say no to a canonical
// value (one with an escape, or with a key that is not ASCII), never yes to
// another.
func isCanonical(v []byte) bool {
	s := scanner{v: v}
	return s.value(0) && s.i == len(v)
}

type scanner struct {
	v []byte
	i int
}

// maxScanDepth bounds the recursion; deeper values take the long way.
const maxScanDepth = 64

func (s *scanner) value(depth int) bool {
	if s.i >= len(s.v) || depth > maxScanDepth {
		return false
	}
	switch s.v[s.i] {
	case '{':
		return s.object(depth)
	case '[':
		return s.array(depth)
	case '"':
		_, ok := s.text()
		return ok
	default: // number, true, false, null
		start := s.i
		for s.i < len(s.v) {
			switch c := s.v[s.i]; {
			case c == ',' || c == ']' || c == '}':
				return s.i > start
			case c <= ' ':
				return false
			}
			s.i++
		}
		return s.i > start
	}
}

func (s *scanner) object(depth int) bool {
	s.i++
	if s.take('}') {
		return true
	}
	var last []byte
	for first := true; ; first = false {
		if s.i >= len(s.v) || s.v[s.i] != '"' {
			return false
		}
		key, ok := s.text()
		if !ok || !first && string(key) <= string(last) {
			return false
		}
		for _, c := range key {
			if c >= 0x80 {
				return false
			}
		}
		last = key
		if !s.take(':') || !s.value(depth+1) {
			return false
		}
		if s.take('}') {
			return true
		}
		if !s.take(',') {
			return false
		}
	}
}

func (s *scanner) array(depth int) bool {
	s.i++
	if s.take(']') {
		return true
	}
	for {
		if !s.value(depth + 1) {
			return false
		}
		if s.take(']') {
			return true
		}
		if !s.take(',') {
			return false
		}
	}
}

func (s *scanner) take(c byte) bool {
	if s.i < len(s.v) && s.v[s.i] == c {
		s.i++
		return true
	}
	return false
}

// text passes over a string without escapes and returns what is in it.
func (s *scanner) text() ([]byte, bool) {
	s.i++
	start := s.i
	for ; s.i < len(s.v); s.i++ {
		switch s.v[s.i] {
		case '\\':
			return nil, false
		case '"':
			t := s.v[start:s.i]
			s.i++
			return t, true
		}
	}
	return nil, false
}
