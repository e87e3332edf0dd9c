package jobs

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/errgroup"

	"hedgerow"
	"hedgerow/internal/pgtest"
)

// TestOvertime: clusters that keep a pass waiting keep no worker, up to a
// number of them; beyond that they do, so that no more passes are under way
// than workers and that number.
func TestOvertime(t *testing.T) {
	t.Parallel()
	onBoth(t, 2, func(b *bench) {
		most := 2 + Overtime(2)
		entered, leave := make(chan int64, 100), make(chan struct{})
		slow := map[int64]bool{}
		b.set(func() {
			b.during = func(ctx context.Context, f hedgerow.Fabric) {
				if !slow[f.ID] {
					return
				}
				entered <- f.ID
				select {
				case <-ctx.Done():
				case <-leave:
				}
			}
		})
		for i := range most + 3 {
			f := b.fabric(fmt.Sprintf("slow%d", i))
			slow[f.ID] = true
			b.request(f, Manual)
		}
		b.work()
		for range most - 1 {
			<-entered
		}
		// One worker is left, or will be.
		good := b.fabric("good")
		b.request(good, Manual)
		<-entered
		b.await("as many passes as may be", func() bool { return b.Working() == most })
		if n := len(entered); n != 0 {
			b.Errorf("%d passes more than may be", n)
		}
		select {
		case r := <-b.made:
			b.Fatalf("fabric %d was read, though every place is taken", r.FabricID)
		default:
		}
		close(leave)
		for range most + 4 {
			if r := b.next(); r.Outcome != hedgerow.RunComplete {
				b.Errorf("pass ended as %s: %s", r.Outcome, r.Message)
			}
		}
		b.idle()
	})
}

// TestOthersGoOn: while a few clusters keep their passes waiting, another is
// read as if they were not there.
func TestOthersGoOn(t *testing.T) {
	t.Parallel()
	onBoth(t, 2, func(b *bench) {
		entered := make(chan int64, 100)
		slow := map[int64]bool{}
		ctx, letGo := context.WithCancel(context.Background())
		b.set(func() {
			b.during = func(_ context.Context, f hedgerow.Fabric) {
				if slow[f.ID] {
					entered <- f.ID
					<-ctx.Done()
				}
			}
		})
		for i := range 5 {
			f := b.fabric(fmt.Sprintf("slow%d", i))
			slow[f.ID] = true
			b.request(f, Manual)
		}
		good := b.fabric("good", func(f *hedgerow.Fabric) { f.Policy.Interval = hedgerow.Manual })
		b.work()
		for range 5 {
			<-entered
		}
		for range 3 {
			b.request(good, Manual)
			if r := b.next(); r.FabricID != good.ID {
				b.Fatalf("a pass of fabric %d", r.FabricID)
			}
		}
		letGo()
		for range 5 {
			b.next()
		}
		b.idle()
	})
}

// TestDrainOvertime: a pass that no worker waits for is given the grace too.
func TestDrainOvertime(t *testing.T) {
	for _, tc := range []struct {
		name  string
		lasts time.Duration
		want  hedgerow.Code
	}{{"ends", 15 * time.Second, ""}, {"does not end", time.Hour, hedgerow.CodeInterrupted}} {
		t.Run(tc.name, func(t *testing.T) {
			where := filepath.Join(t.TempDir(), "hedgerow.db")
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, where, 1)
				b.set(func() {
					b.during = func(ctx context.Context, _ hedgerow.Fabric) {
						select {
						case <-ctx.Done():
						case <-time.After(tc.lasts):
						}
					}
				})
				f := b.fabric("a")
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- b.Engine.Run(ctx, 20*time.Second) }()
				b.await("its worker is free", func() bool { return b.done() == 1 && b.Working() == 1 })
				begun := time.Now()
				cancel()
				if err := <-ended; !errors.Is(err, context.Canceled) {
					t.Errorf("error %v", err)
				}
				if took := time.Since(begun); took > 20*time.Second+afterGrace { // of the bubble's time
					t.Errorf("it took %s", took)
				}
				if r := b.next(); r.Code != tc.want || r.FabricID != f.ID || r.FinishedAt.IsZero() {
					t.Errorf("pass ended as %s (%s)", r.Outcome, r.Code)
				}
			})
		})
	}
}

// TestMeetAcross: a button, a follower and the schedule get one pass, also when
// two processes take up their jobs in the same instant.
func TestMeetAcross(t *testing.T) {
	t.Parallel()
	test := func(b *bench) {
		first := b.Engine
		b.join(4)
		f := b.fabric("a")
		const rounds = 5
		for range rounds {
			b.request(f, Manual)
			b.request(f, Gap)
			b.keepOnce()
			var eg errgroup.Group
			for _, e := range []*Engine{first, b.Engine} {
				eg.Go(func() error { return e.queue.Start(context.Background()) })
			}
			if err := eg.Wait(); err != nil {
				b.Fatal(err)
			}
			b.next()
			b.await("all are done with", func() bool { return b.count("state <> 'completed'") == 0 })
			b.idle()
			for _, e := range []*Engine{first, b.Engine} {
				if err := e.queue.Stop(context.Background()); err != nil {
					b.Fatal(err)
				}
			}
			b.elapse(5 * time.Minute)
		}
		if n := len(b.runs(f)); n != rounds {
			b.Errorf("%d passes in %d rounds", n, rounds)
		}
	}
	// Not in a bubble: whoever waits for a file that another client has locked
	// waits by the clock, behind a mutex, and a bubble's clock does not heed that.
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(newBench(t, filepath.Join(t.TempDir(), "hedgerow.db"), 4))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(newBench(t, pgtest.URL(t), 4))
	})
}

// TestChangedDuringPass: a fabric that is changed while a pass of it is under
// way is read again when that has ended, not at its next moment.
func TestChangedDuringPass(t *testing.T) {
	t.Parallel()
	onBoth(t, 2, func(b *bench) {
		f := b.fabric("a", func(f *hedgerow.Fabric) { f.Policy.Interval = 24 * time.Hour })
		entered, leave := make(chan struct{}), make(chan struct{})
		b.set(func() {
			b.during = func(context.Context, hedgerow.Fabric) { close(entered); <-leave }
		})
		b.work()
		b.keepOnce()
		<-entered
		b.set(func() { b.during = nil })
		f.Policy.MaxDeleteFloor++
		b.update(f)
		b.keepOnce()
		b.await("what was queued is done with", func() bool {
			return b.count("state = 'completed'") >= 1 && b.count("state in ('available', 'retryable')") == 0
		})
		close(leave)
		b.next()
		b.keepOnce()
		b.next()
		b.elapse(time.Hour)
		b.keepOnce()
		b.idle()
	})
}
