package jobs

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/riverqueue/river"

	"hedgerow"
)

// observeArgs ask for a pass. Two jobs are one when fabric, lane and key are:
// the key of a scheduled pass is the moment it was due, of any other the
// newest pass when it was asked for.
type observeArgs struct {
	Fabric int64  `json:"fabric" river:"unique"`
	Lane   string `json:"lane"   river:"unique"`
	Key    int64  `json:"key"    river:"unique"`
	// Instead is the number of a job for the same that was lost, 0 for none.
	Instead int64  `json:"instead" river:"unique"`
	Actor   string `json:"actor"`
}

func (observeArgs) Kind() string { return "observe" }

type observer struct {
	river.WorkerDefaults[observeArgs]
	engine *Engine
}

// longest bounds a job; the pass in it ends by its own deadline before.
const longest = 24 * time.Hour

// Timeout is what River waits before it takes a job for lost.
func (*observer) Timeout(*river.Job[observeArgs]) time.Duration { return longest }

// Work makes the pass that was asked for, unless it has been made.
func (o *observer) Work(ctx context.Context, job *river.Job[observeArgs]) error {
	e, a := o.engine, job.Args
	f, err := e.conf.Store.FabricByID(ctx, a.Fabric)
	if hedgerow.CodeOf(err) == hedgerow.CodeNotFound {
		return nil
	}
	if err != nil {
		return err
	}
	if f.Suspended || f.Cluster == nil {
		return nil // since it was asked for; its status says so
	}
	newest, err := e.conf.Store.NewestPass(ctx, a.Fabric)
	if err != nil {
		return err
	}
	if a.met(newest) {
		return nil
	}
	// Two jobs that start in the same instant take turns, and the second looks
	// again: the first may have made its pass.
	turn := e.turn(a.Fabric)
	select {
	case turn <- struct{}{}:
		defer func() { <-turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if newest, err = e.conf.Store.NewestPass(ctx, a.Fabric); err != nil || a.met(newest) {
		return err
	}
	if a.Lane != Manual {
		if open, err := e.probe(ctx, f); err != nil || open {
			return err
		}
	}
	e.conf.Meter.Waited(e.conf.Now().Sub(job.ScheduledAt))
	e.work(1)
	defer e.work(-1)
	run, err := e.conf.Passes.Observe(ctx, f, a.Lane, a.Actor)
	switch {
	case hedgerow.CodeOf(err) == hedgerow.CodeBusy:
		if newest, err := e.conf.Store.NewestPass(ctx, a.Fabric); err != nil || newest.Outcome == hedgerow.Running || a.met(newest) {
			return err
		}
		return river.JobSnooze(time.Second) // somebody only looked
	case hedgerow.CodeOf(err) == hedgerow.CodeNotFound:
		return nil // removed
	case err != nil:
		e.conf.Log.Error("pass not made", "fabric", f.Name, "error", err.Error())
		return err
	}
	e.conf.Meter.Ended(f, run)
	return nil
}

// met reports whether the pass that was asked for has been made, or is being
// made.
func (a observeArgs) met(newest hedgerow.Run) bool {
	if newest.ID == 0 {
		return false
	}
	if a.Lane == Schedule {
		return !newest.StartedAt.Before(time.UnixMicro(a.Key))
	}
	return newest.ID != a.Key || newest.Outcome == hedgerow.Running
}

// probe asks a cluster whose breaker is open whether it answers, and reports
// whether the breaker stays open.
func (e *Engine) probe(ctx context.Context, f hedgerow.Fabric) (open bool, err error) {
	s, err := e.conf.Store.Schedule(ctx, f.ID)
	if err != nil || s.OpenSince.IsZero() {
		return false, err
	}
	why := e.conf.Passes.Probe(ctx, f)
	if why == nil {
		e.conf.Log.Info("cluster answers again", "fabric", f.Name)
		return false, nil // half open: the pass decides
	}
	if ctx.Err() != nil {
		return true, ctx.Err()
	}
	e.conf.Log.Info("cluster probed in vain", "fabric", f.Name, "error", why.Error())
	// It may have been mended meanwhile.
	now, err := e.conf.Store.Schedule(ctx, f.ID)
	if err != nil || now.OpenSince.IsZero() {
		return true, err
	}
	return true, e.conf.Store.SaveSchedule(ctx, f.ID, now.Probed(why.Error(), e.conf.Now(), rand.Float64()))
}

// turn is what the jobs of a fabric in this process hold one after another.
func (e *Engine) turn(fabric int64) chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.turns[fabric] == nil {
		e.turns[fabric] = make(chan struct{}, 1)
	}
	return e.turns[fabric]
}

func (e *Engine) work(n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.working += n
}

// pruneArgs ask for old runs to be forgotten.
type pruneArgs struct{}

func (pruneArgs) Kind() string { return "prune" }

type pruner struct {
	river.WorkerDefaults[pruneArgs]
	engine *Engine
}

// Work forgets the runs whose time is over.
func (p *pruner) Work(ctx context.Context, _ *river.Job[pruneArgs]) error {
	e := p.engine
	now := e.conf.Now()
	n, err := e.conf.Store.Prune(ctx, now.Add(-keepQuiet), now.Add(-keepRuns))
	if n > 0 {
		e.conf.Log.Info("old runs forgotten", "runs", n)
	}
	return err
}
