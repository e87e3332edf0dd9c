package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hedgerow"
)

// statusJSON is a fabric's status as -o json shows it.
type statusJSON struct {
	Fabric string `json:"fabric"`
	hedgerow.Status
	Objects      int              `json:"objects"`
	Version      int64            `json:"version"`
	LastComplete *time.Time       `json:"lastComplete"`
	ProofAge     *float64         `json:"proofAgeSeconds"`
	Kinds        []kindStatusJSON `json:"kinds"`
}

type kindStatusJSON struct {
	Group    string           `json:"group"`
	Kind     string           `json:"kind"`
	Plural   string           `json:"plural"`
	Objects  int              `json:"objects"`
	Verdict  hedgerow.Verdict `json:"verdict"`
	Message  string           `json:"message,omitempty"`
	ProvenAt *time.Time       `json:"provenAt"`
	ProofAge *float64         `json:"proofAgeSeconds"`
}

func (a *app) statusCommand() *cobra.Command {
	var o string
	var watch bool
	cmd := &cobra.Command{
		Use:   "status [NAME]",
		Short: "Show how each fabric is, and how old the proof of it is",
		Long: `Show for each fabric its badge, a sentence that explains it, the facets behind
it, and the objects of each kind with the age of their proof. Everything is
told from the record; no cluster is contacted.`,
		Example: `  hedgerow status
  hedgerow status lab -o json
  hedgerow status --watch`,
		Args: between(0, "NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := format(o, "", "json"); err != nil {
				return err
			}
			if !watch {
				all, err := a.statuses(cmd.Context(), args)
				if err != nil {
					return err
				}
				return a.showStatuses(all, o)
			}
			screen := o == "" && terminal(a.out)
			last := ""
			return a.whenever(cmd.Context(), func(ctx context.Context) error {
				all, err := a.statuses(ctx, args)
				if err != nil {
					return err
				}
				now := essence(all)
				if now == last && !screen {
					return nil
				}
				last = now
				if screen {
					fmt.Fprint(a.out, clearScreen)
				}
				return a.showStatuses(all, o)
			})
		},
	}
	cmd.Flags().StringVarP(&o, "output", "o", "", "json")
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "show it again whenever it changes, until interrupted")
	return cmd
}

// essence is what of statuses does not change by the mere passing of time.
func essence(all []statusJSON) string {
	var b strings.Builder
	for _, s := range all {
		fmt.Fprintln(&b, s.Fabric, s.Badge, s.Version, s.Objects, s.LastComplete)
		for _, f := range []hedgerow.Facet{s.Facets.Connection, s.Facets.Observation, s.Facets.Drift, s.Facets.Health, s.Facets.Schedule, s.Facets.Follow} {
			fmt.Fprintln(&b, f.State)
		}
		for _, c := range s.Conditions {
			fmt.Fprintln(&b, c.Type, c.Status, c.Reason)
		}
	}
	return b.String()
}

// statuses returns that of the named fabric, or of all of them.
func (a *app) statuses(ctx context.Context, args []string) ([]statusJSON, error) {
	db, err := a.store(ctx)
	if err != nil {
		return nil, err
	}
	fabrics, err := db.Fabrics(ctx)
	if err != nil {
		return nil, err
	}
	if len(args) == 1 {
		f, err := db.Fabric(ctx, args[0])
		if err != nil {
			return nil, err
		}
		fabrics = []hedgerow.Fabric{f}
	}
	all := []statusJSON{}
	for _, f := range fabrics {
		facts, ev, err := a.known(ctx, &f)
		if err != nil {
			return nil, err
		}
		all = append(all, describeStatus(f, facts, ev, a.now()))
	}
	return all, nil
}

// known returns what the record proves about a fabric, its version included,
// all of it as of one moment.
func (a *app) known(ctx context.Context, f *hedgerow.Fabric) (facts hedgerow.Facts, ev []hedgerow.KindEvidence, err error) {
	const attempts = 5 // it would have to move as often as it is read
	for range attempts {
		before, err := a.db.Moments(ctx)
		if err != nil {
			return facts, nil, err
		}
		if facts, err = a.facts(ctx, *f); err != nil {
			return facts, nil, err
		}
		if ev, err = a.db.Evidence(ctx, f.ID); err != nil {
			return facts, nil, err
		}
		after, err := a.db.Moments(ctx)
		f.Version = after[f.ID].Version
		if err != nil || before[f.ID] == after[f.ID] {
			return facts, ev, err
		}
	}
	return facts, ev, nil
}

func (a *app) showStatuses(all []statusJSON, o string) error {
	if o == "json" {
		return a.json(all)
	}
	if len(all) == 0 {
		a.note("There is no fabric yet. Add one: hedgerow fabric add NAME --kubeconfig FILE")
	}
	for i, s := range all {
		if i > 0 {
			fmt.Fprintln(a.out)
		}
		a.printStatus(s)
	}
	return nil
}

func describeStatus(f hedgerow.Fabric, facts hedgerow.Facts, ev []hedgerow.KindEvidence, now time.Time) statusJSON {
	proof := func(t time.Time) (*time.Time, *float64) {
		if t.IsZero() {
			return nil, nil
		}
		s := now.Sub(t).Seconds()
		return &t, &s
	}
	s := statusJSON{Fabric: f.Name, Status: hedgerow.StatusOf(facts, now), Objects: facts.Objects, Version: f.Version, Kinds: []kindStatusJSON{}}
	s.LastComplete, s.ProofAge = proof(facts.LastComplete)
	for _, e := range ev {
		k := kindStatusJSON{Group: e.Group, Kind: e.Kind, Plural: e.Plural, Objects: e.Present, Verdict: e.Verdict, Message: e.Message}
		k.ProvenAt, k.ProofAge = proof(e.CompleteAt)
		s.Kinds = append(s.Kinds, k)
	}
	return s
}

func (a *app) printStatus(s statusJSON) {
	fmt.Fprintf(a.out, "%s: %s. %s\n", s.Fabric, a.badge(s.Badge), hedgerow.OneLine(s.Sentence))
	for _, f := range []struct {
		name string
		hedgerow.Facet
	}{{"connection", s.Facets.Connection}, {"observation", s.Facets.Observation}, {"drift", s.Facets.Drift}, {"health", s.Facets.Health}, {"schedule", s.Facets.Schedule}, {"follow", s.Facets.Follow}} {
		fmt.Fprintf(a.out, "  %-12s %-10s %s\n", f.name, f.State, hedgerow.OneLine(f.Sentence))
	}
	for _, c := range s.Conditions {
		if c.Type == "Degraded" {
			fmt.Fprintf(a.out, "  %-12s %-10s %s\n", "WARNING", "", hedgerow.OneLine(c.Message))
		}
	}
	var held, empty []string
	for _, k := range s.Kinds {
		switch {
		case k.Verdict != hedgerow.Complete:
			age := "never read whole"
			if k.ProofAge != nil {
				age = "proven " + hedgerow.Age(time.Duration(*k.ProofAge*float64(time.Second))) + " ago"
			}
			held = append(held, fmt.Sprintf("%s %d (%s; %s)", hedgerow.OneLine(k.Plural), k.Objects, k.Verdict, age))
		case k.Objects > 0:
			held = append(held, fmt.Sprintf("%s %d", hedgerow.OneLine(k.Plural), k.Objects))
		default:
			empty = append(empty, hedgerow.OneLine(k.Plural))
		}
	}
	if len(held) > 0 {
		fmt.Fprintf(a.out, "  %-12s %s\n", "objects", strings.Join(held, ", "))
	}
	if len(empty) > 0 {
		fmt.Fprintf(a.out, "  %-12s %s\n", "none of", strings.Join(empty, ", "))
	}
}
