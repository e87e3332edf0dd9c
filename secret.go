package hedgerow

import (
	"errors"
	"log/slog"
)

const withheld = "***"

// A Secret is text that must not be seen. However it is printed, logged or
// serialised it shows "***" or fails; only Reveal gives it back.
type Secret struct{ text []byte }

// NewSecret wraps text. The caller must not change text afterwards.
func NewSecret(text []byte) Secret { return Secret{text} }

// Reveal returns the text itself.
func (s Secret) Reveal() []byte { return s.text }

// IsZero reports whether there is nothing in it.
func (s Secret) IsZero() bool { return len(s.text) == 0 }

func (Secret) String() string { return withheld }

// GoString keeps %#v from printing the text.
func (Secret) GoString() string { return withheld }

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
