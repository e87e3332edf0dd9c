package store

import (
	"context"
	"fmt"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"hedgerow"
)

// generation is n objects whose content says which generation they are of.
func generation(n, number int) []hedgerow.Object {
	os := make([]hedgerow.Object, n)
	for i := range os {
		name := fmt.Sprintf("w%05d", i)
		os[i] = widget(name, name, fmt.Sprint(number), fmt.Sprintf("%s of generation %d", name, number))
		os[i].Generation = int64(number)
	}
	return os
}

// TestReadersDuringCommit: whoever reads while a run is committed sees what
// was before or what is after, whole.
func TestReadersDuringCommit(t *testing.T) {
	onBoth(t, func(t *testing.T, r *record) {
		const n, commits, readers = 1500, 4, 3
		f := r.fabric(t, "lab")
		r.pass(t, f, both, firstSeen(widgets, generation(n, 1)...))
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		var eg errgroup.Group
		reads := make([]int, readers)
		for i := range readers {
			db := r.DB
			if i > 0 {
				db = r.open(t) // another process
			}
			eg.Go(func() error {
				var last int64
				for {
					seen := map[int64]int{}
					err := db.EachObject(ctx, f.ID, widgets.ID(), func(o hedgerow.Recorded) error {
						seen[o.Generation]++
						return nil
					})
					if ctx.Err() != nil {
						return nil
					}
					if err != nil {
						return err
					}
					reads[i]++
					if len(seen) != 1 {
						return fmt.Errorf("one reading saw generations %v", seen)
					}
					for g, count := range seen {
						if count != n || g < last {
							return fmt.Errorf("read %d objects of generation %d after generation %d", count, g, last)
						}
						last = g
					}
					if _, err := db.Fabric(ctx, "lab"); err != nil && ctx.Err() == nil {
						return err
					}
				}
			})
		}
		for g := 2; g < 2+commits; g++ {
			r.pass(t, f, both, updated(widgets, generation(n, g)...))
		}
		stop()
		if err := eg.Wait(); err != nil {
			t.Error(err)
		}
		t.Logf("whole readings during %d commits: %v", commits, reads)
	})
}

// TestTwoFabrics: passes of two fabrics with the same contents, each in its
// own process, while a third fabric comes and goes, do not disturb each other.
func TestTwoFabrics(t *testing.T) {
	onBoth(t, func(t *testing.T, r *record) {
		const n, passes = 300, 6
		var eg errgroup.Group
		fabrics := []hedgerow.Fabric{r.fabric(t, "lab"), r.fabric(t, "other")}
		for _, f := range fabrics {
			db := r.open(t)
			eg.Go(func() error {
				for g := 1; g <= passes; g++ {
					m := updated(widgets, generation(n, g)...)
					if g == 1 {
						m = firstSeen(widgets, generation(n, g)...)
					}
					if err := onePass(t.Context(), db, f, m); err != nil {
						return fmt.Errorf("%s, pass %d: %w", f.Name, g, err)
					}
				}
				return nil
			})
		}
		db := r.open(t)
		eg.Go(func() error {
			for g := 1; g <= passes; g++ {
				f, err := db.AddFabric(t.Context(), hedgerow.Fabric{Name: fmt.Sprint("guest-", g)}, hedgerow.Secret{}, r.clock)
				if err == nil {
					err = onePass(t.Context(), db, f, firstSeen(widgets, generation(n, g)...))
				}
				if err == nil {
					err = db.RemoveFabric(t.Context(), f.ID)
				}
				if err != nil {
					return fmt.Errorf("guest %d: %w", g, err)
				}
			}
			return nil
		})
		if err := eg.Wait(); err != nil {
			t.Fatal(err)
		}
		for _, f := range fabrics {
			if v := r.version(t, f.Name); v != passes {
				t.Errorf("%s is at version %d", f.Name, v)
			}
			if got := len(r.objects(t, f, widgets)); got != n {
				t.Errorf("%s has %d objects", f.Name, got)
			}
			if got := len(r.events(t, f, hedgerow.HistoryQuery{Limit: 1 << 30})); got != n*passes {
				t.Errorf("%s has %d events", f.Name, got)
			}
		}
		if lost := r.count(t, `(SELECT digest FROM objects UNION SELECT digest FROM history) d WHERE NOT EXISTS (SELECT 1 FROM contents c WHERE c.digest = d.digest)`); lost != 0 {
			t.Errorf("%d contents are lost", lost)
		}
	})
}

func onePass(ctx context.Context, db *DB, f hedgerow.Fabric, m hedgerow.Move) error {
	known, err := db.Kinds(ctx, f.ID)
	if err != nil {
		return err
	}
	p, err := db.Begin(ctx, hedgerow.Opening{Fabric: f, Trigger: "manual", Actor: "tester", Clock: func() time.Time { return f.CreatedAt }})
	if err != nil {
		return err
	}
	defer p.End()
	_, err = db.Commit(ctx, hedgerow.Commit{Run: ended(p.Run, f.CreatedAt), Kinds: both, Known: known, Moves: []hedgerow.Move{m}})
	return err
}

// TestContentsInUse: a content that another fabric's run refers to in the
// moment in which its last known user is removed, stays. SQLite has one writer
// at a time; on PostgreSQL the two meet.
func TestContentsInUse(t *testing.T) {
	r := newRecord(t, "postgres")
	ctx := t.Context()
	lab, other := r.fabric(t, "lab"), r.fabric(t, "other")
	shared := widget("shared", "u1", "1", "shared")
	r.pass(t, lab, both, firstSeen(widgets, shared))
	r.pass(t, other, both)

	// A commit that has written everything but how its run ended.
	p := r.begin(t, other)
	defer p.End()
	hold, err := r.write.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := hold.ExecContext(ctx, `SELECT 1 FROM runs WHERE id = $1 FOR UPDATE`, p.Run.ID); err != nil {
		t.Fatal(err)
	}
	committed, removed := make(chan error, 1), make(chan error, 1)
	run := ended(p.Run, r.tick())
	go func() {
		_, err := r.Commit(ctx, hedgerow.Commit{Run: run, Kinds: both, Known: both, Moves: []hedgerow.Move{firstSeen(widgets, shared)}})
		committed <- err
	}()
	r.waiting(t, 1, committed)
	go func() { removed <- r.RemoveFabric(ctx, lab.ID) }()
	r.waiting(t, 2, removed) // or it did not wait, and is over
	if err := hold.Rollback(); err != nil {
		t.Fatal(err)
	}
	for what, done := range map[string]chan error{"commit": committed, "remove": removed} {
		if err := <-done; err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if os := r.objects(t, other, widgets); len(os) != 1 || string(os[0].Content) != string(shared.Content) {
		t.Errorf("objects of the other fabric: %v", os)
	}
}

// waiting returns when n sessions wait for a lock, or when done has something
// to say.
func (r *record) waiting(t *testing.T, n int, done chan error) {
	t.Helper()
	for {
		if r.count(t, `pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) >= n {
			return
		}
		select {
		case err := <-done:
			done <- err
			return
		default:
		}
	}
}
