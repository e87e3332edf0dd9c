package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"hedgerow"
	"hedgerow/internal/syncer"
)

func (a *app) syncCommand() *cobra.Command {
	var all, accept, queue bool
	var o string
	cmd := &cobra.Command{
		Use:   "sync NAME | --all",
		Short: "Read a fabric's cluster once, now, and record what is there",
		Long: `Make one pass: read every Hedgehog kind that the cluster serves, compare it with
the record, and commit the difference. A line a kind says what was proven.

An object counts as deleted only when its kind's whole list was read in this
pass. A pass that finds a large part of the fabric gone records nothing and
asks: see --accept-deletions.

The pass is made here, unless --queue leaves it to a running serve or worker,
where it goes ahead of scheduled ones; then only the record must be in reach.

Exit codes: 0 every kind was read, 3 some were not, 1 none was.`,
		Example: `  hedgerow sync lab
  hedgerow sync --all -o json
  hedgerow sync lab --queue`,
		Args: between(0, "NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := format(o, "", "json"); err != nil {
				return err
			}
			if queue && accept {
				return hedgerow.Errorf(hedgerow.CodeInvalid, "--accept-deletions must be given to a pass that is made here: leave --queue out")
			}
			fabrics, err := a.syncFabrics(cmd.Context(), all, args)
			if err != nil {
				return err
			}
			if len(fabrics) == 0 {
				a.note("There is no fabric to sync.")
			}
			worst := exitOK
			runs := []runJSON{}
			var mu sync.Mutex // of worst, runs and the output
			var eg errgroup.Group
			eg.SetLimit(fabricsAtOnce)
			for _, f := range fabrics {
				eg.Go(func() error {
					pass := func() (hedgerow.Run, error) { return a.sync(cmd.Context(), f, accept, o == "" && !all) }
					if queue {
						pass = func() (hedgerow.Run, error) { return a.syncQueued(cmd.Context(), f) }
					}
					run, err := pass()
					mu.Lock()
					defer mu.Unlock()
					switch {
					case err != nil && !all:
						return err
					case err != nil: // one fabric's trouble is not another's
						a.note("hedgerow: %s: %s", f.Name, a.redactor.Text(err.Error()))
						worst = worse(worst, exitCode(err))
						return nil
					case o == "json":
						runs = append(runs, describeRun(f.Name, run))
					default:
						a.printRun(f.Name, run)
					}
					worst = worse(worst, exitOf(run))
					return nil
				})
			}
			if err := eg.Wait(); err != nil {
				return err
			}
			if o == "json" {
				slices.SortFunc(runs, func(x, y runJSON) int { return strings.Compare(x.Fabric, y.Fabric) })
				var v any = runs
				if !all && len(runs) == 1 {
					v = runs[0]
				}
				if err := a.json(v); err != nil {
					return err
				}
			}
			if worst != exitOK {
				return exitError(worst)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "every fabric that is not suspended")
	cmd.Flags().BoolVar(&queue, "queue", false, "leave the pass to a running serve or worker, and wait for it")
	cmd.Flags().BoolVar(&accept, "accept-deletions", false, "record deletions however many they are")
	cmd.Flags().StringVarP(&o, "output", "o", "", "json")
	return cmd
}

// fabricsAtOnce is how many fabrics --all reads at a time, so that a slow one
// does not keep the others waiting.
const fabricsAtOnce = 8

func (a *app) syncFabrics(ctx context.Context, all bool, args []string) ([]hedgerow.Fabric, error) {
	switch {
	case all && len(args) > 0:
		return nil, hedgerow.Errorf(hedgerow.CodeInvalid, "give either a fabric or --all, not both")
	case all:
		db, err := a.store(ctx)
		if err != nil {
			return nil, err
		}
		fabrics, err := db.Fabrics(ctx)
		var active []hedgerow.Fabric
		for _, f := range fabrics {
			if !f.Suspended {
				active = append(active, f)
			}
		}
		return active, err
	}
	f, err := a.fabric(ctx, strings.Join(args, ""))
	if err == nil && f.Suspended {
		err = hedgerow.Errorf(hedgerow.CodeSuspended, "fabric %s is suspended", f.Name).WithHint("Resume it: hedgerow fabric resume %s", f.Name)
	}
	return []hedgerow.Fabric{f}, err
}

// worse ranks exit codes: failed before partial before done.
func worse(x, y int) int {
	for _, c := range []int{exitFailed, exitNotFound, exitUsage, exitBusy, exitPartial} {
		if x == c || y == c {
			return c
		}
	}
	return exitOK
}

func exitOf(r hedgerow.Run) int {
	switch r.Outcome {
	case hedgerow.RunComplete:
		return exitOK
	case hedgerow.RunPartial:
		return exitPartial
	default:
		return exitFailed
	}
}

func (a *app) sync(ctx context.Context, f hedgerow.Fabric, accept, show bool) (hedgerow.Run, error) {
	c, err := a.client(ctx, f)
	if err != nil {
		return hedgerow.Run{}, err
	}
	defer c.Close()
	q := syncer.Request{Fabric: f, Trigger: "manual", Actor: actor(), AcceptDeletions: accept}
	if show && terminal(a.err) {
		bar := newBar(a.err, f.Name)
		defer bar.Clear() //nolint:errcheck // only a picture
		q.Progress = func(p syncer.Progress) {
			bar.ChangeMax(p.Kinds)
			bar.Describe(fmt.Sprintf("%s: %s", f.Name, hedgerow.Count(p.Objects, "object")))
			_ = bar.Set(p.Done)
		}
	}
	s := syncer.Syncer{Store: a.db, Now: a.now, Log: a.log}
	return s.Observe(ctx, c, q)
}

func newBar(w io.Writer, name string) *progressbar.ProgressBar {
	return progressbar.NewOptions(1, progressbar.OptionSetWriter(w), progressbar.OptionSetDescription(name),
		progressbar.OptionSetWidth(30), progressbar.OptionShowCount(), progressbar.OptionSetItsString("kinds"),
		progressbar.OptionSetPredictTime(false), progressbar.OptionClearOnFinish(), progressbar.OptionThrottle(65*time.Millisecond))
}

// printRun writes a line for every kind that holds something or could not be
// read, and a closing sentence.
func (a *app) printRun(fabric string, r hedgerow.Run) {
	var rows [][]string
	empty := 0
	for _, k := range r.Kinds {
		if k.Verdict == hedgerow.Complete && k.Counts == (hedgerow.Counts{}) {
			empty++
			continue
		}
		rows = append(rows, evidenceRow(k))
	}
	if len(rows) > 0 {
		columns(a.out, evidenceHeader, rows)
	}
	took := r.FinishedAt.Sub(r.StartedAt).Round(time.Millisecond)
	c := r.Counts()
	fmt.Fprintf(a.out, "%s: run %d %s in %s: %s read, %d created, %d updated, %d deleted, %d unchanged", fabric, r.ID, r.Outcome, took,
		hedgerow.Count(c.Listed, "object"), c.Created, c.Updated, c.Deleted, c.Unchanged)
	if c.Failed > 0 {
		fmt.Fprintf(a.out, ", %d unreadable", c.Failed)
	}
	if empty > 0 {
		fmt.Fprintf(a.out, "; %s empty", hedgerow.Count(empty, "kind"))
	}
	fmt.Fprintln(a.out)
	if r.Message != "" {
		fmt.Fprintf(a.out, "%s\n", hedgerow.OneLine(r.Message))
	}
}

var evidenceHeader = []string{"KIND", "VERDICT", "LISTED", "CREATED", "UPDATED", "DELETED", "UNCHANGED", "UNREADABLE", "TOOK", "WHY"}

func evidenceRow(k hedgerow.KindEvidence) []string {
	n := func(i int) string { return fmt.Sprint(i) }
	took := ""
	if k.Verdict == hedgerow.Complete {
		took = fmt.Sprintf("%dms", k.DurationMS)
	}
	return []string{hedgerow.OneLine(k.Plural + "." + k.Group), string(k.Verdict), n(k.Listed), n(k.Created), n(k.Updated), n(k.Deleted), n(k.Unchanged), n(k.Failed), took, hedgerow.OneLine(k.Message)}
}
