package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"hedgerow"
	"hedgerow/internal/httpd"
	"hedgerow/internal/kinds"
	"hedgerow/internal/syncer"
)

// ready says whether the process does what it is there for.
func (s *service) ready(ctx context.Context) []httpd.Check {
	checks := []httpd.Check{{Name: "record"}}
	_, checks[0].Err = s.db.Clock(ctx)
	checks = append(checks, s.recent("report", s.member.BeatAt(), hedgerow.Lease, "the process has not reported itself"))
	if s.flags.workers > 0 {
		checks = append(checks, s.recent("schedule", s.engine.TickedAt(), hedgerow.Lateness, "nobody has looked at the schedule"))
	}
	for _, p := range s.member.Problems() {
		checks = append(checks, httpd.Check{Name: p.Reason, Err: errors.New(hedgerow.OneLine(s.redactor.Text(p.Message)))})
	}
	checks = append(checks, s.fabricsInTrouble(ctx)...)
	select {
	case <-s.draining:
		checks = append(checks, httpd.Check{Name: "draining", Err: errors.New("the process is being stopped")})
	default:
	}
	return checks
}

// readyInBrief is ready for who may be anybody: which checks fail, and nothing of
// fabrics and paths (S28).
func (s *service) readyInBrief(ctx context.Context) (checks []httpd.Check) {
	for _, c := range s.ready(ctx) {
		switch {
		case c.Err != nil && c.Warn:
			continue
		case c.Err != nil:
			c.Err = errors.New("/readyz on the port of the metrics says why")
		}
		checks = append(checks, c)
	}
	return checks
}

// recent is a check that something was done of late.
func (s *service) recent(name string, at time.Time, most time.Duration, otherwise string) (c httpd.Check) {
	c.Name = name
	switch age := s.now().Sub(at); {
	case at.IsZero():
		c.Err = errors.New(otherwise + " yet")
	case age > most:
		c.Err = fmt.Errorf("%s for %s", otherwise, hedgerow.Age(age))
	}
	return c
}

// fabricsInTrouble tells of the fabrics of which somebody should know who looks
// after the processes. A cluster in trouble is no reason to send nobody here.
func (s *service) fabricsInTrouble(ctx context.Context) []httpd.Check {
	ctx, cancel := context.WithTimeout(ctx, fabricsTimeout)
	defer cancel()
	all, _, err := s.fleet.Fleet(ctx)
	if err != nil {
		return []httpd.Check{{Name: "fabrics", Err: fmt.Errorf("not known how they are: %w", err), Warn: true}}
	}
	var overdue, unfollowed []string
	now := s.now()
	for _, f := range all {
		st := hedgerow.StatusOf(f.Facts, now)
		if c := st.Condition("Stalled"); c.Reason == hedgerow.RunOverdue {
			overdue = append(overdue, f.Fabric.Name+": "+c.Message)
		}
		if w := st.Facets.Follow; w.State == "broken" {
			unfollowed = append(unfollowed, f.Fabric.Name+": "+w.Sentence)
		}
	}
	var checks []httpd.Check
	for _, c := range []struct {
		name string
		told []string
	}{{hedgerow.RunOverdue, overdue}, {"NotFollowed", unfollowed}} {
		if len(c.told) > 0 {
			checks = append(checks, httpd.Check{Name: c.name, Err: errors.New(s.redactor.Text(few(c.told))), Warn: true})
		}
	}
	return checks
}

// fabricsTimeout bounds the reading of all fabrics for one answer. What was read
// is not read again by the next.
const fabricsTimeout = 2 * time.Second

// few writes the first of some sentences.
func few(all []string) string {
	const most = 5
	if len(all) > most {
		return fmt.Sprintf("%s And %d more fabrics.", strings.Join(all[:most], " "), len(all)-most)
	}
	return strings.Join(all, " ")
}

// fleet is every fabric as the record has it, for metrics and readiness. What
// has not moved since it was last read is not read again.
type fleet struct {
	*app
	one  chan struct{} // holds something while somebody reads
	last map[int64]fleetEntry
}

type fleetEntry struct {
	moment hedgerow.Moment
	state  httpd.FabricState
}

func newFleet(a *app) *fleet {
	return &fleet{app: a, one: make(chan struct{}, 1), last: map[int64]fleetEntry{}}
}

// Fleet returns the fabrics and the processes.
func (f *fleet) Fleet(ctx context.Context) ([]httpd.FabricState, []hedgerow.Process, error) {
	select {
	case f.one <- struct{}{}:
		defer func() { <-f.one }()
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	moments, err := f.db.Moments(ctx) // before the rest: what moves meanwhile is read again
	if err != nil {
		return nil, nil, err
	}
	fabrics, err := f.db.Fabrics(ctx)
	if err != nil {
		return nil, nil, err
	}
	service, processes, err := f.service(ctx)
	if err != nil {
		return nil, nil, err
	}
	maps.DeleteFunc(f.last, func(id int64, _ fleetEntry) bool { _, there := moments[id]; return !there })
	all := make([]httpd.FabricState, len(fabrics))
	for i, fab := range fabrics {
		e, ok := f.last[fab.ID]
		if !ok || e.moment != moments[fab.ID] {
			e = fleetEntry{moment: moments[fab.ID], state: httpd.FabricState{Fabric: fab}}
			if e.state.Facts, err = syncer.Facts(ctx, f.db, fab, kinds.Agents); err != nil {
				return nil, nil, err
			}
			if e.state.Kinds, err = f.db.Evidence(ctx, fab.ID); err != nil {
				return nil, nil, err
			}
			f.last[fab.ID] = e
		}
		all[i] = e.state
		all[i].Facts.Service = service
	}
	return all, processes, nil
}
