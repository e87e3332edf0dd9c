package syncer_test

import (
	"context"
	"database/sql"
	"strings"
	"testing"
	"time"

	"hedgerow"
	"hedgerow/internal/syncer"
)

// TestFirstPass: what a first pass finds was there when we first looked; what
// a later one finds was created since.
func TestFirstPass(t *testing.T) {
	b := newBench(t)
	b.src.reads["switches"] = holds(object(switches, "a", "u1", "1", "x"))
	first := b.observe()
	b.ended(first, hedgerow.RunComplete, "", "")
	b.same("first pass", []string{"first seen Switch a"}, b.events(first))
	b.same("evidence", hedgerow.KindEvidence{
		Group: switches.Group, Kind: "Switch", Plural: "switches", Verdict: hedgerow.Complete, Revision: "100", Fingerprint: switches.Reading(),
		CompleteAt: first.FinishedAt, CompleteRun: first.ID, Present: 1, Counts: hedgerow.Counts{Listed: 1, Created: 1}, Requests: 1, Bytes: 10, DurationMS: 7,
	}, b.evidence(first, switches))
	var order []string
	for _, e := range first.Kinds {
		order = append(order, e.Plural)
	}
	b.same("kinds, by group and kind", []string{"vpcs", "servers", "switches"}, order)

	b.src.reads["switches"] = holds(object(switches, "a", "u1", "1", "x"), object(switches, "b", "u2", "2", "x"))
	b.src.reads["servers"] = holds(object(servers, "s", "u3", "3", "x")) // read whole before, and empty
	second := b.next()
	b.same("second pass", []string{"created Server s", "created Switch b"}, b.events(second))
	b.same("counts", hedgerow.Counts{Listed: 3, Created: 2, Unchanged: 1}, second.Counts())
}

// TestChanges: every kind of difference in one pass.
func TestChanges(t *testing.T) {
	b := newBench(t)
	b.src.reads["switches"] = holds(object(switches, "gone", "u1", "1", "x"), object(switches, "kept", "u2", "1", "x"), object(switches, "moved", "u3", "1", "x"),
		object(switches, "renewed", "u4", "1", "x"), object(switches, "touched", "u5", "1", "x"))
	b.observe()
	kept, touched := object(switches, "kept", "u2", "1", "x"), object(switches, "touched", "u5", "9", "x")
	kept.Content, touched.Content = nil, nil // proven unchanged, and not carried along
	b.src.reads["switches"] = holds(kept, object(switches, "moved", "u3", "2", "y"), object(switches, "new", "u6", "3", "x"), object(switches, "renewed", "u7", "4", "x"), touched)
	run := b.next()
	b.same("events", []string{
		"deleted Switch gone", "updated Switch moved", "created Switch new",
		"created Switch renewed", "deleted Switch renewed", // two events, newest first
	}, b.events(run))
	b.same("counts", hedgerow.Counts{Listed: 5, Created: 2, Updated: 1, Deleted: 2, Unchanged: 2}, run.Counts())
	if e := b.evidence(run, switches); e.Present != 5 {
		t.Errorf("%d present", e.Present)
	}
	if run.VersionAfter != run.VersionBefore+1 {
		t.Errorf("version %d to %d", run.VersionBefore, run.VersionAfter)
	}
	// Nothing is written twice.
	b.unchanged(b.next(), b.names())
}

// TestPrior: a source is told what the record holds, and the schema that its
// kind had when it was read whole.
func TestPrior(t *testing.T) {
	b := newBench(t)
	var told []hedgerow.Prior
	o := object(switches, "a", "u1", "1", "x")
	b.src.reads["switches"] = func(_ context.Context, p hedgerow.Prior) hedgerow.KindSnapshot {
		told = append(told, p)
		return holds(o)(context.Background(), p)
	}
	b.observe()
	b.next()
	b.same("told", []hedgerow.Prior{{}, {
		Marks:       []hedgerow.Mark{{Ref: o.Ref, UID: "u1", ResourceVersion: "1", Digest: o.Digest}},
		Fingerprint: switches.Reading(),
	}}, told)
}

// TestAgainAfterFailure: a kind that fails keeps its objects and the age of
// its proof, for as long as it fails, and what is found after that was created.
func TestAgainAfterFailure(t *testing.T) {
	b := newBench(t)
	b.src.reads["switches"] = holds(object(switches, "a", "u1", "1", "x"), object(switches, "b", "u2", "1", "x"))
	first := b.observe()
	names := b.names()
	for _, v := range []struct {
		verdict hedgerow.Verdict
		code    hedgerow.Code
	}{{hedgerow.Forbidden, hedgerow.CodeForbidden}, {hedgerow.Failed, hedgerow.CodeTimeout}, {hedgerow.Failed, hedgerow.CodeGarbage}, {hedgerow.Absent, hedgerow.CodeNotServed}} {
		b.src.reads["switches"] = fails(v.verdict, v.code, "switches: why")
		run := b.observe()
		b.ended(run, hedgerow.RunPartial, v.code, "1 of 3 kinds could not be read: switches: why")
		b.unchanged(run, names)
		b.same("evidence", hedgerow.KindEvidence{
			Group: switches.Group, Kind: "Switch", Plural: "switches", Verdict: v.verdict, Code: v.code, Message: "switches: why",
			Revision: "100", Fingerprint: switches.Reading(), CompleteAt: first.FinishedAt, CompleteRun: first.ID, Present: 2,
		}, b.evidence(run, switches))
	}
	b.src.reads["switches"] = holds(object(switches, "a", "u1", "1", "x"), object(switches, "c", "u3", "1", "x"))
	b.same("events", []string{"deleted Switch b", "created Switch c"}, b.events(b.next()))
}

func TestBusy(t *testing.T) {
	b := newBench(t)
	b.src.discovering = func(ctx context.Context) {
		b.src.discovering = nil
		_, err := b.sync.Observe(ctx, b.src, syncer.Request{Fabric: b.fabric})
		if hedgerow.CodeOf(err) != hedgerow.CodeBusy {
			t.Errorf("a pass within a pass: %v", err)
		}
	}
	b.next()
}

// TestPanics: a bug that one kind brings out costs that kind, and one in
// discovery its pass; nothing that is recorded is lost by it.
func TestPanics(t *testing.T) {
	b := newBench(t)
	b.src.reads["switches"] = holds(many(switches, 2)...)
	b.next()
	b.src.reads["switches"] = func(context.Context, hedgerow.Prior) hedgerow.KindSnapshot { panic("a bug") }
	run := b.observe()
	b.ended(run, hedgerow.RunPartial, hedgerow.CodeInternal, "1 of 3 kinds could not be read: a bug of Hedgerow's stood in the way, to read switches; its log has more")
	if e := b.evidence(run, switches); e.Verdict != hedgerow.Failed || e.Present != 2 {
		t.Errorf("%+v", e)
	}
	b.src.discovering = func(context.Context) { panic("a bug") }
	b.ended(b.observe(), hedgerow.RunFailed, hedgerow.CodeInternal, "a bug of Hedgerow's stood in the way, to read the cluster; its log has more")
	b.src.discovering, b.src.reads["switches"] = nil, holds(many(switches, 2)...)
	b.next()
}

func TestProgress(t *testing.T) {
	b := newBench(t)
	b.src.reads["switches"] = holds(many(switches, 3)...)
	b.src.reads["vpcs"] = fails(hedgerow.Failed, hedgerow.CodeServer, "no")
	var seen []syncer.Progress
	b.observeWith(t.Context(), syncer.Request{Progress: func(p syncer.Progress) { seen = append(seen, p) }})
	if len(seen) != 4 || seen[0] != (syncer.Progress{Kinds: 3}) || seen[3].Done != 3 || seen[3].Last == nil {
		t.Errorf("progress %+v", seen)
	}
}

// TestPassTimeout: a source that never answers is left when the pass's time is
// up, and the run says so.
func TestPassTimeout(t *testing.T) {
	b := newBench(t)
	b.src.reads["switches"] = holds(object(switches, "a", "u1", "1", "x"))
	b.observe()
	names := b.names()
	b.fabric.Policy.PassTimeout = 50 * time.Millisecond
	b.src.reads["switches"] = waits
	run := b.observe()
	b.ended(run, hedgerow.RunPartial, hedgerow.CodeTimeout, "1 of 3 kinds could not be read: context deadline exceeded")
	b.same("objects", names, b.names())
	b.src.discovering = func(ctx context.Context) { <-ctx.Done() }
	run = b.observe()
	b.ended(run, hedgerow.RunFailed, hedgerow.CodeTimeout, "context deadline exceeded")
	b.unchanged(run, names)
	b.fabric.Policy.PassTimeout, b.src.discovering = time.Minute, nil
	b.src.reads["switches"] = holds(object(switches, "a", "u1", "1", "x"))
	b.unchanged(b.next(), names)
}

// waits for the end of the pass.
func waits(ctx context.Context, _ hedgerow.Prior) hedgerow.KindSnapshot {
	<-ctx.Done()
	return hedgerow.KindSnapshot{Verdict: hedgerow.Failed, Err: ctx.Err()}
}

// TestCancelled: wherever a pass is cancelled, its run has ended, what was
// proven is kept, and nothing is taken for deleted.
func TestCancelled(t *testing.T) {
	for _, where := range []string{"discovery", "reading", "record"} {
		t.Run(where, func(t *testing.T) {
			b := newBench(t)
			b.src.reads["switches"] = holds(object(switches, "a", "u1", "1", "x"))
			first := b.observe()
			names := b.names()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			reads := b.src.reads["switches"]
			sync := b.sync
			switch where {
			case "discovery":
				b.src.discovering = func(context.Context) { cancel() }
			case "reading":
				b.src.reads["switches"] = func(ctx context.Context, p hedgerow.Prior) hedgerow.KindSnapshot {
					cancel()
					return waits(ctx, p)
				}
			case "record":
				b.sync.Store = &cut{Store: b.db, cancel: cancel}
			}
			run := b.observeWith(ctx, syncer.Request{})
			if run.Code != hedgerow.CodeInterrupted || run.Outcome != hedgerow.Interrupted || run.FinishedAt.IsZero() {
				t.Errorf("run ended as %s (%s): %q", run.Outcome, run.Code, run.Message)
			}
			if e := b.evidence(run, switches); e.Verdict != hedgerow.Failed || e.CompleteRun != first.ID || e.Present != 1 || e.Fingerprint != switches.Reading() {
				t.Errorf("evidence %+v", e)
			}
			b.same("objects", names, b.names())
			b.sync, b.src.discovering, b.src.reads["switches"] = sync, nil, reads
			b.unchanged(b.next(), names)
		})
	}
}

// cut is a record whose reader is cancelled while it reads the marks.
type cut struct {
	syncer.Store
	cancel func()
}

func (c *cut) Marks(ctx context.Context, fabric int64) (map[hedgerow.KindID][]hedgerow.Mark, error) {
	c.cancel()
	return c.Store.Marks(ctx, fabric)
}

// TestCommitFails: a run that the record does not take is an error, leaves
// nothing, and says so in the record when the record takes that.
func TestCommitFails(t *testing.T) {
	b := newBench(t)
	b.observe()
	names := b.names()
	raw, err := sql.Open("sqlite", b.path)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	execute := func(statement string) {
		if _, err := raw.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	execute(`CREATE TRIGGER full BEFORE INSERT ON objects BEGIN SELECT RAISE(ABORT, 'the disk is full'); END`)
	b.src.reads["switches"] = holds(object(switches, "a", "u1", "1", "x"))
	_, err = b.sync.Observe(t.Context(), b.src, syncer.Request{Fabric: b.fabric})
	if hedgerow.CodeOf(err) != hedgerow.CodeStore || !strings.Contains(err.Error(), "the disk is full") {
		t.Errorf("error %v", err)
	}
	b.same("objects", names, b.names())
	execute(`DROP TRIGGER full`)
	run := b.next()
	b.same("events", []string{"created Switch a"}, b.events(run))
	before, err := b.db.Run(t.Context(), run.ID-1)
	if err != nil {
		t.Fatal(err)
	}
	if before.Outcome != hedgerow.RunFailed || !strings.Contains(before.Message, "could not be recorded") {
		t.Errorf("the run before ended as %s: %s", before.Outcome, before.Message)
	}
}

// TestTwice: an object that a list holds twice is not believed, and harms no
// other.
func TestTwice(t *testing.T) {
	b := newBench(t)
	b.src.reads["switches"] = holds(object(switches, "a", "u1", "1", "x"), object(switches, "b", "u2", "1", "x"))
	b.observe()
	names := b.names()
	b.src.reads["switches"] = holds(object(switches, "b", "u2", "1", "x"), object(switches, "a", "u1", "1", "x"), object(switches, "b", "u3", "2", "y"))
	run := b.observe()
	b.ended(run, hedgerow.RunPartial, hedgerow.CodeGarbage, "1 object of switches could not be read: Switch default/b stands in the list twice")
	b.unchanged(run, names)
}
