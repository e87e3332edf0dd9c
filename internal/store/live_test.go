package store

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"hedgerow"
)

// TestMoments: where a fabric is changes when something happens to it, and
// only then; what happens to another is not its affair.
func TestMoments(t *testing.T) {
	onBoth(t, func(t *testing.T, r *record) {
		ctx := t.Context()
		other := r.fabric(t, "other")
		s, p := join(t, r.DB, "a")
		moments := func() map[int64]hedgerow.Moment {
			t.Helper()
			all, err := r.Moments(ctx)
			if err != nil {
				t.Fatal(err)
			}
			return all
		}
		last := moments()
		var f hedgerow.Fabric
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		step := func(what string, moves bool, do func()) {
			t.Helper()
			do()
			now := moments()
			if now[other.ID] != last[other.ID] {
				t.Errorf("%s: the other fabric moved from %+v to %+v", what, last[other.ID], now[other.ID])
			}
			if moved := now[f.ID] != last[f.ID]; moved != moves {
				t.Errorf("%s: moved is %t: %+v", what, moved, now[f.ID])
			}
			last = now
		}
		a := widget("a", "u1", "1", "x")
		var pass *hedgerow.Pass
		step("added", true, func() { f = r.fabric(t, "lab") })
		step("a pass begins", true, func() { pass = r.begin(t, f) })
		same(t, "with its first pass", hedgerow.Moment{Changed: micros(f.CreatedAt), Due: micros(f.CreatedAt), Pass: pass.Run.ID, Running: true}, last[f.ID])
		step("another is refused", false, func() {
			_, err := r.Begin(ctx, hedgerow.Opening{Fabric: f, Trigger: "manual", Actor: "tester", Clock: r.tick})
			refused(t, err, hedgerow.CodeBusy, "")
		})
		step("the pass ends", true, func() {
			_, err := r.Commit(ctx, hedgerow.Commit{Run: ended(pass.Run, r.tick()), Kinds: both, Moves: []hedgerow.Move{firstSeen(widgets, a)}})
			must(err)
			pass.End()
		})
		step("a pass that finds nothing new", true, func() { pass.Run = r.pass(t, f, both) })
		step("claimed", true, func() { r.claim(t, r.DB, f, p.ID, true) })
		step("claimed in vain", false, func() { r.claim(t, r.DB, f, "b", false) })
		step("followed", true, func() {
			_, err := r.SetFollow(ctx, f.ID, p.ID, hedgerow.Following, "", r.tick())
			must(err)
		})
		step("not another's to follow", false, func() {
			_, err := r.SetFollow(ctx, f.ID, "b", hedgerow.Broken, "", r.tick())
			must(err)
		})
		change := r.amendment(f, p.ID, pass.Run.ID, seen(widget("a", "u1", "9", "y")))
		step("amended", true, func() { r.amend(t, r.DB, change) })
		same(t, "after all that", hedgerow.Moment{Version: 2, Changed: micros(f.CreatedAt), Due: micros(f.CreatedAt), Pass: pass.Run.ID, Followed: last[f.ID].Followed}, last[f.ID])
		step("amended again", false, func() { r.amend(t, r.DB, change) })
		step("a beat", false, func() { beat(t, s, p) })
		step("read", false, func() {
			_, err := r.Facts(ctx, f)
			must(err)
			r.events(t, f, hedgerow.HistoryQuery{})
			r.due(t, r.tick())
		})
		step("nothing was interrupted", false, func() { must(r.CloseInterrupted(ctx, r.tick())) })
		step("old runs pruned", false, func() {
			_, err := r.Prune(ctx, r.tick(), r.tick())
			must(err)
		})
		step("a pass that dies", true, func() { r.begin(t, f).End() })
		step("it is found out", true, func() { must(r.CloseInterrupted(ctx, r.tick())) })
		step("changed", true, func() { must(r.UpdateFabric(ctx, f, nil, r.tick())) })
		step("released", true, func() { must(r.Release(ctx, f.ID, p.ID)) })
		step("removed", true, func() { must(r.RemoveFabric(ctx, f.ID)) })
		if _, there := last[f.ID]; there {
			t.Error("a removed fabric is somewhere")
		}
	})
}

// listen starts to listen, and returns what is heard and a function that ends
// it and says why it ended.
func listen(t *testing.T, db *DB) (heard chan int64, end func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	heard, done := make(chan int64, 1000), make(chan error, 1)
	go func() { done <- db.Listen(ctx, func(f int64) { heard <- f }) }()
	end = func() error {
		cancel()
		return <-done
	}
	select {
	case f := <-heard: // it listens
		if f != 0 {
			t.Errorf("first heard of fabric %d", f)
		}
	case err := <-done:
		t.Fatalf("does not listen: %v", err)
	}
	return heard, end
}

// TestListen: what one process commits the others hear of, and so may itself.
func TestListen(t *testing.T) {
	onBoth(t, func(t *testing.T, r *record) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		other := r.open(t)
		here, endHere := listen(t, r.DB)
		there, endThere := listen(t, other)
		var f hedgerow.Fabric
		var pass *hedgerow.Pass
		_, p := join(t, r.DB, "a")
		hear := func(what string) {
			t.Helper()
			for name, heard := range map[string]chan int64{"here": here, "there": there} {
				for got := int64(-1); got != f.ID; { // others may have been told of before
					select {
					case got = <-heard:
					case <-ctx.Done():
						t.Fatalf("%s: not heard of %s", what, name)
					}
					if r.Engine() == "sqlite" { // which says only that something happened
						break
					}
				}
			}
		}
		f = r.fabric(t, "lab")
		hear("added")
		pass = r.begin(t, f)
		hear("a pass begins")
		if _, err := r.Commit(ctx, hedgerow.Commit{Run: ended(pass.Run, r.tick()), Kinds: both}); err != nil {
			t.Fatal(err)
		}
		pass.End()
		hear("it ends")
		r.claim(t, r.DB, f, p.ID, true)
		if _, err := r.SetFollow(ctx, f.ID, p.ID, hedgerow.Following, "", r.tick()); err != nil {
			t.Fatal(err)
		}
		hear("followed")
		if out := r.amend(t, other, r.amendment(f, p.ID, pass.Run.ID, seen(widget("a", "u1", "9", "y")))); out.Run.ID == 0 {
			t.Fatalf("amended as %+v", out)
		}
		hear("amended")
		if err := other.UpdateFabric(ctx, f, nil, r.tick()); err != nil {
			t.Fatal(err)
		}
		hear("changed")
		for _, end := range []func() error{endHere, endThere} {
			if err := end(); !errors.Is(err, context.Canceled) && hedgerow.CodeOf(err) != hedgerow.CodeStore {
				t.Errorf("ended with %v", err)
			}
		}
	})
}

// TestListenBroken: whoever cannot listen any more is told.
func TestListenBroken(t *testing.T) {
	r := newRecord(t, "postgres")
	_, end := listen(t, r.DB)
	var ended bool
	if err := r.read.QueryRowContext(t.Context(), `SELECT bool_and(pg_terminate_backend(pid, 30000)) FROM pg_stat_activity WHERE datname = current_database() AND query = 'LISTEN hedgerow_moved'`).Scan(&ended); err != nil || !ended {
		t.Fatalf("ended: %t, error %v", ended, err)
	}
	refused(t, end(), hedgerow.CodeStore, "listen to the database")
}

// TestMoved: this process is told of its own commits, once each and not of
// those that changed nothing.
func TestMoved(t *testing.T) {
	onBoth(t, func(t *testing.T, r *record) {
		var told []string
		f := r.fabric(t, "lab")
		r.moved = func(id int64) { told = append(told, fmt.Sprint(id)) }
		p := r.begin(t, f)
		same(t, "a pass begins", []string{fmt.Sprint(f.ID)}, told)
		if _, err := r.Commit(t.Context(), hedgerow.Commit{Run: ended(p.Run, r.tick())}); err != nil {
			t.Fatal(err)
		}
		same(t, "it ends", 2, len(told))
		if _, err := r.Commit(t.Context(), hedgerow.Commit{Run: ended(p.Run, r.tick())}); err == nil {
			t.Error("committed twice")
		}
		same(t, "it cannot end twice", 2, len(told))
		p.End()
	})
}
