package hedgerow

import (
	"bytes"
	"encoding/base64"
	"strings"
	"sync"
	"unicode"
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
	r.texts[string(text)] = struct{}{}
	r.texts[base64.StdEncoding.EncodeToString(text)] = struct{}{}
	r.texts[base64.RawURLEncoding.EncodeToString(text)] = struct{}{}
}

// Text returns s without secrets and, on one line, without characters that
// could forge a log line or command a terminal.
func (r *Redactor) Text(s string) string {
	if r != nil {
		r.mu.RLock()
		for t := range r.texts {
			s = strings.ReplaceAll(s, t, withheld)
		}
		r.mu.RUnlock()
	}
	return OneLine(s)
}

// OneLine makes s safe to print: control characters, line breaks, terminal
// escapes and direction overrides become visible as \uXXXX.
func OneLine(s string) string {
	plain := true
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
		if printable(c) {
			b.WriteRune(c)
			continue
		}
		const hex = "0123456789abcdef"
		if c > 0xffff {
			b.WriteRune(unicode.ReplacementChar)
			continue
		}
		b.WriteString(`\u`)
		for shift := 12; shift >= 0; shift -= 4 {
			b.WriteByte(hex[c>>shift&0xf])
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
