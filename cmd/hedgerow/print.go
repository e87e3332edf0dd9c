package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"

	"hedgerow"
	"hedgerow/internal/view"
)

// columns writes rows under a header, aligned, with three spaces between as
// kubectl does. Cells are safe to print already.
func columns(w io.Writer, header []string, rows [][]string) {
	width := make([]int, len(header))
	for _, r := range append([][]string{header}, rows...) {
		for i, c := range r {
			width[i] = max(width[i], utf8.RuneCountInString(c))
		}
	}
	for _, r := range append([][]string{header}, rows...) {
		var b strings.Builder
		for i, c := range r {
			b.WriteString(c)
			if i < len(r)-1 {
				b.WriteString(strings.Repeat(" ", width[i]-utf8.RuneCountInString(c)+3))
			}
		}
		fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	}
}

func (a *app) table(t view.Table) { columns(a.out, t.Header, t.Rows) }

// json writes v to standard output.
func (a *app) json(v any) error {
	b, err := view.JSON(v)
	if err == nil {
		_, err = a.out.Write(b)
	}
	return err
}

// yaml writes a tree to standard output.
func (a *app) yaml(tree any) error {
	b, err := view.YAML(tree)
	if err == nil {
		_, err = a.out.Write(b)
	}
	return err
}

// note writes a line for people to standard error.
func (a *app) note(format string, args ...any) { fmt.Fprintf(a.err, format+"\n", args...) }

// terminal reports whether w is one.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// badge colours a badge on a terminal.
func (a *app) badge(b hedgerow.Badge) string {
	if !terminal(a.out) || os.Getenv("NO_COLOR") != "" {
		return string(b)
	}
	colour := map[hedgerow.Badge]int{hedgerow.InSync: 32, hedgerow.OutOfSync: 33, hedgerow.Stale: 33, hedgerow.Syncing: 36, hedgerow.ErrorBadge: 31}[b]
	return fmt.Sprintf("\x1b[%dm%s\x1b[0m", colour, b)
}

// format checks the value of -o.
func format(o string, allowed ...string) error {
	for _, f := range allowed {
		if o == f {
			return nil
		}
	}
	return hedgerow.Errorf(hedgerow.CodeInvalid, "output format %q: use %s", o, strings.Join(allowed[1:], ", "))
}
