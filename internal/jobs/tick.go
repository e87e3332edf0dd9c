package jobs

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"hedgerow"
)

const (
	// tickEvery is how often due fabrics are looked for.
	tickEvery = time.Second
	// tickLate is the time without a tick above which one counts as missed.
	tickLate = 10 * time.Second
	// jump is the difference between the two clocks of a machine, one that can
	// be set and one that cannot, above which the first was set.
	jump = 5 * time.Second
	// dueAtOnce bounds the fabrics queued at one tick.
	dueAtOnce = 500
	// remembered is how long a problem that has passed is still told of.
	remembered = 10 * time.Minute
)

// keep keeps the schedule until ctx is done.
func (e *Engine) keep(ctx context.Context) {
	t := time.NewTicker(tickEvery)
	defer t.Stop()
	for n := 0; ; n++ {
		e.look(time.Now())
		err := e.tick(ctx)
		if n%5 == 0 && err == nil {
			err = e.conf.Store.CloseInterrupted(ctx, e.conf.Now())
		}
		if ctx.Err() != nil {
			return
		}
		e.trouble("ScheduleNotKept", err)
		if n%5 == 0 {
			e.crowd(ctx)
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// tick queues a pass of every fabric whose moment has come. A fabric is queued
// before its moment moves on, so that a crash between the two repeats the
// request, which then meets the first, and loses none.
func (e *Engine) tick(ctx context.Context) error {
	now := e.conf.Now()
	due, err := e.conf.Store.Due(ctx, now, dueAtOnce)
	if err != nil {
		return err
	}
	for _, d := range due {
		if _, err := e.queue.Insert(ctx, observeArgs{Fabric: d.Fabric, Lane: Schedule, Key: d.At.UnixMicro(), Actor: "schedule"}, opts(Schedule)); err != nil {
			return hedgerow.Errorf(hedgerow.CodeStore, "queue the pass of %s: %w", d.Name, err)
		}
		if err := e.conf.Store.Advance(ctx, d, hedgerow.DueAfter(d.Fabric, d.Interval, now)); err != nil {
			return err
		}
	}
	e.mu.Lock()
	e.tickedAt = now
	e.mu.Unlock()
	e.conf.Meter.Ticked(now)
	return nil
}

// TickedAt is when the schedule was last looked at, zero before the first
// time.
func (e *Engine) TickedAt() time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.tickedAt
}

// Working is how many passes are under way in this process, those included
// that no worker waits for any more.
func (e *Engine) Working() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.working
}

// clock watches the clocks of the machine.
type clock struct{ last time.Time }

// since returns how long ago the last look was, and by how much the clock that
// can be set went astray meanwhile.
func (c *clock) since(now time.Time) (gone, astray time.Duration) {
	if c.last.IsZero() {
		c.last = now
	}
	gone = now.Sub(c.last) // by the clock that cannot be set
	astray = now.Round(0).Sub(c.last.Round(0)) - gone
	c.last = now
	return gone, astray
}

// look finds out whether time went by as it should. It is called by keep only.
func (e *Engine) look(now time.Time) {
	gone, astray := e.clock.since(now)
	if astray.Abs() > jump {
		way := "forward"
		if astray < 0 {
			way = "back"
		}
		e.happened("ClockJumped", fmt.Sprintf("the clock of this machine jumped %s by %s: ages and moments before it cannot be compared with those after", way, hedgerow.Age(astray.Abs())))
	}
	if gone > tickLate {
		e.happened("TickMissed", fmt.Sprintf("nobody looked for due fabrics for %s: the process was stopped, or the machine or the database was overloaded", hedgerow.Age(gone)))
	}
}

// crowd finds out whether the workers keep up.
func (e *Engine) crowd(ctx context.Context) {
	waiting, oldest, err := e.Depth(ctx)
	switch {
	case err != nil:
		e.trouble("QueueUnknown", err)
	case oldest > hedgerow.Lateness:
		e.trouble("QueueUnknown", nil)
		e.trouble("WorkersBusy", fmt.Errorf("%s waiting for a free worker, the first for %s: more workers (--workers) or processes are needed", passes(waiting), hedgerow.Age(oldest)))
	default:
		e.trouble("QueueUnknown", nil)
		e.trouble("WorkersBusy", nil)
	}
}

func passes(n int) string {
	if n == 1 {
		return "1 pass is"
	}
	return fmt.Sprintf("%d passes are", n)
}

// trouble notes a problem that lasts until the same is called without error.
func (e *Engine) trouble(reason string, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	p, had := e.problems[reason]
	switch {
	case err == nil:
		delete(e.problems, reason)
	case had:
		p.Message = err.Error()
		e.problems[reason] = p
	default:
		e.problems[reason] = hedgerow.Problem{Reason: reason, Message: err.Error(), Since: e.conf.Now()}
		e.conf.Log.Error("schedule in trouble", "reason", reason, "error", err.Error())
	}
}

// happened notes a problem that is over, but should be known for a while.
func (e *Engine) happened(reason, message string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.problems[reason] = hedgerow.Problem{Reason: reason, Message: message, Since: e.conf.Now()}
	e.conf.Log.Warn("schedule disturbed", "reason", reason, "message", message)
}

// Problems returns what is, or lately was, wrong with keeping the schedule, by
// reason.
func (e *Engine) Problems() []hedgerow.Problem {
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []hedgerow.Problem
	for reason, p := range e.problems {
		if past := reason == "ClockJumped" || reason == "TickMissed"; past && e.conf.Now().Sub(p.Since).Abs() > remembered {
			delete(e.problems, reason)
			continue
		}
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b hedgerow.Problem) int { return strings.Compare(a.Reason, b.Reason) })
	return all
}
