package jobs

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"hedgerow"
	"hedgerow/internal/store"
)

// TestDay: a day of the schedule, in which the clocks of Berlin are put
// forward, has 288 passes of each fabric, one in each interval, however late
// each of them was.
func TestDay(t *testing.T) {
	t.Parallel()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	onBoth(t, 4, func(b *bench) {
		hours, fabrics := 24, []hedgerow.Fabric{b.fabric("a")}
		switch {
		case !testing.Short():
			fabrics = append(fabrics, b.fabric("b"), b.fabric("c"))
		case b.db.Engine() == "postgres":
			hours = 1 // a fetch from the queue takes a tenth of a second there
		}
		b.now = b.now.In(berlin)
		b.work()
		b.keepOnce() // all are due at once
		for range fabrics {
			b.next()
		}
		begun := b.time()
		for end := begun.Add(time.Duration(hours) * time.Hour); b.time().Before(end); {
			now := b.elapse(time.Minute)
			due, err := b.db.Due(b.Context(), now, 100)
			if err != nil {
				b.Fatal(err)
			}
			b.keepOnce()
			b.keepOnce()
			for range due {
				if r := b.next(); r.Outcome != hedgerow.RunComplete || r.Trigger != Schedule {
					b.Fatalf("pass by %s ended as %s: %s", r.Trigger, r.Outcome, r.Message)
				}
			}
		}
		b.idle()
		for _, f := range fabrics {
			runs := b.runs(f)
			if got := len(runs) - 1; got != hours*12 {
				b.Errorf("%s: %d passes in %d hours", f.Name, got, hours)
			}
			slots := map[time.Time]bool{}
			for _, r := range runs[:len(runs)-1] {
				slot := hedgerow.DueAfter(f.ID, f.Policy.Interval, r.StartedAt)
				if slots[slot] || r.StartedAt.Sub(slot.Add(-f.Policy.Interval)) > time.Minute {
					b.Errorf("%s: a second or late pass at %s", f.Name, r.StartedAt)
				}
				slots[slot] = true
			}
		}
	})
}

// TestInterval: another interval counts at once.
func TestInterval(t *testing.T) {
	t.Parallel()
	onBoth(t, 2, func(b *bench) {
		f := b.fabric("a", func(f *hedgerow.Fabric) { f.Policy.Interval = 24 * time.Hour })
		b.work()
		b.keepOnce()
		b.next()
		b.elapse(time.Hour)
		b.keepOnce()
		b.idle()
		f.Policy.Interval = 30 * time.Second
		b.update(f)
		b.keepOnce()
		b.next() // something was changed: find out what it did
		for range 4 {
			b.elapse(30 * time.Second)
			b.keepOnce()
			b.next()
		}
		f.Policy.Interval = hedgerow.Manual
		b.update(f)
		b.elapse(time.Hour)
		b.keepOnce()
		b.idle()
		b.request(f, Manual)
		if r := b.next(); r.Trigger != Manual || r.Actor != "tester" {
			b.Errorf("pass by %s of %s", r.Trigger, r.Actor)
		}
	})
}

// TestAfterSleep: what was missed while nobody kept the schedule is caught up
// with once.
func TestAfterSleep(t *testing.T) {
	t.Parallel()
	onBoth(t, 2, func(b *bench) {
		b.fabric("a")
		b.work()
		b.keepOnce()
		b.next()
		b.elapse(8 * time.Hour)
		for range 5 {
			b.keepOnce()
		}
		b.next()
		b.idle()
		b.elapse(5 * time.Minute)
		b.keepOnce()
		b.next()
		b.idle()
	})
}

// TestMeet: a button pressed many times at once, a follower and the schedule
// get one pass.
func TestMeet(t *testing.T) {
	t.Parallel()
	onBoth(t, 4, func(b *bench) {
		f := b.fabric("a")
		for range 3 {
			var eg errgroup.Group
			for range 8 {
				eg.Go(func() error {
					_, err := b.Request(b.Context(), f.ID, Manual, "tester")
					return err
				})
			}
			eg.Go(func() error { return b.tick(b.Context()) })
			eg.Go(func() error { _, err := b.Request(b.Context(), f.ID, Gap, "follower"); return err })
			if err := eg.Wait(); err != nil {
				b.Fatal(err)
			}
			if b.TickedAt().IsZero() {
				b.Error("no tick")
			}
			stop := b.workFor()
			b.next()
			b.idle()
			stop()
			b.elapse(5 * time.Minute)
		}
		if n := len(b.runs(f)); n != 3 {
			b.Errorf("%d passes", n)
		}
	})
}

// workFor works the queue until stop is called.
func (b *bench) workFor() (stop func()) {
	b.Helper()
	if err := b.Engine.queue.Start(context.Background()); err != nil {
		b.Fatal(err)
	}
	return func() {
		b.Helper()
		if err := b.Engine.queue.Stop(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}

// TestAgain: every request that is made after a pass gets another, however
// soon, and whatever became of the requests before it.
func TestAgain(t *testing.T) {
	for _, lane := range []string{Manual, Gap} {
		t.Run(lane, func(t *testing.T) {
			onBoth(t, 2, func(b *bench) {
				f := b.fabric("a", func(f *hedgerow.Fabric) { f.Policy.Interval = hedgerow.Manual })
				b.work()
				for range 3 {
					b.request(f, lane)
					b.next()
				}
				// One that is made during a pass is met by it; the next is not.
				inside, leave := make(chan struct{}), make(chan struct{})
				b.set(func() {
					b.during = func(context.Context, hedgerow.Fabric) { close(inside); <-leave }
				})
				b.request(f, lane)
				<-inside
				b.set(func() { b.during = nil })
				b.request(f, lane)
				b.await("the second request is met", func() bool { n, _, err := b.Depth(b.Context()); return err == nil && n == 0 && b.done() >= 4 })
				close(leave)
				b.next()
				b.request(f, lane)
				b.next()
				// Nor does one that came to nothing stand in the way.
				f.Suspended = true
				b.update(f)
				b.request(f, lane)
				b.await("it has come to nothing", func() bool { return b.count("state <> 'completed'") == 0 })
				f.Suspended = false
				b.update(f)
				b.request(f, lane)
				b.next()
				b.idle()
			})
		})
	}
}

// done counts the jobs that are done.
func (b *bench) done() int { return b.count("state = 'completed'") }

// count counts jobs.
func (b *bench) count(which string) (n int) {
	b.Helper()
	query := `SELECT count(*) FROM river_job WHERE kind = 'observe' AND ` + which
	var err error
	if q := b.conf.Database; q.SQLite != nil {
		err = q.SQLite.QueryRowContext(b.Context(), query).Scan(&n)
	} else {
		err = q.Postgres.QueryRow(b.Context(), query).Scan(&n)
	}
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// TestManualFirst: who waits goes ahead of what is only due.
func TestManualFirst(t *testing.T) {
	t.Parallel()
	onBoth(t, 1, func(b *bench) {
		var fabrics []hedgerow.Fabric
		for i := range 10 {
			fabrics = append(fabrics, b.fabric(fmt.Sprintf("f%d", i)))
		}
		b.keepOnce()
		b.request(fabrics[4], Gap)
		b.request(fabrics[7], Manual)
		b.elapse(time.Second) // a pass begins after it was due
		b.work()
		for i, want := range []hedgerow.Fabric{fabrics[7], fabrics[4]} {
			if r := b.next(); r.FabricID != want.ID {
				b.Errorf("pass %d is of fabric %d, want %s", i, r.FabricID, want.Name)
			}
		}
		for range 8 {
			b.next()
		}
		b.idle()
	})
}

// TestOnce: a fabric has one run at a time, and as many workers as there are
// are busy with others.
func TestOnce(t *testing.T) {
	t.Parallel()
	onBoth(t, 4, func(b *bench) {
		var mu sync.Mutex
		most := map[int64]int{}
		b.set(func() {
			b.during = func(_ context.Context, f hedgerow.Fabric) {
				b.maker.mu.Lock()
				n := b.active[f.ID]
				b.maker.mu.Unlock()
				mu.Lock()
				most[f.ID] = max(most[f.ID], n)
				mu.Unlock()
			}
		})
		var fabrics []hedgerow.Fabric
		for i := range 6 {
			fabrics = append(fabrics, b.fabric(fmt.Sprintf("f%d", i)))
		}
		b.work()
		for range 5 {
			for _, f := range fabrics {
				b.request(f, Manual)
				b.request(f, Gap)
			}
			b.keepOnce()
			for range fabrics {
				b.next()
			}
			b.elapse(5 * time.Minute)
		}
		overlapping := 0
		for _, f := range fabrics {
			var last hedgerow.Run
			for _, r := range b.runs(f) {
				if r.Outcome != hedgerow.RunComplete || last.ID != 0 && r.FinishedAt.After(last.StartedAt) {
					overlapping++
				}
				last = r
			}
		}
		if overlapping > 0 {
			b.Errorf("%d runs overlap or failed", overlapping)
		}
	})
}

// TestGone: what happened to a fabric between queue and work is heeded.
func TestGone(t *testing.T) {
	t.Parallel()
	onBoth(t, 2, func(b *bench) {
		suspended, removed, bare := b.fabric("suspended"), b.fabric("removed"), b.fabric("bare")
		b.keepOnce()
		for _, f := range []hedgerow.Fabric{suspended, removed, bare} {
			b.request(f, Manual)
		}
		suspended.Suspended, bare.Cluster = true, nil
		b.update(suspended)
		b.update(bare)
		if err := b.db.RemoveFabric(b.Context(), removed.ID); err != nil {
			b.Fatal(err)
		}
		b.work()
		b.idle()
		b.await("all are done with", func() bool { return b.done() == 6 })
		b.elapse(time.Hour)
		b.keepOnce()
		b.idle()
		suspended.Suspended = false
		b.update(suspended)
		b.keepOnce()
		if r := b.next(); r.FabricID != suspended.ID {
			b.Errorf("a pass of fabric %d", r.FabricID)
		}
	})
}

// TestBusy: a pass that another makes is as good as the one asked for; who
// only looks is waited for.
func TestBusy(t *testing.T) {
	t.Parallel()
	onBoth(t, 2, func(b *bench) {
		f := b.fabric("a")
		other, err := store.Open(b.Context(), b.where, store.Options{})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { other.Close() })
		b.request(f, Manual)
		b.keepOnce()
		pass, err := other.Begin(b.Context(), hedgerow.Opening{Fabric: f, Trigger: "manual", Actor: "shell", Clock: b.time})
		if err != nil {
			b.Fatal(err)
		}
		b.work()
		b.await("both are done with", func() bool { return b.done() == 2 })
		run := pass.Run
		run.Outcome, run.FinishedAt = hedgerow.RunComplete, b.time()
		if _, err := other.Commit(b.Context(), hedgerow.Commit{Run: run}); err != nil {
			b.Fatal(err)
		}
		// The run has ended, but its lock is still held.
		b.request(f, Manual)
		b.await("it is tried", func() bool { return b.turnedAway() > 0 })
		select {
		case <-b.made:
			b.Error("a pass was made under another's lock")
		default:
		}
		pass.End()
		b.next()
		b.idle()
	})
}
