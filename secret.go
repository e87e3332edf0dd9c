package hedgerow

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
)

const withheld = "***"

// A Secret is text that must not be seen. However it is printed, logged or
// serialised it shows "***" or fails; only Reveal gives it back.
//
// The text lies behind a function because fmt, which calls no method on an
// unexported field, prints everything that reflection can reach.
type Secret struct{ text func() []byte }

// NewSecret wraps text. The caller must not change text afterwards.
func NewSecret(text []byte) Secret { return Secret{func() []byte { return text }} }

// Reveal returns the text itself.
func (s Secret) Reveal() []byte {
	if s.text == nil {
		return nil
	}
	return s.text()
}

// IsZero reports whether there is nothing in it.
func (s Secret) IsZero() bool { return len(s.Reveal()) == 0 }

func (Secret) String() string { return withheld }

// Format makes every verb print the same.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, withheld) }

// LogValue keeps slog from printing the text.
func (Secret) LogValue() slog.Value { return slog.StringValue(withheld) }

// MarshalJSON always fails: no serialiser of a secret exists.
func (Secret) MarshalJSON() ([]byte, error) {
	return nil, errors.New("a secret cannot be serialised")
}

// MarshalText always fails, as MarshalJSON does.
func (Secret) MarshalText() ([]byte, error) {
	return nil, errors.New("a secret cannot be serialised")
}
