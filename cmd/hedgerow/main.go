// Command hedgerow observes Hedgehog fabrics: it reads what each cluster
// holds, keeps a record of it, and tells what changed, when, and what could
// not be read.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"hedgerow"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the program at once.
	context.AfterFunc(ctx, stop)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr, os.Environ())
	stop()
	os.Exit(code)
}

// The exit codes, as doc/cli.md lists them.
const (
	exitOK        = 0
	exitFailed    = 1
	exitUsage     = 2
	exitPartial   = 3
	exitNotFound  = 4
	exitBusy      = 5
	exitCancelled = 130
)

// exitError ends a command that has said all there is to say.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit %d", int(e)) }

// run runs one command and returns its exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer, environ []string) int {
	a := &app{out: stdout, err: stderr, environ: environ, redactor: &hedgerow.Redactor{}}
	defer a.close()
	root := a.root()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err != nil && strings.HasPrefix(err.Error(), "unknown command") { // cobra has no type for it
		err = hedgerow.Errorf(hedgerow.CodeInvalid, "%w", err).WithHint("See: hedgerow --help")
	}
	var exit exitError
	if err == nil {
		return exitOK
	}
	if ctx.Err() == nil && errors.As(err, &exit) {
		return int(exit)
	}
	if errors.As(err, &exit) { // cancelled, and told already
		return exitCancelled
	}
	fmt.Fprintf(stderr, "hedgerow: %s\n", a.redactor.Text(err.Error()))
	if hint := hedgerow.HintOf(err); hint != "" {
		fmt.Fprintf(stderr, "  %s\n", a.redactor.Text(hint))
	}
	if ctx.Err() != nil {
		return exitCancelled
	}
	return exitCode(err)
}

func exitCode(err error) int {
	switch hedgerow.CodeOf(err) {
	case hedgerow.CodeOK:
		return exitOK
	case hedgerow.CodeInvalid, hedgerow.CodeExists:
		return exitUsage
	case hedgerow.CodeNotFound:
		return exitNotFound
	case hedgerow.CodeBusy:
		return exitBusy
	default:
		return exitFailed
	}
}
