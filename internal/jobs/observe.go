package jobs

import (
	"context"
	"math/rand/v2"
	"sync"
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

// lostAfter is the age above which a job that has not come to an end was
// taken by a process that died: another takes it up. One that is only slow is
// then delivered twice, and finds its own pass under way.
const lostAfter = 15 * time.Minute

// Timeout is what River waits before it takes a job for lost.
func (*observer) Timeout(*river.Job[observeArgs]) time.Duration { return lostAfter }

const (
	// workerWait is how long a worker waits for a pass that has begun. One that
	// takes longer waits for its cluster as a rule, and needs no worker for
	// that: it goes on beside them, so that clusters that are slow do not keep
	// the others from being read.
	workerWait = 2 * time.Second
	// large is the number of objects from which on a pass takes long for their
	// sake, and memory with it: it keeps its worker.
	large = 20_000
)

// Overtime is how many passes at most go on beside so many workers.
func Overtime(workers int) int { return max(16, workers) }

// Work makes the pass that was asked for, unless it has been made. What goes
// wrong before its run has begun is for River to try again.
func (o *observer) Work(_ context.Context, job *river.Job[observeArgs]) error {
	e := o.engine
	done, begun := make(chan error, 1), make(chan struct{})
	e.passes.Go(func() { done <- e.observe(e.ctx, job.Args, job.ScheduledAt, sync.OnceFunc(func() { close(begun) })) })
	select {
	case err := <-done:
		return err
	case <-begun:
	}
	t := time.NewTimer(workerWait)
	defer t.Stop()
	select {
	case err := <-done:
		return err
	case <-t.C:
	}
	if e.isLarge(job.Args.Fabric) {
		return <-done
	}
	select {
	case err := <-done:
		return err
	case e.overtime <- struct{}{}: // at most so many, or when one of them has ended
	}
	e.passes.Go(func() {
		defer func() { <-e.overtime }()
		if err := <-done; err != nil { // it is in its run, and was logged
			e.conf.Log.Debug("pass beside the workers ended", "error", err.Error())
		}
	})
	return nil
}

// isLarge reports whether a fabric is known to have many objects.
func (e *Engine) isLarge(fabric int64) bool {
	counts, err := e.conf.Store.Counts(e.ctx, fabric)
	n := 0
	for _, c := range counts {
		n += c
	}
	return err != nil || n >= large
}

// observe makes a pass that was asked for, unless it has been made; begun is
// called once its run is in the record.
func (e *Engine) observe(ctx context.Context, a observeArgs, since time.Time, begun func()) error {
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
	run, err := e.conf.Passes.Observe(ctx, Wanted{Fabric: f, Trigger: a.Lane, Actor: a.Actor, Met: a.met, Begun: func() {
		e.conf.Meter.Waited(e.conf.Now().Sub(since))
		e.work(1)
		begun()
	}})
	if run.ID != 0 {
		defer e.work(-1)
	}
	switch {
	case hedgerow.CodeOf(err) == hedgerow.CodeBusy:
		if newest, err := e.conf.Store.NewestPass(ctx, a.Fabric); err != nil || newest.Outcome == hedgerow.Running || a.met(newest) {
			return err
		}
		return river.JobSnooze(time.Second) // somebody only looked, or changed the fabric
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
	return true, e.conf.Store.Probed(ctx, f.ID, s, s.Probed(why.Error(), e.conf.Now(), rand.Float64()))
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
