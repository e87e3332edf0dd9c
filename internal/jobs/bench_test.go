package jobs

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hedgerow"
	"hedgerow/internal/pgtest"
	"hedgerow/internal/store"
	"hedgerow/internal/syncer"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// patience bounds every wait for what must come. In a bubble it costs nothing.
const patience = time.Minute

// bench is an engine on a record of its own, under a clock that the test sets.
// The engine's queue works by the clock of the machine; on SQLite, which is
// polled, that is the clock of a bubble.
type bench struct {
	*testing.T
	*maker
	*Engine
	where string
	db    *store.DB
	queue *store.Queue

	mu  sync.Mutex
	now time.Time
}

// onBoth runs a test on every engine.
func onBoth(t *testing.T, workers int, test func(b *bench)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		where := filepath.Join(t.TempDir(), "hedgerow.db")
		synctest.Test(t, func(t *testing.T) { test(newBench(t, where, workers)) })
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(newBench(t, pgtest.URL(t), workers))
	})
}

func newBench(t *testing.T, where string, workers int) *bench {
	t.Helper()
	b := &bench{T: t, where: where, now: time.Date(2026, 3, 28, 20, 0, 0, 0, time.UTC)}
	b.maker = &maker{clock: b.time, made: make(chan hedgerow.Run, 10000)}
	b.join(workers)
	b.maker.db = b.db
	return b
}

// join opens the record as another process would, and a queue on it.
func (b *bench) join(workers int) {
	b.Helper()
	db, err := store.Open(b.Context(), b.where, store.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := db.Close(); err != nil {
			b.Error(err)
		}
	})
	q, err := db.Queue(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(q.Close)
	e, err := New(b.Context(), Config{
		ID: "test", Workers: workers, Store: db, Passes: b.maker, Now: b.time, Log: slog.New(slog.DiscardHandler), Meter: b.maker,
		Database: Database(*q),
	})
	if err != nil {
		b.Fatal(err)
	}
	b.db, b.queue, b.Engine = db, q, e
}

func (b *bench) time() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now
}

// elapse lets time go by.
func (b *bench) elapse(d time.Duration) time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(d)
	return b.now
}

// work starts the queue without the schedule, which the test keeps itself.
func (b *bench) work() {
	b.Helper()
	e := b.Engine
	if err := e.queue.Start(context.Background()); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := e.queue.Stop(context.Background()); err != nil {
			b.Error(err)
		}
	})
}

func (b *bench) keepOnce() {
	b.Helper()
	if err := b.tick(b.Context()); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) fabric(name string, change ...func(*hedgerow.Fabric)) hedgerow.Fabric {
	b.Helper()
	f := hedgerow.Fabric{Name: name, Cluster: &hedgerow.Cluster{Server: "https://" + name}, Policy: hedgerow.DefaultPolicy}
	for _, c := range change {
		c(&f)
	}
	f, err := b.db.AddFabric(b.Context(), f, hedgerow.Secret{}, b.time())
	if err != nil {
		b.Fatal(err)
	}
	return f
}

func (b *bench) update(f hedgerow.Fabric) {
	b.Helper()
	if err := b.db.UpdateFabric(b.Context(), f, nil, b.elapse(time.Second)); err != nil {
		b.Fatal(err)
	}
}

// next waits for the next pass.
func (b *bench) next() hedgerow.Run {
	b.Helper()
	select {
	case r := <-b.made:
		return r
	case <-time.After(patience):
		b.Fatal("no pass was made")
		return hedgerow.Run{}
	}
}

// idle waits until nothing is queued or worked at, and wants no pass made.
func (b *bench) idle() {
	b.Helper()
	b.await("the queue is empty", func() bool {
		waiting, _, err := b.Depth(b.Context())
		return err == nil && waiting == 0 && b.busy() == 0
	})
	select {
	case r := <-b.made:
		b.Errorf("a pass of fabric %d was made (%s, %s)", r.FabricID, r.Trigger, r.Outcome)
	default:
	}
}

// await looks until done.
func (b *bench) await(what string, done func() bool) {
	b.Helper()
	t := time.NewTicker(50 * time.Millisecond)
	defer t.Stop()
	for until := time.Now().Add(patience); !done(); <-t.C {
		if time.Now().After(until) {
			b.Fatalf("never: %s", what)
		}
	}
}

func (b *bench) request(f hedgerow.Fabric, lane string) {
	b.Helper()
	if _, err := b.Request(b.Context(), f.ID, lane, "tester"); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) schedule(f hedgerow.Fabric) hedgerow.Schedule {
	b.Helper()
	s, err := b.db.Schedule(b.Context(), f.ID)
	if err != nil {
		b.Fatal(err)
	}
	return s
}

func (b *bench) runs(f hedgerow.Fabric) []hedgerow.Run {
	b.Helper()
	all, err := b.db.Runs(b.Context(), f.ID, 0, 10000, false)
	if err != nil {
		b.Fatal(err)
	}
	return all
}

// maker makes real ones, over a cluster that serves one kind without objects.
type maker struct {
	db    *store.DB
	clock func() time.Time
	made  chan hedgerow.Run

	mu     sync.Mutex
	dead   error // of the cluster
	probes int
	// refused counts the passes that could not be begun.
	refused int
	active  map[int64]int // passes under way, by fabric
	during  func(ctx context.Context, f hedgerow.Fabric)
}

func (p *maker) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

func (p *maker) busy() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range p.active {
		n += a
	}
	return n
}

func (p *maker) enter(fabric int64, n int) (during func(context.Context, hedgerow.Fabric), dead error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.active == nil {
		p.active = map[int64]int{}
	}
	p.active[fabric] += n
	return p.during, p.dead
}

// Observe makes a pass.
func (p *maker) Observe(ctx context.Context, w Wanted) (hedgerow.Run, error) {
	f := w.Fabric
	during, dead := p.enter(f.ID, 1)
	defer p.enter(f.ID, -1)
	var src syncer.Source = barren{f, during}
	if dead != nil {
		src = syncer.Unreachable(dead)
	}
	s := syncer.Syncer{Store: p.db, Now: p.clock, Log: slog.New(slog.DiscardHandler)}
	r, err := s.Observe(ctx, src, syncer.Request{Fabric: f, Trigger: w.Trigger, Actor: w.Actor, Met: w.Met, Begun: w.Begun})
	if err == nil {
		p.made <- r
	} else {
		p.set(func() { p.refused++ })
	}
	return r, err
}

// Probe asks the cluster whether it answers.
func (p *maker) Probe(context.Context, hedgerow.Fabric) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.probes++
	return p.dead
}

func (p *maker) turnedAway() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refused
}

func (p *maker) probed() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.probes
}

func (*maker) Ticked(time.Time)                    {}
func (*maker) Waited(time.Duration)                {}
func (*maker) Ended(hedgerow.Fabric, hedgerow.Run) {}

// barren serves one kind, of which there is nothing.
type barren struct {
	fabric hedgerow.Fabric
	during func(ctx context.Context, f hedgerow.Fabric)
}

// Discover finds it.
func (s barren) Discover(ctx context.Context, _ []hedgerow.Kind) (hedgerow.Discovery, error) {
	if s.during != nil {
		s.during(ctx, s.fabric)
	}
	return hedgerow.Discovery{Kinds: []hedgerow.Kind{{Group: "wiring.githedgehog.com", Version: "v1beta1", Kind: "Widget", Plural: "widgets", Fingerprint: "1"}}}, ctx.Err()
}

// Read reads it.
func (barren) Read(_ context.Context, k hedgerow.Kind, _ hedgerow.Prior) hedgerow.KindSnapshot {
	return hedgerow.KindSnapshot{Kind: k, Verdict: hedgerow.Complete, Revision: "1"}
}

var errDead = hedgerow.Errorf(hedgerow.CodeConnect, "refused the connection")

func has(all []hedgerow.Problem, reason string) bool {
	for _, p := range all {
		if p.Reason == reason {
			return true
		}
	}
	return false
}

var errAny = errors.New("any")
