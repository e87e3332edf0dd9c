package live

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"hedgerow"
	"hedgerow/internal/pgtest"
	"hedgerow/internal/store"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// record is where fabrics are, as the test says.
type record struct {
	mu      sync.Mutex
	moments map[int64]hedgerow.Moment
	err     error
	looks   int
	listens int
	deaf    chan error // ends a Listen
	fn      func(int64)
}

func (r *record) set(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
}

func (r *record) at(fabric, version int64) {
	r.set(func() { r.moments[fabric] = hedgerow.Moment{Version: version} })
}

// Moments says where they are.
func (r *record) Moments(context.Context) (map[int64]hedgerow.Moment, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.looks++
	all := map[int64]hedgerow.Moment{}
	for id, m := range r.moments {
		all[id] = m
	}
	return all, r.err
}

// Listen listens until it is made deaf.
func (r *record) Listen(ctx context.Context, fn func(int64)) error {
	r.set(func() { r.listens, r.fn = r.listens+1, fn })
	fn(0)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-r.deaf:
		return err
	}
}

// run starts a hub in a bubble.
func run(t *testing.T) (*Hub, *record) {
	t.Helper()
	r := &record{moments: map[int64]hedgerow.Moment{1: {Version: 1}, 2: {Version: 1}}, deaf: make(chan error)}
	h := New(slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- h.Run(ctx, r) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("hub ended: %v", err)
		}
	})
	time.Sleep(time.Second)
	return h, r
}

func of(fabric int64) func(int64, hedgerow.Moment, hedgerow.Moment) bool {
	return func(id int64, _, _ hedgerow.Moment) bool { return id == fabric }
}

// heard takes what a subscription holds.
func heard(s *Subscription) bool {
	synctest.Wait()
	select {
	case <-s.C():
		return true
	default:
		return false
	}
}

func wants(t *testing.T, what string, s *Subscription, want bool) {
	t.Helper()
	if got := heard(s); got != want {
		t.Errorf("%s: heard %t", what, got)
	}
}

func TestHub(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, r := run(t)
		one, two := h.Subscribe(of(1)), h.Subscribe(of(2))
		var before, after hedgerow.Moment
		sees := h.Subscribe(func(_ int64, a, b hedgerow.Moment) bool { before, after = a, b; return true })
		wants(t, "nothing", one, false)
		r.at(1, 2)
		h.Poke(1)
		time.Sleep(2 * gap)
		wants(t, "the one that moved", one, true)
		wants(t, "only once", one, false)
		wants(t, "another", two, false)
		wants(t, "all", sees, true)
		if before.Version != 1 || after.Version != 2 {
			t.Errorf("from %+v to %+v", before, after)
		}

		// Who is slow finds one thing, and the newest moment when it looks.
		for v := range int64(100) {
			r.at(1, 3+v)
			h.Poke(1)
			time.Sleep(gap)
		}
		time.Sleep(gap)
		wants(t, "one slot", one, true)
		wants(t, "one slot", one, false)
		if m := h.Moments(); m[1].Version != 102 || len(m) != 2 {
			t.Errorf("moments %v", m)
		}

		// Pokes that nobody believes in move nobody.
		h.Poke(1)
		time.Sleep(time.Minute)
		wants(t, "nothing moved", one, false)

		r.set(func() { delete(r.moments, 2) })
		h.Poke(2)
		time.Sleep(2 * gap)
		wants(t, "removed", two, true)
		if after != (hedgerow.Moment{}) || before.Version != 1 {
			t.Errorf("from %+v to %+v", before, after)
		}
		r.at(2, 1)
		h.Poke(2)
		time.Sleep(2 * gap)
		wants(t, "made again", two, true)

		two.Close()
		two.Close()
		r.at(2, 2)
		time.Sleep(time.Minute)
		wants(t, "closed", two, false)
	})
}

// TestNet: what nobody tells is seen all the same, only later; so is what
// happened while the record could not be asked.
func TestNet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, r := run(t)
		s := h.Subscribe(of(1))
		r.at(1, 2)
		time.Sleep(net + gap)
		wants(t, "not told", s, true)
		r.set(func() { r.err = errors.New("away") })
		r.at(1, 3)
		h.Poke(1)
		time.Sleep(time.Minute)
		wants(t, "record away", s, false)
		r.set(func() { r.err = nil })
		time.Sleep(net + gap)
		wants(t, "record back", s, true)
	})
}

// TestPokes: any number of pokes are a few looks.
func TestPokes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, r := run(t)
		r.set(func() { r.looks = 0 })
		for range 10 {
			for range 10_000 {
				h.Poke(1)
			}
			time.Sleep(100 * time.Millisecond)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if most := int(time.Second/gap) + 2; r.looks > most || r.looks < 10 {
			t.Errorf("%d looks in a second, want at most %d", r.looks, most)
		}
	})
}

// TestListen: who cannot listen any more tries again, and what it missed is
// looked for.
func TestListen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, r := run(t)
		s := h.Subscribe(of(1))
		r.at(1, 2)
		r.fn(1) // another process tells
		time.Sleep(2 * gap)
		wants(t, "told by another", s, true)
		for i, err := range []error{errors.New("connection lost"), nil, context.Canceled} {
			r.deaf <- err
			r.at(1, int64(10+i))
			time.Sleep(relisten + 2*gap)
			wants(t, "listening again", s, true)
			r.mu.Lock()
			if r.listens != i+2 {
				t.Errorf("%d times listened", r.listens)
			}
			r.mu.Unlock()
		}
	})
}

// TestProcesses: two processes on one record hear of each other.
func TestProcesses(t *testing.T) {
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			where := filepath.Join(t.TempDir(), "hedgerow.db")
			if engine == "postgres" {
				where = pgtest.URL(t)
			}
			before := goleak.IgnoreCurrent()
			t.Cleanup(func() { goleak.VerifyNone(t, before) })
			ctx, cancel := context.WithCancel(t.Context())
			var all sync.WaitGroup
			t.Cleanup(func() { cancel(); all.Wait() })
			open := func() (*store.DB, *Hub) {
				h := New(slog.New(slog.DiscardHandler))
				db, err := store.Open(t.Context(), where, store.Options{Moved: h.Poke})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { cancel(); all.Wait(); db.Close() })
				all.Go(func() { _ = h.Run(ctx, db) })
				return db, h
			}
			db, here := open()
			_, there := open()
			anything := func(int64, hedgerow.Moment, hedgerow.Moment) bool { return true }
			subs := []*Subscription{here.Subscribe(anything), there.Subscribe(anything)}
			now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
			f, err := db.AddFabric(ctx, hedgerow.Fabric{Name: "lab", Policy: hedgerow.DefaultPolicy}, hedgerow.Secret{}, now)
			if err != nil {
				t.Fatal(err)
			}
			until := func(what string, done func(map[int64]hedgerow.Moment) bool) {
				t.Helper()
				late := time.After(time.Minute)
				for i, h := range []*Hub{here, there} {
					for !done(h.Moments()) {
						select {
						case <-subs[i].C():
						case <-late:
							t.Fatalf("%s: process %d is at %v", what, i, h.Moments())
						}
					}
				}
			}
			until("added", func(m map[int64]hedgerow.Moment) bool { return len(m) == 1 })
			for i := range 3 {
				f.Policy.QPS = float64(i + 1)
				now = now.Add(time.Second)
				if err := db.UpdateFabric(ctx, f, nil, now); err != nil {
					t.Fatal(err)
				}
				until("changed", func(m map[int64]hedgerow.Moment) bool { return m[f.ID].Changed == now.UnixMicro() })
			}
			if err := db.RemoveFabric(ctx, f.ID); err != nil {
				t.Fatal(err)
			}
			until("removed", func(m map[int64]hedgerow.Moment) bool { return len(m) == 0 })
			want, err := db.Moments(ctx)
			if d := cmp.Diff(want, there.Moments()); d != "" || err != nil {
				t.Errorf("%v\n%s", err, d)
			}
		})
	}
}
