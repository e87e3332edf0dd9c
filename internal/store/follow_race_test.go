package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"hedgerow"
)

// cluster is what passes and followers of a race read.
type cluster struct {
	mu       sync.Mutex
	revision int
	objects  map[string]hedgerow.Object
}

// write makes one of a few objects anew, and returns it as a watch tells of it.
func (c *cluster) write(n int) hedgerow.Object {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.revision++
	name := fmt.Sprint("w", n%5)
	o := widget(name, "u-"+name, fmt.Sprint(c.revision), fmt.Sprint("revision ", c.revision))
	o.Generation = int64(c.revision)
	c.objects[name] = o
	return o
}

// list returns all objects, at one moment.
func (c *cluster) list() (all []hedgerow.Object) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, o := range c.objects {
		all = append(all, o)
	}
	return all
}

// passOf makes one pass over the cluster, unless another is at it.
func passOf(ctx context.Context, db *DB, f hedgerow.Fabric, c *cluster) error {
	p, err := db.Begin(ctx, hedgerow.Opening{Fabric: f, Trigger: "schedule", Actor: "tester", Clock: func() time.Time { return f.CreatedAt }})
	if hedgerow.CodeOf(err) == hedgerow.CodeBusy {
		return nil
	}
	if err != nil {
		return err
	}
	defer p.End()
	known, err := db.Kinds(ctx, f.ID)
	if err != nil {
		return err
	}
	marks, err := db.Marks(ctx, f.ID)
	if err != nil {
		return err
	}
	byRef := map[hedgerow.Ref]hedgerow.Mark{}
	for _, m := range marks[widgets.ID()] {
		byRef[m.Ref] = m
	}
	_, err = db.Commit(ctx, hedgerow.Commit{Run: ended(p.Run, f.CreatedAt), Kinds: both, Known: known, Moves: judge(seen(c.list()...), byRef)})
	return err
}

// followOf writes to the cluster and amends the record by it, sometimes late.
func followOf(ctx context.Context, db *DB, f hedgerow.Fabric, c *cluster, process string, writes int) error {
	for n := range writes {
		o := c.write(n)
		for {
			pass, err := db.NewestPass(ctx, f.ID)
			if err != nil {
				return err
			}
			a := hedgerow.Amendment{
				Fabric: f.ID, Process: process, Basis: pass.ID, At: f.CreatedAt, Now: func() time.Time { return f.CreatedAt }, Sightings: seen(o),
				Revisions: map[hedgerow.KindID]string{widgets.ID(): o.ResourceVersion}, Evidence: func([]hedgerow.Move) []hedgerow.KindEvidence { return nil },
			}
			out, err := db.Amend(ctx, a, func(marks map[hedgerow.Ref]hedgerow.Mark) []hedgerow.Move { return judge(a.Sightings, marks) })
			if err != nil {
				return err
			}
			if out.Lost {
				return fmt.Errorf("the claim was lost")
			}
			if !out.Busy && !out.Moved {
				break
			}
		}
	}
	return nil
}

// TestAmendMeetsPass: followers and passes that are at a fabric at once, from
// several processes, each see what the other has committed: in the order of
// their numbers every run begins at the version at which the one before ended,
// and no object goes back to what it was.
func TestAmendMeetsPass(t *testing.T) {
	onBoth(t, func(t *testing.T, r *record) {
		const followers, passers = 4, 3
		writes, passes := 40, 25
		if testing.Short() {
			writes, passes = 12, 8
		}
		f := r.fabric(t, "lab")
		_, p := join(t, r.DB, "a")
		r.claim(t, r.DB, f, p.ID, true)
		c := &cluster{objects: map[string]hedgerow.Object{}}
		r.pass(t, f, both, firstSeen(widgets, c.write(0)))
		ctx := t.Context()
		var eg errgroup.Group
		dbs := []*DB{r.DB, r.open(t), r.open(t)}
		for i := range followers {
			eg.Go(func() error { return followOf(ctx, dbs[i%len(dbs)], f, c, p.ID, writes) })
		}
		for i := range passers {
			eg.Go(func() error {
				for range passes {
					if err := passOf(ctx, dbs[i%len(dbs)], f, c); err != nil {
						return err
					}
				}
				return nil
			})
		}
		if err := eg.Wait(); err != nil {
			t.Fatal(err)
		}
		runs, err := r.Runs(ctx, f.ID, 0, 10000, true)
		if err != nil {
			t.Fatal(err)
		}
		slices.Reverse(runs)
		count := map[string]int{}
		var version int64
		for _, run := range runs {
			count[run.Trigger]++
			if run.VersionBefore != version || run.VersionAfter-version > 1 || run.Trigger == hedgerow.TriggerFollow && run.VersionAfter != version+1 {
				t.Errorf("run %d (%s) is from version %d to %d, after %d", run.ID, run.Trigger, run.VersionBefore, run.VersionAfter, version)
			}
			version = run.VersionAfter
		}
		t.Logf("runs: %v", count)
		if v := r.version(t, "lab"); v != version {
			t.Errorf("version %d, by the runs %d", v, version)
		}
		// Nothing was lost: what the record holds is what the cluster has.
		var want []hedgerow.Mark
		for _, o := range c.list() {
			want = append(want, mark(o))
		}
		slices.SortFunc(want, func(a, b hedgerow.Mark) int { return cmp.Compare(a.Name, b.Name) })
		same(t, "marks", want, r.marks(t, f, widgets))
		for _, o := range want {
			last := int64(0)
			for _, s := range r.spans(t, o.Name) {
				if s.Generation <= last {
					t.Errorf("%s went from generation %d to %d with run %d", o.Name, last, s.Generation, s.SinceRun)
				}
				last = s.Generation
			}
			if rv, err := strconv.ParseInt(o.ResourceVersion, 10, 64); err != nil || last != rv {
				t.Errorf("%s is at generation %d, and was at %d last", o.Name, rv, last)
			}
		}
		if n := r.count(t, `kinds WHERE present <> (SELECT count(*) FROM objects WHERE kind_id = kinds.id AND until IS NULL)`); n != 0 {
			t.Errorf("kinds: %v", r.table(t, "kinds"))
		}
	})
}
