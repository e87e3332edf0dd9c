package hedgerow

import (
	"context"
	"errors"
	"fmt"
)

// Code is the closed set of what can go wrong. It decides the exit code of a
// command and, later, the status of an answer; the message is for people.
type Code string

// The codes.
const (
	CodeOK           Code = ""
	CodeInvalid      Code = "invalid"         // the request makes no sense; the message says why
	CodeNotFound     Code = "not-found"       // no such fabric, kind, object or run
	CodeExists       Code = "exists"          // the name is taken
	CodeBusy         Code = "busy"            // another pass of this fabric is running
	CodeUnconfigured Code = "not-configured"  // the fabric has no cluster
	CodeSuspended    Code = "suspended"       // the fabric is disabled
	CodeDNS          Code = "dns"             // the name does not resolve
	CodeConnect      Code = "connect"         // TCP: refused, unreachable, reset
	CodeTimeout      Code = "timeout"         // no answer within the deadline
	CodeSlow         Code = "slow"            // an answer that came too slowly to wait for
	CodeTLSExpired   Code = "tls-expired"     // the server's certificate is out of its dates
	CodeTLSAuthority Code = "tls-authority"   // signed by nobody we trust
	CodeTLSName      Code = "tls-name"        // made out for another name
	CodeTLS          Code = "tls"             // any other failure of the handshake
	CodeUnauthorized Code = "unauthenticated" // 401
	CodeForbidden    Code = "forbidden"       // 403
	CodeNotServed    Code = "not-served"      // 404 for a kind or a group
	CodeExpired      Code = "expired"         // 410: the list's continuation is too old
	CodeThrottled    Code = "throttled"       // 429, and waiting did not help
	CodeServer       Code = "server-error"    // 5xx
	CodeCut          Code = "cut-off"         // the answer ended early
	CodeGarbage      Code = "garbage"         // the answer is not what the API promises
	CodeTooLarge     Code = "too-large"       // the answer is over the limit
	CodeGuard        Code = "would-delete"    // a pass found so much gone that it stopped to ask
	CodeInterrupted  Code = "interrupted"     // the process ended before the work did
	CodeKey          Code = "key"             // the key file is missing or does not fit
	CodeStore        Code = "store"           // the record could not be read or written
	CodeInternal     Code = "internal"        // a bug
)

// Error is an error with a code and, where there is one, what to do next.
type Error struct {
	Code    Code
	Message string // the whole sentence, cause included
	Hint    string
	Err     error // cause, may be nil
}

func (e *Error) Error() string { return e.Message }

func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error; what %w wraps is kept as its cause.
func Errorf(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	cause := errors.Unwrap(err)
	if _, several := err.(interface{ Unwrap() []error }); several {
		cause = err
	}
	return &Error{Code: code, Message: err.Error(), Err: cause}
}

// WithHint returns a copy of e that says what to do next.
func (e *Error) WithHint(format string, args ...any) *Error {
	c := *e
	c.Hint = fmt.Sprintf(format, args...)
	return &c
}

// CodeOf is the code of the outermost Error in err's chain. A deadline that
// passed is a timeout, a cancelled context an interruption, anything else
// without a code a bug.
func CodeOf(err error) Code {
	var e *Error
	switch {
	case err == nil:
		return CodeOK
	case errors.As(err, &e):
		return e.Code
	case errors.Is(err, context.DeadlineExceeded):
		return CodeTimeout
	case errors.Is(err, context.Canceled):
		return CodeInterrupted
	default:
		return CodeInternal
	}
}

// HintOf is what to do about err, "" when nobody said.
func HintOf(err error) string {
	var e *Error
	for errors.As(err, &e) {
		if e.Hint != "" {
			return e.Hint
		}
		err = e.Err
	}
	return ""
}
