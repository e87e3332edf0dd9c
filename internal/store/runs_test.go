package store

import (
	"slices"
	"testing"
	"time"

	"hedgerow"
)

func TestBusy(t *testing.T) {
	onBoth(t, func(t *testing.T, r *record) {
		ctx := t.Context()
		f, g := r.fabric(t, "lab"), r.fabric(t, "other")
		p := r.begin(t, f)
		if p.Run.Outcome != hedgerow.Running || p.Run.ID == 0 || len(p.Before) != 0 {
			t.Errorf("first pass: %+v", p)
		}
		for name, db := range map[string]*DB{"same process": r.DB, "another process": r.open(t)} {
			_, err := db.Begin(ctx, hedgerow.Opening{Fabric: f, Trigger: "manual", Actor: "tester", Clock: r.tick})
			refused(t, err, hedgerow.CodeBusy, "another run of fabric lab")
			// A live run is nobody's to close.
			if err := db.CloseInterrupted(ctx, r.tick()); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		run, err := r.Run(ctx, p.Run.ID)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "the run", p.Run, run)
		r.begin(t, g).End() // another fabric is not in the way
		p.End()
		p = r.begin(t, f)
		p.End()
	})
}

// TestDeadRun: a run whose process died is closed as interrupted, by the next
// run or by whoever opens the record.
func TestDeadRun(t *testing.T) {
	onBoth(t, func(t *testing.T, r *record) {
		ctx := t.Context()
		f := r.fabric(t, "lab")
		closed := func(id int64, at time.Time) {
			t.Helper()
			run, err := r.Run(ctx, id)
			if err != nil {
				t.Fatal(err)
			}
			if run.Outcome != hedgerow.Interrupted || run.Code != hedgerow.CodeInterrupted || run.Message == "" || !run.FinishedAt.Equal(at) || run.VersionAfter != run.VersionBefore {
				t.Errorf("run %d: %+v", id, run)
			}
		}
		first := r.begin(t, f)
		first.End() // the kernel, or the server, drops the lock of the dead
		second := r.begin(t, f)
		closed(first.Run.ID, second.Run.StartedAt)
		second.End()
		at := r.tick()
		if err := r.CloseInterrupted(ctx, at); err != nil {
			t.Fatal(err)
		}
		closed(second.Run.ID, at)
		before := r.everything(t)
		if err := r.CloseInterrupted(ctx, r.tick()); err != nil {
			t.Fatal(err)
		}
		same(t, "tables after closing again", before, r.everything(t))
	})
}

// TestTakenOver: of a run that lost its lock and was taken over, nothing
// stands.
func TestTakenOver(t *testing.T) {
	onBoth(t, func(t *testing.T, r *record) {
		ctx := t.Context()
		f := r.fabric(t, "lab")
		r.pass(t, f, both, firstSeen(widgets, widget("a", "u1", "1", "x")))
		lost := r.begin(t, f)
		lost.End()
		next := r.begin(t, f)
		defer next.End()
		before := r.everything(t)
		changed := widgets
		changed.Fingerprint = "f9"
		_, err := r.Commit(ctx, hedgerow.Commit{
			Run: ended(lost.Run, r.tick()), Kinds: []hedgerow.Kind{changed}, Known: both,
			Moves: []hedgerow.Move{
				{Kind: widgets.ID(), Began: hedgerow.Created, Created: []hedgerow.Object{widget("b", "u2", "2", "y")}, Updated: []hedgerow.Object{widget("a", "u1", "2", "z")}},
				created(probes, probe("p", "u3", "3", "p", "{}")),
			},
		})
		refused(t, err, hedgerow.CodeInterrupted, "taken over")
		same(t, "tables", before, r.everything(t))
		// Nor can a run be committed twice.
		run := ended(next.Run, r.tick())
		if _, err := r.Commit(ctx, hedgerow.Commit{Run: run}); err != nil {
			t.Fatal(err)
		}
		_, err = r.Commit(ctx, hedgerow.Commit{Run: run})
		refused(t, err, hedgerow.CodeInterrupted, "taken over")
	})
}

// TestEvidence: the newest run that proved something says how old every proof
// is; a run that died proves nothing.
func TestEvidence(t *testing.T) {
	onBoth(t, func(t *testing.T, r *record) {
		ctx := t.Context()
		f := r.fabric(t, "lab")
		p := r.begin(t, f)
		run := ended(p.Run, r.tick())
		run.Outcome, run.Code, run.Message = hedgerow.RunPartial, hedgerow.CodeForbidden, "widgets: you may not"
		run.Kinds = []hedgerow.KindEvidence{
			{
				Group: "g", Kind: "K", Plural: "ks", Verdict: hedgerow.Complete, Revision: "77", Fingerprint: "fp", CompleteAt: run.FinishedAt, CompleteRun: run.ID, Present: 3,
				Counts: hedgerow.Counts{Listed: 3, Created: 1, Updated: 1, Unchanged: 1, Deleted: 2, Failed: 1}, Requests: 2, Bytes: 99, DurationMS: 12, Unreadable: []string{"K x: why"},
			},
			{Group: "g", Kind: "L", Plural: "ls", Verdict: hedgerow.Forbidden, Code: hedgerow.CodeForbidden, Message: "no"},
		}
		if _, err := r.Commit(ctx, hedgerow.Commit{Run: run}); err != nil {
			t.Fatal(err)
		}
		p.End()
		got, err := r.Run(ctx, run.ID)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "the run as stored", run, got)
		want := slices.Clone(run.Kinds)
		want[0].Present = 0 // counted now: a follower may have been at it since
		same(t, "evidence", want, r.evidence(t, f))
		dead := r.begin(t, f)
		dead.End()
		next := r.begin(t, f)
		same(t, "evidence after a dead run", want, next.Before)
		next.End()

		runs, err := r.Runs(ctx, f.ID, 0, 10, false)
		if err != nil {
			t.Fatal(err)
		}
		var ids []int64
		for _, run := range runs {
			ids = append(ids, run.ID)
		}
		same(t, "runs, newest first", []int64{next.Run.ID, dead.Run.ID, run.ID}, ids)
		if older, err := r.Runs(ctx, f.ID, dead.Run.ID, 10, false); err != nil || len(older) != 1 || older[0].ID != run.ID {
			t.Errorf("runs before %d: %v, error %v", dead.Run.ID, older, err)
		}
		_, err = r.Run(ctx, 12345)
		refused(t, err, hedgerow.CodeNotFound, "no run 12345")
	})
}

func TestFacts(t *testing.T) {
	onBoth(t, func(t *testing.T, r *record) {
		ctx := t.Context()
		f := r.fabric(t, "lab")
		f.Suspended, f.Cluster.Insecure = true, true
		facts := func() hedgerow.Facts {
			t.Helper()
			got, err := r.Facts(ctx, f)
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		want := hedgerow.Facts{
			Configured: true, Suspended: true, Insecure: true, Interval: f.Policy.Interval, Deadline: f.Policy.PassTimeout + hedgerow.CommitTimeout,
			Schedule: hedgerow.Schedule{Next: f.CreatedAt}, Follow: hedgerow.FollowFacts{Wanted: true},
		}
		same(t, "before any run", want, facts())
		good := r.pass(t, f, both, firstSeen(widgets, widget("a", "u1", "1", "x"), widget("b", "u2", "1", "x")))
		r.pass(t, f, nil, deleted(widgets, widget("b", "u2", "1", "x")))
		complete := r.pass(t, f, nil)
		p := r.begin(t, f)
		bad := ended(p.Run, r.tick())
		bad.Outcome, bad.Code, bad.Message = hedgerow.RunFailed, hedgerow.CodeDNS, "no such host"
		if _, err := r.Commit(ctx, hedgerow.Commit{Run: bad}); err != nil {
			t.Fatal(err)
		}
		p.End()
		p = r.begin(t, f)
		defer p.End()
		want.Running, want.Last, want.LastComplete = &p.Run, &bad, complete.FinishedAt
		same(t, "with a run under way", want, facts())
		if good.VersionAfter != 1 || p.Run.VersionBefore != 2 {
			t.Errorf("versions %d and %d", good.VersionAfter, p.Run.VersionBefore)
		}
		if f2, err := r.Facts(ctx, hedgerow.Fabric{ID: f.ID}); err != nil || f2.Configured || f2.Insecure {
			t.Errorf("without a cluster: %+v, error %v", f2, err)
		}
	})
}

// TestHostileText: what a cluster says may hold anything; it must never keep a
// run from ending.
func TestHostileText(t *testing.T) {
	onBoth(t, func(t *testing.T, r *record) {
		ctx := t.Context()
		f := r.fabric(t, "lab")
		p := r.begin(t, f)
		defer p.End()
		run := ended(p.Run, r.tick())
		run.Outcome, run.Code, run.Message = hedgerow.RunFailed, hedgerow.CodeServer, "it says: \x00 \xff \u202e '; DROP TABLE runs; --"
		run.Kinds = []hedgerow.KindEvidence{{Group: "g\x00", Kind: "K\xff", Message: run.Message, Unreadable: []string{run.Message}}}
		if _, err := r.Commit(ctx, hedgerow.Commit{Run: run}); err != nil {
			t.Fatal(err)
		}
		if got, err := r.Run(ctx, run.ID); err != nil || got.Outcome != hedgerow.RunFailed {
			t.Errorf("run %+v, error %v", got, err)
		}
	})
}
