package hedgerow_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"hedgerow"
)

var codes = []hedgerow.Code{
	hedgerow.CodeInvalid, hedgerow.CodeNotFound, hedgerow.CodeExists, hedgerow.CodeBusy, hedgerow.CodeUnconfigured,
	hedgerow.CodeSuspended, hedgerow.CodeDNS, hedgerow.CodeConnect, hedgerow.CodeTimeout, hedgerow.CodeSlow,
	hedgerow.CodeTLSExpired, hedgerow.CodeTLSAuthority, hedgerow.CodeTLSName, hedgerow.CodeTLS, hedgerow.CodeUnauthorized,
	hedgerow.CodeForbidden, hedgerow.CodeNotServed, hedgerow.CodeExpired, hedgerow.CodeThrottled, hedgerow.CodeServer,
	hedgerow.CodeCut, hedgerow.CodeGarbage, hedgerow.CodeTooLarge, hedgerow.CodeGuard, hedgerow.CodeInterrupted,
	hedgerow.CodeKey, hedgerow.CodeStore, hedgerow.CodeInternal,
}

func TestErrors(t *testing.T) {
	plain := hedgerow.Errorf(hedgerow.CodeConnect, "connect: %w", io.EOF)
	hinted := hedgerow.Errorf(hedgerow.CodeKey, "no key").WithHint("make one with %q", "hedgerow key")
	for _, tc := range []struct {
		name string
		err  error
		code hedgerow.Code
		hint string
		is   error // what the chain holds
	}{
		{"nothing", nil, hedgerow.CodeOK, "", nil},
		{"foreign", io.EOF, hedgerow.CodeInternal, "", io.EOF},
		{"deadline", fmt.Errorf("list: %w", context.DeadlineExceeded), hedgerow.CodeTimeout, "", context.DeadlineExceeded},
		{"cancelled", fmt.Errorf("list: %w", context.Canceled), hedgerow.CodeInterrupted, "", context.Canceled},
		{"ours", plain, hedgerow.CodeConnect, "", io.EOF},
		{"ours, wrapped", fmt.Errorf("pass: %w", plain), hedgerow.CodeConnect, "", io.EOF},
		{"the outermost code", hedgerow.Errorf(hedgerow.CodeServer, "pass: %w", plain), hedgerow.CodeServer, "", io.EOF},
		{"a code before a deadline", hedgerow.Errorf(hedgerow.CodeSlow, "pass: %w", context.DeadlineExceeded), hedgerow.CodeSlow, "", context.DeadlineExceeded},
		{"several causes", hedgerow.Errorf(hedgerow.CodeServer, "%w, then %w", plain, io.ErrClosedPipe), hedgerow.CodeServer, "", io.ErrClosedPipe},
		{"joined", errors.Join(io.EOF, plain), hedgerow.CodeConnect, "", io.EOF},
		{"a hint", hinted, hedgerow.CodeKey, `make one with "hedgerow key"`, nil},
		{"a hint below", hedgerow.Errorf(hedgerow.CodeStore, "open: %w", fmt.Errorf("key: %w", hinted)), hedgerow.CodeStore, `make one with "hedgerow key"`, nil},
		{"the outermost hint", hedgerow.Errorf(hedgerow.CodeStore, "open: %w", hinted).WithHint("wait"), hedgerow.CodeStore, "wait", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := hedgerow.CodeOf(tc.err); got != tc.code {
				t.Errorf("code %q, want %q", got, tc.code)
			}
			if got := hedgerow.HintOf(tc.err); got != tc.hint {
				t.Errorf("hint %q, want %q", got, tc.hint)
			}
			if tc.is != nil && !errors.Is(tc.err, tc.is) {
				t.Errorf("%v is lost", tc.is)
			}
		})
	}
	if plain.Error() != "connect: EOF" {
		t.Errorf("message %q", plain.Error())
	}
	base := hedgerow.Errorf(hedgerow.CodeKey, "no key")
	if base.WithHint("wait"); base.Hint != "" {
		t.Error("WithHint changed its receiver")
	}
}
