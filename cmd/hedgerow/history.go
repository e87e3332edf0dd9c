package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"hedgerow"
	"hedgerow/internal/diff"
)

// eventJSON is an event as -o json shows it.
type eventJSON struct {
	At        time.Time    `json:"at"`
	Run       int64        `json:"run"`
	What      string       `json:"what"`
	Group     string       `json:"group"`
	Kind      string       `json:"kind"`
	Namespace string       `json:"namespace,omitempty"`
	Name      string       `json:"name"`
	UID       string       `json:"uid"`
	Before    string       `json:"before,omitempty"` // digests
	After     string       `json:"after,omitempty"`
	Deltas    []diff.Delta `json:"deltas,omitempty"`
}

func (a *app) historyCommand() *cobra.Command {
	var fabric, o string
	var withDiff bool
	var q hedgerow.HistoryQuery
	cmd := &cobra.Command{
		Use:   "history [KIND [NAME]]",
		Short: "Show what changed, when, and in which run",
		Long: `Show what happened to the objects of a fabric, newest first: first seen, created,
updated, deleted. The time is that of the run that found it. An object that was
deleted and made again shows as two events.`,
		Example: `  hedgerow history -F lab
  hedgerow history switch leaf-01 -F lab --diff
  hedgerow history -F lab --run 7 -o json`,
		Args: between(0, "KIND", "NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := format(o, "", "json"); err != nil {
				return err
			}
			if q.Limit < 1 {
				return hedgerow.Errorf(hedgerow.CodeInvalid, "--limit must be 1 or more")
			}
			f, err := a.fabric(cmd.Context(), fabric)
			if err != nil {
				return err
			}
			if len(args) > 0 {
				ks, err := a.match(cmd.Context(), f, args[0])
				if err != nil {
					return err
				}
				if len(ks) > 1 {
					return hedgerow.Errorf(hedgerow.CodeInvalid, "%q names %d kinds", args[0], len(ks)).WithHint("Name one, with its group: %s.%s", ks[0].Plural, ks[0].Group)
				}
				q.Kind = ks[0].ID()
			}
			if len(args) > 1 {
				q.Name = args[1]
			}
			events, err := a.db.History(cmd.Context(), f.ID, q)
			if err != nil {
				return err
			}
			if o == "json" {
				return a.historyJSON(cmd.Context(), events, withDiff)
			}
			if len(events) == 0 && q.Name != "" {
				return hedgerow.Errorf(hedgerow.CodeNotFound, "the history of fabric %s knows no %s %q", f.Name, q.Kind.Kind, q.Name)
			}
			if len(events) == 0 {
				a.note("Nothing is recorded of that.")
				return nil
			}
			if err := a.printEvents(cmd.Context(), events, withDiff); err != nil {
				return err
			}
			if len(events) == q.Limit {
				a.note("These are the newest %d; there may be older ones: --limit", q.Limit)
			}
			return nil
		},
	}
	p := cmd.Flags()
	p.StringVarP(&fabric, "fabric", "F", "", "the fabric (default: the only one)")
	p.StringVarP(&q.Namespace, "namespace", "n", "", "only objects of this namespace")
	p.BoolVar(&withDiff, "diff", false, "show updates field by field")
	p.Int64Var(&q.Run, "run", 0, "events of this run only")
	p.IntVar(&q.Limit, "limit", 100, "how many events")
	p.StringVarP(&o, "output", "o", "", "json")
	return cmd
}

func (a *app) printEvents(ctx context.Context, events []hedgerow.Event, withDiff bool) error {
	header := []string{"WHEN", "RUN", "WHAT", "KIND", "NAMESPACE", "NAME", "UID"}
	row := func(e hedgerow.Event) []string {
		return []string{e.At.Format(time.RFC3339), fmt.Sprint(e.Run), e.What, hedgerow.OneLine(e.Kind), hedgerow.OneLine(e.Namespace), hedgerow.OneLine(e.Name), hedgerow.OneLine(e.UID)}
	}
	if !withDiff {
		var rows [][]string
		for _, e := range events {
			rows = append(rows, row(e))
		}
		columns(a.out, header, rows)
		return nil
	}
	for _, e := range events {
		r := row(e)
		fmt.Fprintf(a.out, "%s  run %s  %s %s %s\n", r[0], r[1], r[3], r[5], r[2])
		if e.What == string(hedgerow.Updated) {
			if err := a.deltas(ctx, "  ", e); err != nil {
				return err
			}
		}
	}
	return nil
}

// deltas writes the fields that an update changed.
func (a *app) deltas(ctx context.Context, indent string, e hedgerow.Event) error {
	ds, err := a.fields(ctx, e)
	if err != nil {
		return err
	}
	side := func(v []byte) string {
		if v == nil {
			return "(absent)"
		}
		return hedgerow.OneLine(string(v))
	}
	for _, d := range ds {
		fmt.Fprintf(a.out, "%s%s: %s -> %s\n", indent, hedgerow.OneLine(d.Path), side(d.Before), side(d.After))
	}
	return nil
}

// fields returns the fields that differ between the two contents of an event.
func (a *app) fields(ctx context.Context, e hedgerow.Event) ([]diff.Delta, error) {
	if e.Before == nil || e.After == nil {
		return nil, nil
	}
	before, err := a.db.Content(ctx, *e.Before)
	if err != nil {
		return nil, err
	}
	after, err := a.db.Content(ctx, *e.After)
	if err != nil {
		return nil, err
	}
	return diff.Fields(before, after)
}

func (a *app) historyJSON(ctx context.Context, events []hedgerow.Event, withDiff bool) error {
	list := []eventJSON{}
	for _, e := range events {
		j := eventJSON{At: e.At, Run: e.Run, What: e.What, Group: e.Group, Kind: e.Kind, Namespace: e.Namespace, Name: e.Name, UID: e.UID}
		if e.Before != nil {
			j.Before = e.Before.String()
		}
		if e.After != nil {
			j.After = e.After.String()
		}
		if withDiff {
			var err error
			if j.Deltas, err = a.fields(ctx, e); err != nil {
				return err
			}
		}
		list = append(list, j)
	}
	return a.json(list)
}
