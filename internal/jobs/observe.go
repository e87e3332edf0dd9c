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

// workerWait is how long a worker waits for a pass. One that takes longer waits
// for its cluster, and needs no worker for that: it goes on beside them, so
// that clusters that are slow do not keep the others from being read.
const workerWait = 2 * time.Second

// Overtime is how many passes at most go on beside so many workers.
func Overtime(workers int) int { return max(16, workers) }

// Work makes the pass that was asked for, unless it has been made.
func (o *observer) Work(_ context.Context, job *river.Job[observeArgs]) error {
	e := o.engine
	done := make(chan error, 1)
	e.passes.Go(func() { done <- e.observe(e.ctx, job.Args, job.ScheduledAt) })
	t := time.NewTimer(workerWait)
	defer t.Stop()
	select {
	case err := <-done:
		return err
	case <-t.C:
	}
	select {
	case e.overtime <- struct{}{}:
	default:
		return <-done // there are too many of them already
	}
	e.passes.Go(func() {
		defer func() { <-e.overtime }()
		// A run that could not be recorded is found by CloseInterrupted, and
		// makes its fabric due.
		if err := <-done; err != nil && e.ctx.Err() == nil {
			e.conf.Log.Warn("pass not made", "error", err.Error())
		}
	})
	return nil
}

// observe makes a pass that was asked for, unless it has been made.
func (e *Engine) observe(ctx context.Context, a observeArgs, since time.Time) error {
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
	if newest, err := e.conf.Store.NewestPass(ctx, a.Fabric); err != nil || a.met(newest) {
		return err
	}
	if a.Lane != Manual {
		if open, err := e.probe(ctx, f); err != nil || open {
			return err
		}
	}
	e.conf.Meter.Waited(e.conf.Now().Sub(since))
	e.work(1)
	defer e.work(-1)
	for {
		run, err := e.conf.Passes.Observe(ctx, f, a.Lane, a.Actor, a.met)
		switch {
		case hedgerow.CodeOf(err) == hedgerow.CodeBusy:
			if newest, err := e.conf.Store.NewestPass(ctx, a.Fabric); err != nil || newest.Outcome == hedgerow.Running || a.met(newest) {
				return err
			}
			// Somebody only looked, or changed the fabric.
			if f, err = e.again(ctx, a.Fabric); err != nil || f.Suspended || f.Cluster == nil {
				return err
			}
			continue
		case hedgerow.CodeOf(err) == hedgerow.CodeNotFound:
			return nil // removed
		case err != nil:
			e.conf.Log.Error("pass not made", "fabric", f.Name, "error", err.Error())
			return err
		}
		e.conf.Meter.Ended(f, run)
		return nil
	}
}

// again waits a moment, and returns a fabric as it then is.
func (e *Engine) again(ctx context.Context, fabric int64) (hedgerow.Fabric, error) {
	t := time.NewTimer(busy)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return hedgerow.Fabric{}, ctx.Err()
	case <-t.C:
	}
	f, err := e.conf.Store.FabricByID(ctx, fabric)
	if hedgerow.CodeOf(err) == hedgerow.CodeNotFound {
		return hedgerow.Fabric{}, nil // removed
	}
	return f, err
}

// busy is the wait for a fabric whose lock somebody holds for a moment.
const busy = time.Second

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
