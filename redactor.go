package hedgerow

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// A Redactor knows the secrets in use and takes them out of text. Everything
// that leaves the program, logs and errors above all, passes one. It is safe
// for concurrent use.
type Redactor struct {
	mu    sync.RWMutex
	texts map[string]struct{}
}

// shortestSecret keeps a one-letter password from blacking out every log.
const shortestSecret = 4

// Add makes r know s, as it is and as it may appear encoded.
func (r *Redactor) Add(s Secret) {
	text := bytes.TrimSpace(s.Reveal())
	if len(text) < shortestSecret {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.texts == nil {
		r.texts = map[string]struct{}{}
	}
	for _, form := range append(escaped(string(text)), encoded(text)...) {
		if len(form) >= shortestSecret {
			r.texts[form] = struct{}{}
		}
	}
}

// escaped are the forms that text takes inside quotes, JSON and URLs.
func escaped(text string) []string {
	quoted := strconv.Quote(text)
	inJSON, _ := json.Marshal(text) // a string always marshals
	return []string{
		text,
		OneLine(text),
		quoted[1 : len(quoted)-1],
		string(inJSON[1 : len(inJSON)-1]),
		url.QueryEscape(text),
		url.PathEscape(text),
		url.UserPassword("", text).String()[1:],
	}
}

// encoded are the forms that text takes in base64: alone, or with other bytes
// around it, which gives one form for each of the three places that it can
// begin at in a group of three bytes.
func encoded(text []byte) []string {
	var forms []string
	for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		forms = append(forms, enc.EncodeToString(text))
		for before := range 3 {
			// What stands before and after takes part in the characters at
			// either end.
			b64 := enc.EncodeToString(append(make([]byte, before), text...))
			b64 = b64[(before*8+5)/6:]
			if (before+len(text))%3 != 0 {
				b64 = b64[:len(b64)-1]
			}
			forms = append(forms, b64)
		}
	}
	return forms
}

// Text returns s without secrets and, on one line, without characters that
// could forge a log line or command a terminal.
func (r *Redactor) Text(s string) string {
	if r == nil {
		return OneLine(s)
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	// Secrets may overlap or lie inside one another: what any of them covers
	// goes, so that none leaves the rest of another behind.
	var covered []bool
	for t := range r.texts {
		for from := 0; ; from++ {
			i := strings.Index(s[from:], t)
			if i < 0 {
				break
			}
			if covered == nil {
				covered = make([]bool, len(s))
			}
			from += i
			for j := range len(t) {
				covered[from+j] = true
			}
		}
	}
	if covered == nil {
		return OneLine(s)
	}
	var b strings.Builder
	for i := range len(s) {
		switch {
		case !covered[i]:
			b.WriteByte(s[i])
		case i == 0 || !covered[i-1]:
			b.WriteString(withheld)
		}
	}
	return OneLine(b.String())
}

// OneLine makes s safe to print: control characters, line breaks, terminal
// escapes and direction overrides become visible as \uXXXX or \UXXXXXXXX, and
// bytes that are not UTF-8 become U+FFFD.
func OneLine(s string) string {
	plain := utf8.ValidString(s)
	for _, c := range s {
		if !printable(c) {
			plain = false
			break
		}
	}
	if plain {
		return s
	}
	var b strings.Builder
	for _, c := range s {
		switch {
		case printable(c):
			b.WriteRune(c)
		case c > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, c)
		default:
			fmt.Fprintf(&b, `\u%04x`, c)
		}
	}
	return b.String()
}

// printable reports whether a character shows as itself and moves nothing
// around it: no control, no format character (bidirectional overrides,
// zero-width joins), no line separator.
func printable(c rune) bool {
	return c == ' ' || unicode.IsGraphic(c) && !unicode.Is(unicode.Cf, c) && !unicode.Is(unicode.Zl, c) && !unicode.Is(unicode.Zp, c)
}
