package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"hedgerow"
)

// runJSON is a run as -o json shows it.
type runJSON struct {
	ID            int64                   `json:"id"`
	Fabric        string                  `json:"fabric"`
	Trigger       string                  `json:"trigger"`
	Actor         string                  `json:"actor"`
	StartedAt     time.Time               `json:"startedAt"`
	FinishedAt    time.Time               `json:"finishedAt,omitzero"`
	Outcome       hedgerow.Outcome        `json:"outcome"`
	Code          hedgerow.Code           `json:"code,omitempty"`
	Message       string                  `json:"message,omitempty"`
	VersionBefore int64                   `json:"versionBefore"`
	VersionAfter  int64                   `json:"versionAfter"`
	Counts        hedgerow.Counts         `json:"counts"`
	Kinds         []hedgerow.KindEvidence `json:"kinds"`
}

func describeRun(fabric string, r hedgerow.Run) runJSON {
	ks := r.Kinds
	if ks == nil {
		ks = []hedgerow.KindEvidence{}
	}
	return runJSON{r.ID, fabric, r.Trigger, r.Actor, r.StartedAt, r.FinishedAt, r.Outcome, r.Code, r.Message, r.VersionBefore, r.VersionAfter, r.Counts(), ks}
}

func (a *app) runsCommand() *cobra.Command {
	var fabric, o string
	var limit int
	var follow bool
	cmd := &cobra.Command{
		Use: "runs", Short: "List a fabric's runs, newest first", Args: exactly(),
		Long: `List the passes over a fabric, newest first. With --follow also what was
committed between them, as it happened: a run for each such commit.`,
		Example: "  hedgerow runs -F lab --limit 5\n  hedgerow runs -F lab --follow",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := format(o, "", "json"); err != nil {
				return err
			}
			if limit < 1 {
				return hedgerow.Errorf(hedgerow.CodeInvalid, "--limit must be 1 or more")
			}
			f, err := a.fabric(cmd.Context(), fabric)
			if err != nil {
				return err
			}
			runs, err := a.db.Runs(cmd.Context(), f.ID, 0, limit, follow)
			if err != nil {
				return err
			}
			if o == "json" {
				list := []runJSON{}
				for _, r := range runs {
					list = append(list, describeRun(f.Name, r))
				}
				return a.json(list)
			}
			if len(runs) == 0 {
				a.note("Fabric %s has no run yet: hedgerow sync %s", f.Name, f.Name)
				return nil
			}
			var rows [][]string
			for _, r := range runs {
				c := r.Counts()
				took := ""
				if !r.FinishedAt.IsZero() && r.Outcome != hedgerow.Interrupted {
					took = r.FinishedAt.Sub(r.StartedAt).Round(time.Millisecond).String()
				}
				rows = append(rows, []string{
					fmt.Sprint(r.ID), age(a.now(), r.StartedAt) + " ago", r.Trigger, hedgerow.OneLine(r.Actor), string(r.Outcome),
					fmt.Sprint(c.Listed), fmt.Sprint(c.Created), fmt.Sprint(c.Updated), fmt.Sprint(c.Deleted), took, hedgerow.OneLine(r.Message),
				})
			}
			columns(a.out, []string{"RUN", "STARTED", "TRIGGER", "ACTOR", "OUTCOME", "LISTED", "CREATED", "UPDATED", "DELETED", "TOOK", "WHY"}, rows)
			return nil
		},
	}
	cmd.Flags().StringVarP(&fabric, "fabric", "F", "", "the fabric (default: the only one)")
	cmd.Flags().StringVarP(&o, "output", "o", "", "json")
	cmd.Flags().IntVar(&limit, "limit", 20, "how many")
	cmd.Flags().BoolVar(&follow, "follow", false, "also what was seen to change between passes")
	return cmd
}

func (a *app) runCommand() *cobra.Command {
	var o string
	show := &cobra.Command{
		Use: "show ID", Short: "Show what one run proved, kind by kind", Args: exactly("ID"),
		Example: "  hedgerow run show 12",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := format(o, "", "json"); err != nil {
				return err
			}
			id, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil {
				return hedgerow.Errorf(hedgerow.CodeInvalid, "%q is not the number of a run", args[0])
			}
			db, err := a.store(cmd.Context())
			if err != nil {
				return err
			}
			r, err := db.Run(cmd.Context(), id)
			if err != nil {
				return err
			}
			fabrics, err := db.Fabrics(cmd.Context())
			if err != nil {
				return err
			}
			name := ""
			for _, f := range fabrics {
				if f.ID == r.FabricID {
					name = f.Name
				}
			}
			if o == "json" {
				return a.json(describeRun(name, r))
			}
			fmt.Fprintf(a.out, "Run %d of fabric %s: %s\n", r.ID, name, r.Outcome)
			if r.Message != "" {
				fmt.Fprintf(a.out, "Why:      %s\n", hedgerow.OneLine(r.Message))
			}
			fmt.Fprintf(a.out, "Asked by: %s (%s)\n", hedgerow.OneLine(r.Actor), r.Trigger)
			fmt.Fprintf(a.out, "Started:  %s (%s ago)\n", r.StartedAt.Format(time.RFC3339), age(a.now(), r.StartedAt))
			if !r.FinishedAt.IsZero() && r.Outcome != hedgerow.Interrupted { // when it was interrupted is not known
				fmt.Fprintf(a.out, "Took:     %s\n", r.FinishedAt.Sub(r.StartedAt).Round(time.Millisecond))
			}
			fmt.Fprintf(a.out, "Version:  %d before, %d after\n", r.VersionBefore, r.VersionAfter)
			if len(r.Kinds) == 0 {
				return nil
			}
			fmt.Fprintln(a.out)
			var rows [][]string
			for _, k := range r.Kinds {
				row := evidenceRow(k)
				last := "never"
				if k.CompleteRun != 0 {
					last = fmt.Sprintf("run %d, %s ago", k.CompleteRun, age(a.now(), k.CompleteAt))
				}
				rows = append(rows, append(row[:len(row)-1], last, row[len(row)-1]))
			}
			columns(a.out, append(append([]string{}, evidenceHeader[:len(evidenceHeader)-1]...), "LAST COMPLETE", "WHY"), rows)
			return nil
		},
	}
	show.Flags().StringVarP(&o, "output", "o", "", "json")
	cmd := &cobra.Command{Use: "run", Short: "Look at one run", Args: subcommand, RunE: help}
	cmd.AddCommand(show)
	return cmd
}
