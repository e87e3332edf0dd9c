package jobs

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"hedgerow"
	"hedgerow/internal/pgtest"
)

// TestBreaker: after five failures in a row a cluster is only probed, until it
// answers; then a pass decides. Who asks by hand gets a pass all the same.
func TestBreaker(t *testing.T) {
	t.Parallel()
	onBoth(t, 2, func(b *bench) {
		f := b.fabric("a")
		b.set(func() { b.dead = errDead })
		b.work()
		for i := range hedgerow.BreakerAfter {
			b.elapse(hedgerow.RetryMost)
			b.keepOnce()
			if r := b.next(); r.Outcome != hedgerow.RunFailed {
				b.Fatalf("pass ended as %s", r.Outcome)
			}
			if s := b.schedule(f); s.Failures != i+1 || s.OpenSince.IsZero() != (i+1 < hedgerow.BreakerAfter) {
				b.Fatalf("after %d failures: %+v", i+1, s)
			}
		}
		for i := range 3 {
			before := b.schedule(f)
			b.elapse(hedgerow.ProbeEvery)
			b.keepOnce()
			b.await("the probe is recorded", func() bool { s := b.schedule(f); return s.ProbedAt.After(before.ProbedAt) })
			s := b.schedule(f)
			if b.probed() != i+1 || s.ProbeError != errDead.Error() || !s.OpenSince.Equal(before.OpenSince) || s.Failures != before.Failures {
				b.Errorf("%d probes, %+v", b.probed(), s)
			}
			if wait := s.Next.Sub(b.time()); wait > hedgerow.ProbeEvery || wait < hedgerow.ProbeEvery*9/10 {
				b.Errorf("the next probe is in %s", wait)
			}
		}
		b.idle()
		b.request(f, Manual)
		if r := b.next(); r.Trigger != Manual {
			b.Errorf("pass by %s", r.Trigger)
		}
		if b.probed() != 3 {
			b.Errorf("%d probes for who asked by hand", b.probed())
		}
		b.set(func() { b.dead = nil })
		b.elapse(hedgerow.ProbeEvery)
		b.keepOnce()
		if r := b.next(); r.Outcome != hedgerow.RunComplete {
			b.Errorf("pass ended as %s", r.Outcome)
		}
		if s := b.schedule(f); b.probed() != 4 || s.Failures != 0 || !s.OpenSince.IsZero() || !s.Next.Equal(hedgerow.DueAfter(f.ID, f.Policy.Interval, b.time())) {
			b.Errorf("%d probes, %+v", b.probed(), s)
		}
	})
}

// TestTwoEngines: of two that keep one schedule each moment is one pass.
func TestTwoEngines(t *testing.T) {
	t.Parallel()
	b := newBench(t, pgtest.URL(t), 2)
	first := b.Engine
	b.work()
	b.join(2)
	b.work()
	var fabrics []hedgerow.Fabric
	for _, name := range []string{"a", "b", "c"} {
		fabrics = append(fabrics, b.fabric(name))
	}
	const moments = 6
	for range moments {
		done := make(chan error, 2)
		for _, e := range []*Engine{first, b.Engine} {
			go func() { done <- e.tick(t.Context()) }()
		}
		if err := errors.Join(<-done, <-done); err != nil {
			t.Fatal(err)
		}
		for range fabrics {
			b.next()
		}
		b.elapse(5 * time.Minute)
	}
	b.idle()
	for _, f := range fabrics {
		if n := len(b.runs(f)); n != moments {
			t.Errorf("%s: %d passes", f.Name, n)
		}
	}
}

// TestDrain: a pass that ends within the grace is whole; one that does not is
// cancelled, and says so. What is only queued is left for others.
func TestDrain(t *testing.T) {
	for _, tc := range []struct {
		name  string
		lasts time.Duration
		want  hedgerow.Code
	}{{"ends", 5 * time.Second, ""}, {"does not end", time.Hour, hedgerow.CodeInterrupted}} {
		t.Run(tc.name, func(t *testing.T) {
			where := filepath.Join(t.TempDir(), "hedgerow.db")
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, where, 1)
				inside := make(chan struct{}, 10)
				b.set(func() {
					b.during = func(ctx context.Context, _ hedgerow.Fabric) {
						inside <- struct{}{}
						select {
						case <-ctx.Done():
						case <-time.After(tc.lasts):
						}
					}
				})
				f, g := b.fabric("a"), b.fabric("b")
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- b.Engine.Run(ctx, 20*time.Second) }()
				<-inside
				begun := time.Now()
				cancel()
				if err := <-ended; !errors.Is(err, context.Canceled) {
					t.Errorf("error %v", err)
				}
				if took := time.Since(begun); took > 20*time.Second+afterGrace { // of the bubble's time
					t.Errorf("it took %s", took)
				}
				if r := b.next(); r.Code != tc.want || r.FinishedAt.IsZero() {
					t.Errorf("pass ended as %s (%s)", r.Outcome, r.Code)
				}
				if n := len(b.runs(f)) + len(b.runs(g)); n != 1 {
					t.Errorf("%d runs", n)
				}
				if tc.want != "" {
					if s := b.schedule(f); s.Next.After(b.time()) && b.schedule(g).Next.After(b.time()) {
						t.Errorf("neither fabric is due again: %+v", s)
					}
				}
			})
		})
	}
}

// TestIdleEngine: without workers an engine takes requests and does nothing.
func TestIdleEngine(t *testing.T) {
	t.Parallel()
	onBoth(t, 0, func(b *bench) {
		f := b.fabric("a")
		b.request(f, Manual)
		b.elapse(time.Minute)
		n, oldest, err := b.Depth(b.Context())
		if err != nil || n != 1 || oldest < 0 {
			b.Errorf("%d wait for %s: %v", n, oldest, err)
		}
		ctx, cancel := context.WithCancel(b.Context())
		cancel()
		if err := b.Engine.Run(ctx, time.Second); !errors.Is(err, context.Canceled) {
			b.Errorf("error %v", err)
		}
	})
}

// TestClock: a clock that was set, and a process that did not run, are told.
func TestClock(t *testing.T) {
	now := time.Now() // with the reading of the clock that cannot be set
	e := &Engine{conf: Config{Now: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler)}, problems: map[string]hedgerow.Problem{}}
	e.look(now)
	now = now.Add(9 * time.Second)
	e.look(now)
	if p := e.Problems(); len(p) != 0 {
		t.Errorf("problems %v", p)
	}
	now = now.Add(time.Minute)
	e.look(now)
	if p := e.Problems(); len(p) != 1 || p[0].Reason != "TickMissed" || !p[0].Since.Equal(now) {
		t.Errorf("problems %v", p)
	}
	// The wall is set forward; what cannot be set goes on.
	e.clock.last = time.Now().Round(0) // no reading: as after a jump, in either
	e.look(time.Now().Add(time.Hour).Round(0))
	if p := e.Problems(); !has(p, "TickMissed") || has(p, "ClockJumped") {
		t.Errorf("problems %v", p)
	}
	now = now.Add(remembered + time.Hour)
	if p := e.Problems(); len(p) != 0 {
		t.Errorf("problems %v", p)
	}
	e.happened("ClockJumped", "it did")
	if p := e.Problems(); !has(p, "ClockJumped") {
		t.Errorf("problems %v", p)
	}
}

// TestCrowd: passes that wait for long are told of, and no longer when they
// have begun.
func TestCrowd(t *testing.T) {
	test := func(b *bench) {
		b.now = time.Now()
		f := b.fabric("a")
		b.request(f, Manual)
		b.crowd(b.Context())
		if p := b.Problems(); len(p) != 0 {
			b.Errorf("problems %v", p)
		}
		b.elapse(time.Minute)
		gone, cancel := context.WithCancel(b.Context())
		cancel()
		b.crowd(gone)
		if p := b.Problems(); len(p) != 1 || p[0].Reason != "QueueUnknown" {
			b.Errorf("problems %v", p)
		}
		b.crowd(b.Context())
		if p := b.Problems(); len(p) != 1 || p[0].Reason != "WorkersBusy" {
			b.Errorf("problems %v", p)
		}
		b.work()
		b.next()
		b.idle()
		b.crowd(b.Context())
		if p := b.Problems(); len(p) != 0 {
			b.Errorf("problems %v", p)
		}
	}
	// A queue on SQLite is by the clock of the machine, in a bubble too.
	t.Run("sqlite", func(t *testing.T) { test(newBench(t, filepath.Join(t.TempDir(), "hedgerow.db"), 2)) })
	t.Run("postgres", func(t *testing.T) { test(newBench(t, pgtest.URL(t), 2)) })
}

// ground is what a member stands on, as far as it can give way.
type ground struct {
	beat, space error
	ahead       time.Duration
	dead        int
	told        [][]hedgerow.Problem
	now         func() time.Time
}

func (g *ground) Beat(_ context.Context, p *hedgerow.Process) error {
	p.BeatAt = g.now().Add(g.ahead)
	g.told = append(g.told, p.Problems)
	return g.beat
}

func (*ground) Leave(context.Context, string) error { return nil }

func (g *ground) Reap(context.Context, string) (int, error) { return g.dead, nil }

func (g *ground) Space() error { return g.space }

// TestMember: what a process finds wrong with what it stands on lasts as long
// as it is wrong, and its time is that of its beginning.
func TestMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := errors.New("disk full")
		g := &ground{now: time.Now}
		gone := 0
		e := &Engine{conf: Config{Now: time.Now, Log: slog.New(slog.DiscardHandler)}, problems: map[string]hedgerow.Problem{}}
		m := &Member{
			Process: hedgerow.Process{ID: "me", Workers: 1}, Session: g, Reaper: g, Engine: e, Full: func(err error) bool { return errors.Is(err, full) },
			Gone: func() { gone++ }, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		}
		begun := time.Now()
		for _, step := range []struct {
			change func()
			want   []string
		}{
			{func() {}, nil},
			{func() { g.beat = full }, []string{"DiskFull"}},
			{func() { g.beat = errAny }, []string{"DiskFull", "RecordNotWritable"}},
			{func() { g.beat = nil }, nil},
			{func() { g.space = full }, []string{"DiskFull"}},
			{func() { g.space = nil }, nil},
			{func() { g.ahead = time.Minute }, []string{"ClockSkew"}},
			{func() { g.ahead = -time.Minute }, []string{"ClockSkew"}},
			{func() { g.ahead = 0 }, nil},
		} {
			step.change()
			since := time.Now()
			for range 3 { // it lasts
				m.beat(t.Context())
				ps := m.Problems()
				if len(ps) != len(step.want) {
					t.Fatalf("problems %v, want %v", ps, step.want)
				}
				for _, reason := range step.want {
					if !has(ps, reason) {
						t.Fatalf("problems %v, want %v", ps, step.want)
					}
				}
				if len(ps) == 1 && ps[0].Since.After(since) {
					t.Errorf("%s since %s, want %s", ps[0].Reason, ps[0].Since, since)
				}
				time.Sleep(hedgerow.Beat)
			}
		}
		if m.BeatAt().Before(begun) || gone != 0 {
			t.Errorf("last beat %s, %d gone", m.BeatAt(), gone)
		}
		g.dead = 2
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- m.Run(ctx) }()
		time.Sleep(time.Minute)
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) || gone == 0 {
			t.Errorf("error %v, told %d times of the dead", err, gone)
		}
	})
}
