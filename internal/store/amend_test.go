package store

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"hedgerow"
)

// judge says what sightings mean given what is recorded: what is as recorded,
// or older, is nothing. It is the tests' own.
func judge(seen []hedgerow.Sighting, marks map[hedgerow.Ref]hedgerow.Mark) []hedgerow.Move {
	moves := map[hedgerow.KindID]*hedgerow.Move{}
	for _, s := range seen {
		id := hedgerow.KindID{Group: s.Group, Kind: s.Kind}
		m := moves[id]
		if m == nil {
			m = &hedgerow.Move{Kind: id, Began: hedgerow.Created}
			moves[id] = m
		}
		old, there := marks[s.Ref]
		was, _ := strconv.Atoi(old.ResourceVersion)
		is, _ := strconv.Atoi(s.ResourceVersion)
		switch {
		case there && is <= was, !there && s.Deleted:
		case s.Deleted:
			m.Deleted = append(m.Deleted, old)
		case !there:
			m.Created = append(m.Created, s.Object)
		case old.UID != s.UID:
			m.Renewed = append(m.Renewed, s.Object)
		case old.Digest != s.Digest:
			m.Updated = append(m.Updated, s.Object)
		}
	}
	var all []hedgerow.Move
	for _, k := range both {
		if m := moves[k.ID()]; m != nil && m.Changes() {
			all = append(all, *m)
		}
	}
	return all
}

func seen(os ...hedgerow.Object) (all []hedgerow.Sighting) {
	for _, o := range os {
		all = append(all, hedgerow.Sighting{Object: o})
	}
	return all
}

// gone is the sighting of a deletion at a resourceVersion.
func gone(o hedgerow.Object, version string) hedgerow.Sighting {
	o.ResourceVersion = version
	return hedgerow.Sighting{Object: o, Deleted: true}
}

// amendment is one of sightings, of which the last of each kind says how far
// it has been followed.
func (r *record) amendment(f hedgerow.Fabric, process string, basis int64, seen []hedgerow.Sighting) hedgerow.Amendment {
	at, end := r.tick(), r.tick()
	a := hedgerow.Amendment{
		Fabric: f.ID, Process: process, Actor: "follower", Basis: basis, At: at, Now: func() time.Time { return end }, Sightings: seen,
		Revisions: map[hedgerow.KindID]string{},
		Evidence: func(moves []hedgerow.Move) (all []hedgerow.KindEvidence) {
			for _, m := range moves {
				all = append(all, hedgerow.KindEvidence{Group: m.Kind.Group, Kind: m.Kind.Kind, Verdict: hedgerow.Followed, Counts: hedgerow.Counts{Created: len(m.Created)}})
			}
			return all
		},
	}
	for _, s := range seen {
		a.Revisions[hedgerow.KindID{Group: s.Group, Kind: s.Kind}] = s.ResourceVersion
	}
	return a
}

func (r *record) amend(t tester, db *DB, a hedgerow.Amendment) hedgerow.Amended {
	t.Helper()
	out, err := db.Amend(t.Context(), a, func(marks map[hedgerow.Ref]hedgerow.Mark) []hedgerow.Move { return judge(a.Sightings, marks) })
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestAmend: what a follower saw is committed once however often it is told,
// as a run that is no pass.
func TestAmend(t *testing.T) {
	onBoth(t, func(t *testing.T, r *record) {
		ctx := t.Context()
		var told []int64
		r.moved = func(f int64) { told = append(told, f) }
		f := r.fabric(t, "lab")
		kept, changed, again, doomed := widget("kept", "u1", "1", "x"), widget("changed", "u2", "1", "x"), widget("again", "u3", "1", "x"), widget("doomed", "u4", "1", "x")
		_, p := join(t, r.DB, "a")
		r.claim(t, r.DB, f, p.ID, true)
		base := r.begin(t, f)
		run := ended(base.Run, r.tick())
		run.Kinds = []hedgerow.KindEvidence{{Group: widgets.Group, Kind: widgets.Kind, Plural: "widgets", Verdict: hedgerow.Complete, Revision: "1", CompleteAt: run.FinishedAt, CompleteRun: run.ID, Present: 4}}
		var err error
		if run.VersionAfter, err = r.Commit(ctx, hedgerow.Commit{Run: run, Kinds: both, Moves: []hedgerow.Move{firstSeen(widgets, kept, changed, again, doomed)}}); err != nil {
			t.Fatal(err)
		}
		base.End()
		told = nil

		newer, renew, fresh := widget("changed", "u2", "11", "y"), widget("again", "u9", "12", "x"), widget("fresh", "u8", "14", "z")
		a := r.amendment(f, p.ID, run.ID, append(append(seen(newer, renew), gone(doomed, "13")), seen(fresh, probe("p", "u7", "15", "p", `{"n":1}`))...))
		out := r.amend(t, r.DB, a)
		want := hedgerow.Run{
			ID: out.Run.ID, FabricID: f.ID, Trigger: "follow", Actor: "follower", StartedAt: a.At, FinishedAt: a.Now(), Outcome: hedgerow.RunComplete, VersionBefore: 1, VersionAfter: 2,
			Kinds: a.Evidence([]hedgerow.Move{created(probes, fresh), created(widgets, fresh)}),
		}
		same(t, "amended", hedgerow.Amended{Run: want}, out)
		got, err := r.Run(ctx, out.Run.ID)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "the run as stored", want, got)
		if v := r.version(t, "lab"); v != 2 || out.Run.ID <= run.ID {
			t.Errorf("version %d, run %d after %d", v, out.Run.ID, run.ID)
		}
		same(t, "told", []int64{f.ID}, told)
		same(t, "marks", []hedgerow.Mark{mark(renew), mark(newer), mark(fresh), mark(kept)}, r.marks(t, f, widgets))
		same(t, "periods of what changed", []span{
			{"u2", changed.Digest, run.FinishedAt, run.ID, "first seen", a.Now(), out.Run.ID, "replaced", 3},
			{"u2", newer.Digest, a.Now(), out.Run.ID, "updated", time.Time{}, 0, "", 3},
		}, r.spans(t, "changed"))
		same(t, "periods of what was made again", []span{
			{"u3", again.Digest, run.FinishedAt, run.ID, "first seen", a.Now(), out.Run.ID, "deleted", 3},
			{"u9", renew.Digest, a.Now(), out.Run.ID, "created", time.Time{}, 0, "", 3},
		}, r.spans(t, "again"))
		same(t, "periods of what is gone", []span{{"u4", doomed.Digest, run.FinishedAt, run.ID, "first seen", a.Now(), out.Run.ID, "", 3}}, r.spans(t, "doomed"))
		var what []string
		for _, e := range r.events(t, f, hedgerow.HistoryQuery{Run: out.Run.ID}) {
			what = append(what, e.Name+" "+e.What)
		}
		same(t, "events", []string{"p created", "again created", "again deleted", "changed updated", "doomed deleted", "fresh created"}, what)
		revisions, err := r.Revisions(ctx, f.ID)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "revisions", map[hedgerow.KindID]string{widgets.ID(): "14", probes.ID(): "15"}, revisions)

		// It is no pass: what the pass proved stands, with today's numbers.
		evidence := slices.Clone(run.Kinds)
		evidence[0].Present = 4
		same(t, "evidence", evidence, r.evidence(t, f))
		facts, err := r.Facts(ctx, f)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "the last pass", &run, facts.Last)
		if !facts.LastComplete.Equal(run.FinishedAt) || facts.Objects != 4 {
			t.Errorf("facts: %+v", facts)
		}
		for follow, n := range map[bool]int{false: 1, true: 2} {
			if runs, err := r.Runs(ctx, f.ID, 0, 10, follow); err != nil || len(runs) != n {
				t.Errorf("runs, with follow %t: %v, error %v", follow, runs, err)
			}
		}
		if newest, err := r.NewestPass(ctx, f.ID); err != nil || newest.ID != run.ID {
			t.Errorf("newest pass %d, error %v", newest.ID, err)
		}

		before := r.everything(t)
		told = nil
		for range 3 {
			same(t, "told again", hedgerow.Amended{}, r.amend(t, r.DB, a))
		}
		same(t, "what came late", hedgerow.Amended{}, r.amend(t, r.DB, r.amendment(f, p.ID, run.ID, seen(widget("changed", "u2", "5", "older")))))
		same(t, "tables", before, r.everything(t))
		same(t, "told of nothing", []int64(nil), told)

		// A pass that reads a kind whole says anew from where on to follow it.
		base = r.begin(t, f)
		defer base.End()
		if _, err := r.Commit(ctx, hedgerow.Commit{Run: func() hedgerow.Run {
			again := ended(base.Run, r.tick())
			again.Kinds = []hedgerow.KindEvidence{
				{Group: widgets.Group, Kind: widgets.Kind, Verdict: hedgerow.Complete, Revision: "3", CompleteRun: again.ID},
				{Group: probes.Group, Kind: probes.Kind, Verdict: hedgerow.Failed, Revision: "1", CompleteRun: run.ID},
			}
			return again
		}()}); err != nil {
			t.Fatal(err)
		}
		if revisions, err = r.Revisions(ctx, f.ID); err != nil {
			t.Fatal(err)
		}
		same(t, "revisions after a pass", map[hedgerow.KindID]string{probes.ID(): "15"}, revisions)
	})
}

// TestNotAmended: nothing is decided or written when the fabric is another's,
// while a pass is under way, or when there has been another one.
func TestNotAmended(t *testing.T) {
	onBoth(t, func(t *testing.T, r *record) {
		ctx := t.Context()
		f := r.fabric(t, "lab")
		_, p := join(t, r.DB, "a")
		_, q := join(t, r.DB, "b")
		base := r.pass(t, f, both, firstSeen(widgets, widget("a", "u1", "1", "x")))
		refuse := func(why string, basis int64, want hedgerow.Amended) {
			t.Helper()
			before := r.everything(t)
			out, err := r.Amend(ctx, r.amendment(f, p.ID, basis, seen(widget("a", "u1", "9", "y"))), func(map[hedgerow.Ref]hedgerow.Mark) []hedgerow.Move {
				t.Errorf("%s: it was decided upon", why)
				return nil
			})
			if err != nil {
				t.Errorf("%s: %v", why, err)
			}
			same(t, why, want, out)
			same(t, why+": tables", before, r.everything(t))
		}
		lost := hedgerow.Amended{Lost: true}
		refuse("never claimed", base.ID, lost)
		r.claim(t, r.DB, f, q.ID, true)
		refuse("claimed by another", base.ID, lost)
		if err := r.Release(ctx, f.ID, q.ID); err != nil {
			t.Fatal(err)
		}
		r.claim(t, r.DB, f, p.ID, true)
		refuse("no pass known", 0, hedgerow.Amended{Moved: true})
		running := r.begin(t, f)
		refuse("a pass is under way", base.ID, hedgerow.Amended{Busy: true, Moved: true})
		refuse("the pass that it knows is under way", running.Run.ID, hedgerow.Amended{Busy: true})
		running.End() // it dies, which nobody has noticed
		refuse("a pass may be under way", running.Run.ID, hedgerow.Amended{Busy: true})
		if err := r.CloseInterrupted(ctx, r.tick()); err != nil {
			t.Fatal(err)
		}
		refuse("there has been another", base.ID, hedgerow.Amended{Moved: true})
		if out := r.amend(t, r.DB, r.amendment(f, p.ID, running.Run.ID, seen(widget("a", "u1", "9", "y")))); out.Run.ID == 0 {
			t.Errorf("after all: %+v", out)
		}
		r.execute(t, `DELETE FROM processes WHERE id = $1`, p.ID)
		refuse("its process is taken for dead", running.Run.ID, lost)
		r.claim(t, r.DB, f, q.ID, true)
		refuse("stolen", running.Run.ID, lost)
		if err := r.RemoveFabric(ctx, f.ID); err != nil {
			t.Fatal(err)
		}
		refuse("removed", running.Run.ID, lost)
	})
}

// TestAmendFails: of an amendment that cannot be written nothing stands.
func TestAmendFails(t *testing.T) {
	onBoth(t, func(t *testing.T, r *record) {
		f := r.fabric(t, "lab")
		_, p := join(t, r.DB, "a")
		r.claim(t, r.DB, f, p.ID, true)
		base := r.pass(t, f, []hedgerow.Kind{widgets}, firstSeen(widgets, widget("a", "u1", "1", "x")))
		before := r.everything(t)
		a := r.amendment(f, p.ID, base.ID, seen(widget("b", "u2", "9", "y"), probe("p", "u3", "10", "of no recorded kind", "{}")))
		out, err := r.Amend(t.Context(), a, func(marks map[hedgerow.Ref]hedgerow.Mark) []hedgerow.Move {
			moves := judge(a.Sightings, marks)
			slices.SortFunc(moves, func(a, b hedgerow.Move) int { return strings.Compare(b.Kind.Kind, a.Kind.Kind) })
			return moves
		})
		refused(t, err, hedgerow.CodeStore, "is not recorded")
		_ = out
		same(t, "tables", before, r.everything(t))
	})
}
