package store

import (
	"context"
	"database/sql"
	"fmt"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"hedgerow"
)

func (r *record) due(t *testing.T, at time.Time) (names []string) {
	t.Helper()
	all, err := r.Due(t.Context(), at, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		names = append(names, d.Name)
	}
	return names
}

func (r *record) setSchedule(t *testing.T, fabric int64, s hedgerow.Schedule) error {
	t.Helper()
	return r.tx(t.Context(), "set the schedule", func(tx *sql.Tx) error { return saveSchedule(t.Context(), tx, fabric, s) })
}

func (r *record) schedule(t *testing.T, f hedgerow.Fabric) hedgerow.Schedule {
	t.Helper()
	s, err := r.Schedule(t.Context(), f.ID)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestDue: the longest due first, and never what is suspended, has no cluster
// or is observed on request only.
func TestDue(t *testing.T) {
	onBoth(t, func(t *testing.T, r *record) {
		ctx := t.Context()
		a, b, c := r.fabric(t, "a"), r.fabric(t, "b"), r.fabric(t, "c")
		for _, f := range []hedgerow.Fabric{
			{Name: "bare"}, {Name: "manual", Cluster: a.Cluster, Policy: hedgerow.Policy{Interval: hedgerow.Manual}}, {Name: "suspended", Cluster: a.Cluster, Suspended: true},
		} {
			if _, err := r.AddFabric(ctx, f, hedgerow.Secret{}, r.tick()); err != nil {
				t.Fatal(err)
			}
		}
		unset, err := r.AddFabric(ctx, hedgerow.Fabric{Name: "unset", Cluster: a.Cluster}, hedgerow.Secret{}, r.tick())
		if err != nil {
			t.Fatal(err)
		}
		same(t, "before any was added", []string(nil), r.due(t, a.CreatedAt.Add(-time.Microsecond)))
		same(t, "at the first", []string{"a"}, r.due(t, a.CreatedAt))
		same(t, "now", []string{"a", "b", "c", "unset"}, r.due(t, unset.CreatedAt))

		if err := r.setSchedule(t, c.ID, hedgerow.Schedule{Next: a.CreatedAt.Add(-time.Hour)}); err != nil {
			t.Fatal(err)
		}
		got, err := r.Due(ctx, unset.CreatedAt, 2)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "the longest due", []hedgerow.Due{
			{Fabric: c.ID, Name: "c", At: a.CreatedAt.Add(-time.Hour), Interval: 300 * time.Second},
			{Fabric: a.ID, Name: "a", At: a.CreatedAt, Interval: 300 * time.Second},
		}, got)

		b.Suspended = true
		if err := r.UpdateFabric(ctx, b, nil, r.tick()); err != nil {
			t.Fatal(err)
		}
		if err := r.RemoveFabric(ctx, a.ID); err != nil {
			t.Fatal(err)
		}
		same(t, "without the suspended and the removed", []string{"c", "unset"}, r.due(t, r.tick()))
		b.Suspended = false
		if err := r.UpdateFabric(ctx, b, nil, r.tick()); err != nil {
			t.Fatal(err)
		}
		same(t, "with the resumed", []string{"c", "unset", "b"}, r.due(t, r.tick()))
	})
}

// TestAdvance: who advances a fabric from a moment that it has left already
// changes nothing; of several at once one does.
func TestAdvance(t *testing.T) {
	onBoth(t, func(t *testing.T, r *record) {
		ctx := t.Context()
		f := r.fabric(t, "lab")
		failing := hedgerow.Schedule{Next: f.CreatedAt, Failures: 3, ProbeError: "old"}
		if err := r.setSchedule(t, f.ID, failing); err != nil {
			t.Fatal(err)
		}
		all, err := r.Due(ctx, f.CreatedAt, 10)
		if err != nil || len(all) != 1 {
			t.Fatalf("due: %v, error %v", all, err)
		}
		var eg errgroup.Group
		for i := range 8 {
			db := r.DB
			if i%2 == 1 {
				db = r.open(t)
			}
			eg.Go(func() error { return db.Advance(ctx, all[0], f.CreatedAt.Add(time.Duration(i+1)*time.Hour)) })
		}
		if err := eg.Wait(); err != nil {
			t.Fatal(err)
		}
		won := r.schedule(t, f)
		if h := won.Next.Sub(f.CreatedAt); h < time.Hour || h > 8*time.Hour || h%time.Hour != 0 {
			t.Errorf("moved on by %s", h)
		}
		want := failing // how its cluster has behaved is not the tick's to say
		want.Next = won.Next
		same(t, "schedule", want, won)
		if err := r.Advance(ctx, all[0], f.CreatedAt.Add(99*time.Hour)); err != nil {
			t.Fatal(err)
		}
		same(t, "after one that came late", won, r.schedule(t, f))
	})
}

// TestScheduleOfFabric: adding and changing a fabric makes it due at once and
// forgets its failures, unless it is observed on request only.
func TestScheduleOfFabric(t *testing.T) {
	onBoth(t, func(t *testing.T, r *record) {
		ctx := t.Context()
		f := r.fabric(t, "lab")
		same(t, "a new fabric's", hedgerow.Schedule{Next: f.CreatedAt}, r.schedule(t, f))
		broken := hedgerow.Schedule{Next: r.tick(), Failures: 6, OpenSince: r.tick(), ProbedAt: r.tick(), ProbeError: "no\x00 route"}
		if err := r.setSchedule(t, f.ID, broken); err != nil {
			t.Fatal(err)
		}
		got := r.schedule(t, f)
		if got.ProbeError == "" || got.ProbeError == broken.ProbeError {
			t.Errorf("probe error %q", got.ProbeError)
		}
		got.ProbeError = broken.ProbeError
		same(t, "a broken one", broken, got)
		at := r.tick()
		f.Policy.Interval = 30 * time.Second
		if err := r.UpdateFabric(ctx, f, nil, at); err != nil {
			t.Fatal(err)
		}
		same(t, "after a change", hedgerow.Schedule{Next: at}, r.schedule(t, f))
		f.Policy.Interval = hedgerow.Manual
		if err := r.UpdateFabric(ctx, f, nil, r.tick()); err != nil {
			t.Fatal(err)
		}
		same(t, "on request", hedgerow.Schedule{}, r.schedule(t, f))
		same(t, "of no fabric", hedgerow.Schedule{}, r.schedule(t, hedgerow.Fabric{ID: 12345}))
	})
}

// TestReschedule: the schedule that follows from a pass is recorded with it,
// but not over that of a fabric that was changed since the pass began.
func TestReschedule(t *testing.T) {
	onBoth(t, func(t *testing.T, r *record) {
		ctx := t.Context()
		f := r.fabric(t, "lab")
		commit := func(p *hedgerow.Pass, s *hedgerow.Schedule) {
			t.Helper()
			defer p.End()
			if _, err := r.Commit(ctx, hedgerow.Commit{Run: ended(p.Run, r.tick()), Schedule: s, Settings: p.Settings}); err != nil {
				t.Fatal(err)
			}
		}
		p := r.begin(t, f)
		same(t, "when it began", hedgerow.Schedule{Next: f.CreatedAt}, p.Schedule)
		failing := hedgerow.Schedule{Next: r.tick().Add(time.Minute), Failures: 2}
		commit(p, &failing)
		same(t, "after the pass", failing, r.schedule(t, f))
		p = r.begin(t, f)
		same(t, "when the next began", failing, p.Schedule)
		commit(p, nil)
		same(t, "after one that changed nothing", failing, r.schedule(t, f))

		p = r.begin(t, f)
		changed := r.tick()
		if err := r.UpdateFabric(ctx, f, nil, changed); err != nil {
			t.Fatal(err)
		}
		commit(p, &hedgerow.Schedule{Next: r.tick().Add(time.Hour), Failures: 3})
		same(t, "after a change during the pass", hedgerow.Schedule{Next: changed}, r.schedule(t, f))
		_, err := r.Begin(ctx, hedgerow.Opening{Fabric: f, Trigger: "manual", Actor: "tester", Clock: r.tick})
		refused(t, err, hedgerow.CodeBusy, "fabric lab was changed just now")
		if f, err = r.FabricByID(ctx, f.ID); err != nil {
			t.Fatal(err)
		}
		p = r.begin(t, f)
		commit(p, &failing)
		same(t, "after a pass since the change", failing, r.schedule(t, f))
	})
}

// TestChangedMeanwhile: what was read of a cluster that is no longer the fabric's
// is not recorded; that nothing was is.
func TestChangedMeanwhile(t *testing.T) {
	onBoth(t, func(t *testing.T, r *record) {
		ctx := t.Context()
		f := r.fabric(t, "lab")
		p := r.begin(t, f)
		defer p.End()
		f.Cluster = &hedgerow.Cluster{Server: "https://another:6443"}
		if err := r.UpdateFabric(ctx, f, nil, r.tick()); err != nil {
			t.Fatal(err)
		}
		run := ended(p.Run, r.tick())
		run.Kinds = []hedgerow.KindEvidence{{Group: widgets.Group, Kind: widgets.Kind, Plural: widgets.Plural, Verdict: hedgerow.Complete, CompleteRun: run.ID}}
		_, err := r.Commit(ctx, hedgerow.Commit{Run: run, Kinds: both, Settings: p.Settings, Moves: []hedgerow.Move{firstSeen(widgets, widget("a", "u1", "1", "x"))}})
		refused(t, err, hedgerow.CodeInterrupted, "the fabric was given another cluster while this one was read")
		run.Outcome, run.Kinds = hedgerow.RunFailed, nil
		if _, err := r.Commit(ctx, hedgerow.Commit{Run: run, Settings: p.Settings}); err != nil {
			t.Fatal(err)
		}
		counts, err := r.Counts(ctx, f.ID)
		if err != nil || len(counts) > 0 {
			t.Errorf("recorded all the same: %v, %v", counts, err)
		}
	})
}

// TestRescheduleMeetsChange: nor over that of a change that is about to be
// committed in the very moment. On PostgreSQL the two meet.
func TestRescheduleMeetsChange(t *testing.T) {
	r := newRecord(t, "postgres")
	ctx := t.Context()
	f := r.fabric(t, "lab")
	p := r.begin(t, f)
	defer p.End()
	// A change that has written everything but the credential.
	hold, err := r.write.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := hold.ExecContext(ctx, `LOCK TABLE secrets IN SHARE MODE`); err != nil {
		t.Fatal(err)
	}
	changed, committed := make(chan error, 1), make(chan error, 1)
	secret, at := hedgerow.NewSecret([]byte("canary")), r.tick()
	go func() { changed <- r.UpdateFabric(ctx, f, &secret, at) }()
	r.waiting(t, 1, changed)
	run := ended(p.Run, r.tick())
	go func() {
		_, err := r.Commit(ctx, hedgerow.Commit{Run: run, Settings: p.Settings, Schedule: &hedgerow.Schedule{Next: at.Add(time.Hour), Failures: 1}})
		committed <- err
	}()
	r.waiting(t, 2, committed)
	if err := hold.Rollback(); err != nil {
		t.Fatal(err)
	}
	for what, done := range map[string]chan error{"change": changed, "commit": committed} {
		if err := <-done; err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	same(t, "schedule", hedgerow.Schedule{Next: at}, r.schedule(t, f))
}

// TestInterruptedIsDue: what a run that died was to find out is still not
// known: its fabric is due at once, whoever finds out, unless it is observed on
// request only.
func TestInterruptedIsDue(t *testing.T) {
	onBoth(t, func(t *testing.T, r *record) {
		ctx := t.Context()
		f := r.fabric(t, "lab")
		later := hedgerow.Schedule{Next: r.clock.Add(time.Hour), Failures: 2}
		for name, find := range map[string]func(at time.Time) error{
			"whoever opens the record": func(at time.Time) error { return r.CloseInterrupted(ctx, at) },
			"the next pass": func(at time.Time) error {
				p, err := r.Begin(ctx, hedgerow.Opening{Fabric: f, Trigger: "manual", Actor: "tester", Clock: func() time.Time { return at }})
				if err == nil {
					same(t, "what it is told", at, p.Schedule.Next)
					_, err = r.Commit(ctx, hedgerow.Commit{Run: ended(p.Run, r.tick())})
					p.End()
				}
				return err
			},
		} {
			for _, s := range []hedgerow.Schedule{later, {}} {
				if err := r.setSchedule(t, f.ID, s); err != nil {
					t.Fatal(err)
				}
				r.begin(t, f).End()
				same(t, name+", before", s, r.schedule(t, f))
				at := r.tick()
				want := s
				if !s.Next.IsZero() {
					want.Next = at
				}
				if name == "the next pass" && s.Next.IsZero() {
					want.Next = time.Time{}
					if err := r.CloseInterrupted(ctx, at); err != nil {
						t.Fatal(err)
					}
				} else if err := find(at); err != nil {
					t.Fatal(err)
				}
				same(t, fmt.Sprint(name, " of ", s.Next), want, r.schedule(t, f))
			}
		}
		// A pass that is alive is not hurried.
		if err := r.setSchedule(t, f.ID, later); err != nil {
			t.Fatal(err)
		}
		p := r.begin(t, f)
		defer p.End()
		if err := r.open(t).CloseInterrupted(context.WithoutCancel(ctx), r.tick()); err != nil {
			t.Fatal(err)
		}
		same(t, "of one alive", later, r.schedule(t, f))
	})
}

// TestChangedDuringPass: a fabric that is changed while a pass is under way is
// due when that has ended, though it was queued, and moved on, in between.
func TestChangedDuringPass(t *testing.T) {
	onBoth(t, func(t *testing.T, r *record) {
		f := r.fabric(t, "lab")
		for name, change := range map[string]func(){
			"its policy":  func() { f.Policy.MaxDeleteFloor++ },
			"its cluster": func() { f.Cluster = &hedgerow.Cluster{Server: "https://other"} },
		} {
			p := r.begin(t, f)
			change()
			at := r.tick()
			if err := r.UpdateFabric(t.Context(), f, nil, at); err != nil {
				t.Fatal(err)
			}
			f.UpdatedAt = at
			due, err := r.Due(t.Context(), at, 10)
			if err != nil || len(due) != 1 {
				t.Fatalf("%s: due %v, error %v", name, due, err)
			}
			later := at.Add(24 * time.Hour)
			if err := r.Advance(t.Context(), due[0], later); err != nil {
				t.Fatal(err)
			}
			run := ended(p.Run, r.tick())
			if _, err := r.Commit(t.Context(), hedgerow.Commit{Run: run, Settings: p.Settings, Schedule: &hedgerow.Schedule{Next: later.Add(time.Hour)}}); err != nil {
				t.Fatal(err)
			}
			p.End()
			same(t, name, hedgerow.Schedule{Next: run.FinishedAt}, r.schedule(t, f))
			// Of one that is read on request only nothing is due.
			if err := r.setSchedule(t, f.ID, hedgerow.Schedule{}); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestProbed: a probe in vain is recorded, unless the breaker was closed since
// it began.
func TestProbed(t *testing.T) {
	onBoth(t, func(t *testing.T, r *record) {
		f := r.fabric(t, "lab")
		open := hedgerow.Schedule{Next: r.tick(), Failures: 5, OpenSince: r.tick()}
		if err := r.setSchedule(t, f.ID, open); err != nil {
			t.Fatal(err)
		}
		vain := open.Probed("no route", r.tick(), 0)
		if err := r.Probed(t.Context(), f.ID, open, vain); err != nil {
			t.Fatal(err)
		}
		same(t, "recorded", vain, r.schedule(t, f))
		at := r.tick()
		if err := r.UpdateFabric(t.Context(), f, nil, at); err != nil {
			t.Fatal(err)
		}
		if err := r.Probed(t.Context(), f.ID, vain, vain.Probed("still none", r.tick(), 0)); err != nil {
			t.Fatal(err)
		}
		same(t, "of a fabric that was changed", hedgerow.Schedule{Next: at}, r.schedule(t, f))
	})
}

// TestMet: no run begins when the newest pass is as good as the one wanted.
func TestMet(t *testing.T) {
	onBoth(t, func(t *testing.T, r *record) {
		f := r.fabric(t, "lab")
		first := r.pass(t, f, nil)
		var asked []int64
		open := func(met bool) error {
			p, err := r.Begin(t.Context(), hedgerow.Opening{Fabric: f, Trigger: "manual", Clock: r.tick, Met: func(newest hedgerow.Run) bool {
				asked = append(asked, newest.ID)
				return met
			}})
			if err == nil {
				p.End()
			}
			return err
		}
		if err := open(true); hedgerow.CodeOf(err) != hedgerow.CodeBusy {
			t.Errorf("error %v", err)
		}
		if n, err := r.NewestPass(t.Context(), f.ID); err != nil || n.ID != first.ID {
			t.Errorf("run %d began, error %v", n.ID, err)
		}
		if err := open(false); err != nil {
			t.Error(err)
		}
		same(t, "asked of", []int64{first.ID, first.ID}, asked)
	})
}
