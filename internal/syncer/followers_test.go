package syncer_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hedgerow"
	"hedgerow/internal/store"
	"hedgerow/internal/syncer"
)

// member is a process that follows its share.
type member struct {
	h       *house
	id      string
	session *store.Session
	process hedgerow.Process
	wake    chan struct{}
	cancel  context.CancelFunc
	done    chan struct{}
	beats   context.CancelFunc

	mu           sync.Mutex
	begun, ended map[string]int // followers, by fabric
	refuse       error          // instead of a follower
}

// counts are how many followers of a fabric were begun, and how many of those
// have not ended.
func (m *member) counts(fabric string) (begun, running int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.begun[fabric], m.begun[fabric] - m.ended[fabric]
}

func (m *member) note(counts map[string]int, fabric string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	counts[fabric]++
	return m.refuse
}

func (m *member) refuses(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refuse = err
}

// enter starts a process with its followers.
func (h *house) enter() *member {
	h.Helper()
	ctx, cancel := context.WithCancel(h.Context())
	m := &member{h: h, wake: make(chan struct{}, 1), cancel: cancel, done: make(chan struct{}), begun: map[string]int{}, ended: map[string]int{}}
	m.session, m.process = h.join(2)
	m.id = m.process.ID
	beating, stop := context.WithCancel(h.Context())
	m.beats = stop
	go func() {
		t := time.NewTicker(hedgerow.Beat)
		defer t.Stop()
		for {
			select {
			case <-beating.Done():
				return
			case <-t.C:
				_ = m.session.Beat(beating, &m.process)
			}
		}
	}()
	f := &syncer.Followers{
		Store: h.db, Process: m.id, Wake: m.wake, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		New: func(_ context.Context, f hedgerow.Fabric) (*syncer.Follower, func(), error) {
			if err := m.note(m.begun, f.Name); err != nil {
				return nil, nil, err
			}
			return &syncer.Follower{
				Store: h.db, Source: h.cluster, Fabric: f, Process: m.id, Merge: func(k hedgerow.Kind) hedgerow.Kind { return k },
				Wake: make(chan struct{}), Now: time.Now, Log: slog.New(slog.DiscardHandler), Demand: func(context.Context) error { return nil },
			}, func() { _ = m.note(m.ended, f.Name) }, nil
		},
	}
	go func() {
		defer close(m.done)
		if err := f.Run(ctx); !errors.Is(err, context.Canceled) {
			h.Errorf("followers ended: %v", err)
		}
	}()
	h.Cleanup(func() { m.stop() })
	synctest.Wait()
	return m
}

func (m *member) stop() {
	m.cancel()
	<-m.done
	m.beats()
}

// owners are who follows what, as the number of fabrics of each process.
func (h *house) owners() map[string]int {
	all := map[string]int{}
	for _, c := range h.claims() {
		all[c.Process]++
	}
	return all
}

func (h *house) fleet(n int) (fabrics []hedgerow.Fabric) {
	h.Helper()
	if err := h.db.RemoveFabric(h.Context(), h.fabric.ID); err != nil {
		h.Fatal(err)
	}
	for i := range n {
		f, err := h.db.AddFabric(h.Context(), hedgerow.Fabric{Name: fmt.Sprintf("f%d", i), Cluster: &hedgerow.Cluster{Server: "https://f"}, Policy: hedgerow.DefaultPolicy}, hedgerow.Secret{}, time.Now())
		if err != nil {
			h.Fatal(err)
		}
		fabrics = append(fabrics, f)
	}
	if err := h.session.Leave(h.Context(), h.process.ID); err != nil {
		h.Fatal(err)
	}
	return fabrics
}

// TestFollowers: processes share the fabrics, and take over from those that
// leave or die.
func TestFollowers(t *testing.T) {
	t.Parallel()
	onBoth(t, func(h *house) {
		h.fleet(5)
		a := h.enter()
		h.eventually("one has all", func() bool { return h.owners()[a.id] == 5 })
		b := h.enter()
		h.eventually("two have a share each", func() bool { o := h.owners(); return o[a.id] == 3 && o[b.id] == 2 })
		time.Sleep(time.Minute)
		h.same("shares", map[string]int{a.id: 3, b.id: 2}, h.owners())
		// One that only serves pages takes none, and counts for nothing.
		h.join(0)
		a.stop()
		if err := a.session.Leave(h.Context(), a.id); err != nil {
			h.Fatal(err)
		}
		h.eventually("the one that is left has all", func() bool { return h.owners()[b.id] == 5 })
		// One that dies takes no leave: its claims are free once it is reaped.
		c := h.enter()
		h.eventually("shares", func() bool { return h.owners()[c.id] == 2 })
		if err := c.session.Leave(h.Context(), c.id); err != nil {
			h.Fatal(err)
		}
		h.eventually("taken over", func() bool { return h.owners()[b.id] == 5 })
		c.stop()
		b.stop()
		h.same("after all have gone", map[string]int{"": 5}, h.owners())
		for _, m := range []*member{a, b, c} {
			h.same("followers ended", m.begun, m.ended)
		}
	})
}

// TestFollowersEdit: a fabric that was changed is followed anew, with what it
// is now, and one that is suspended, polled or removed not at all.
func TestFollowersEdit(t *testing.T) {
	t.Parallel()
	onBoth(t, func(h *house) {
		f := h.fleet(2)[0]
		m := h.enter()
		begun := func() int { n, _ := m.counts("f0"); return n }
		running := func() bool { _, n := m.counts("f0"); return n > 0 }
		h.eventually("followed", running)
		save := func(change func()) {
			h.Helper()
			time.Sleep(time.Second) // no two edits are made at one moment
			change()
			if err := h.db.UpdateFabric(h.Context(), f, nil, time.Now()); err != nil {
				h.Fatal(err)
			}
		}
		save(func() { f.Policy.Interval = time.Minute })
		h.eventually("followed anew", func() bool { return begun() == 2 && running() })
		save(func() { f.Suspended = true })
		h.eventually("stopped", func() bool { return !running() })
		time.Sleep(time.Minute)
		if n := begun(); n != 2 {
			h.Errorf("begun %d times", n)
		}
		save(func() { f.Suspended = false })
		h.eventually("followed again", running)
		save(func() { f.Policy.Mode = hedgerow.Poll })
		h.eventually("stopped", func() bool { return !running() })
		save(func() { f.Policy.Mode = hedgerow.Watch })
		h.eventually("followed again", running)
		if err := h.db.RemoveFabric(h.Context(), f.ID); err != nil {
			h.Fatal(err)
		}
		h.eventually("stopped", func() bool { return !running() })
		if begun, running := m.counts("f1"); begun != 1 || running != 1 {
			h.Errorf("the other fabric: %d begun, %d running", begun, running)
		}
	})
}

// TestFollowersRefused: a fabric that cannot be followed says why, and is
// tried again, but not all the time.
func TestFollowersRefused(t *testing.T) {
	t.Parallel()
	inBubble(t, func(h *house) {
		h.fabric = h.fleet(1)[0]
		h.pass()
		m := h.enter()
		h.following()
		m.stop()
		m = h.enter()
		m.refuses(hedgerow.Errorf(hedgerow.CodeKey, "no key"))
		f := h.fabric
		f.Policy.Interval = time.Hour
		time.Sleep(time.Second)
		if err := h.db.UpdateFabric(h.Context(), f, nil, time.Now()); err != nil {
			h.Fatal(err)
		}
		h.eventually("it says why", func() bool { s := h.facts(); return s.State == hedgerow.Broken && s.Message == "no key" })
		before, _ := m.counts("f0")
		time.Sleep(time.Hour)
		after, _ := m.counts("f0")
		if more := after - before; more < 200 || more > 720 {
			h.Errorf("%d attempts in an hour", more)
		}
		m.refuses(nil)
		fresh, err := h.db.FabricByID(h.Context(), f.ID)
		if err != nil {
			h.Fatal(err)
		}
		h.fabric = fresh
		h.pass() // a changed fabric may be another cluster
		h.following()
	})
}

// TestFollowersWake: what may be worth looking at is looked at at once.
func TestFollowersWake(t *testing.T) {
	t.Parallel()
	inBubble(t, func(h *house) {
		h.fleet(0)
		m := h.enter()
		f, err := h.db.AddFabric(h.Context(), hedgerow.Fabric{Name: "new", Cluster: &hedgerow.Cluster{Server: "https://f"}, Policy: hedgerow.DefaultPolicy}, hedgerow.Secret{}, time.Now())
		if err != nil {
			h.Fatal(err)
		}
		m.wake <- struct{}{}
		synctest.Wait()
		if !slices.ContainsFunc(h.claims(), func(c hedgerow.Claim) bool { return c.Fabric.ID == f.ID && c.Process == m.id }) {
			h.Error("not followed")
		}
	})
}
