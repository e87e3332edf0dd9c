package store

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"hedgerow"
)

// TestUnchanged: a pass that found nothing new writes its own row, and no
// other row of any table.
func TestUnchanged(t *testing.T) {
	onBoth(t, func(t *testing.T, r *record) {
		f := r.fabric(t, "lab")
		first := r.pass(t, f, both, firstSeen(widgets, widget("a", "u1", "1", "x")), firstSeen(probes, probe("p", "u2", "1", "y", `{"n":1}`)))
		before := r.everything(t)
		second := r.pass(t, f, both)
		after := r.everything(t)
		if len(after["runs"]) != 2 {
			t.Errorf("%d runs", len(after["runs"]))
		}
		same(t, "the earlier run", before["runs"][0], after["runs"][0])
		delete(before, "runs")
		delete(after, "runs")
		same(t, "the other tables", before, after)
		if second.VersionBefore != first.VersionAfter || second.VersionAfter != first.VersionAfter {
			t.Errorf("versions: first after %d, second %d to %d", first.VersionAfter, second.VersionBefore, second.VersionAfter)
		}
	})
}

// TestTouched: a move of vitals or resourceVersion alone is no change, and is
// seen by the next pass.
func TestTouched(t *testing.T) {
	onBoth(t, func(t *testing.T, r *record) {
		f := r.fabric(t, "lab")
		a, p := widget("a", "u1", "1", "x"), probe("p", "u2", "1", "y", `{"n":1}`)
		first := r.pass(t, f, both, firstSeen(widgets, a, widget("b", "u3", "1", "x")), firstSeen(probes, p))
		before := r.everything(t)
		a.ResourceVersion, a.Content = "5", nil
		p = probe("p", "u2", "6", "y", `{"n":2}`)
		p.Content = nil
		second := r.pass(t, f, both, touched(widgets, a), touched(probes, p))
		after := r.everything(t)
		for _, table := range []string{"fabrics", "contents", "kinds", "objects", "history"} {
			same(t, table, before[table], after[table])
		}
		if second.VersionAfter != first.VersionAfter {
			t.Errorf("version %d after %d", second.VersionAfter, first.VersionAfter)
		}
		same(t, "marks", []hedgerow.Mark{mark(a), mark(widget("b", "u3", "1", "x"))}, r.marks(t, f, widgets))
		same(t, "marks", []hedgerow.Mark{mark(p)}, r.marks(t, f, probes))
		got := r.objects(t, f, probes)
		if len(got) != 1 || string(got[0].Vitals) != `{"n":2}` || !got[0].VitalsAt.Equal(second.FinishedAt) || got[0].ResourceVersion != "6" || got[0].SinceRun != first.ID {
			t.Errorf("probe: %+v", got)
		}

		// Touched again, and then changed: the change's own version counts.
		a.ResourceVersion = "7"
		r.pass(t, f, both, touched(widgets, a))
		same(t, "mark", "7", r.marks(t, f, widgets)[0].ResourceVersion)
		a = widget("a", "u1", "8", "changed")
		r.pass(t, f, both, updated(widgets, a))
		same(t, "mark", mark(a), r.marks(t, f, widgets)[0])
		if n := r.count(t, `vitals WHERE name = 'a'`); n != 0 {
			t.Errorf("%d vitals of a changed object without vitals", n)
		}
	})
}

// span is a period as it stands in objects (Until zero) or history.
type span struct {
	UID        string
	Digest     hedgerow.Digest
	Since      time.Time
	SinceRun   int64
	Began      string
	Until      time.Time
	UntilRun   int64
	Ended      string
	Generation int64
}

// spans returns the periods of an object, oldest first: those of history, then
// its row in objects.
func (r *record) spans(t *testing.T, name string) (all []span) {
	t.Helper()
	rows, err := r.read.QueryContext(t.Context(), `
		SELECT uid, digest, since, since_run, began, until, until_run, ended, generation FROM history WHERE name = $1
		UNION ALL SELECT uid, digest, since, since_run, began, coalesce(until, 0), coalesce(until_run, 0), '', generation FROM objects WHERE name = $1
		ORDER BY 4`, name)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var s span
		var since, until int64
		if err := rows.Scan(&s.UID, digestOf{&s.Digest}, &since, &s.SinceRun, &s.Began, &until, &s.UntilRun, &s.Ended, &s.Generation); err != nil {
			t.Fatal(err)
		}
		s.Since = fromMicros(since)
		if until != 0 {
			s.Until = fromMicros(until)
		}
		all = append(all, s)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestPeriods follows one object through everything that can happen to it.
func TestPeriods(t *testing.T) {
	onBoth(t, func(t *testing.T, r *record) {
		f := r.fabric(t, "lab")
		x, y, z := widget("a", "u1", "1", "x"), widget("a", "u1", "2", "y"), widget("a", "u2", "3", "y")
		seen := r.pass(t, f, both, firstSeen(widgets, x))
		changed := r.pass(t, f, both, updated(widgets, y))
		again := r.pass(t, f, both, renewed(widgets, z)) // same content, another uid
		gone := r.pass(t, f, both, deleted(widgets, z))
		if n := len(r.objects(t, f, widgets)); n != 0 {
			t.Errorf("%d objects after the deletion", n)
		}
		if ms := r.marks(t, f, widgets); len(ms) != 0 {
			t.Errorf("marks of a tombstone: %v", ms)
		}
		tomb := []span{
			{"u1", x.Digest, seen.FinishedAt, seen.ID, "first seen", changed.FinishedAt, changed.ID, "replaced", 3},
			{"u1", y.Digest, changed.FinishedAt, changed.ID, "updated", again.FinishedAt, again.ID, "deleted", 3},
			{"u2", z.Digest, again.FinishedAt, again.ID, "created", gone.FinishedAt, gone.ID, "", 3},
		}
		same(t, "periods to the tombstone", tomb, r.spans(t, "a"))

		back := widget("a", "u3", "9", "x") // A, B, and A again
		contents := r.everything(t)["contents"]
		made := r.pass(t, f, both, created(widgets, back))
		tomb[2].Ended = "deleted"
		want := append(slices.Clone(tomb), span{"u3", x.Digest, made.FinishedAt, made.ID, "created", time.Time{}, 0, "", 3})
		same(t, "periods", want, r.spans(t, "a"))
		same(t, "contents after a content came back", contents, r.everything(t)["contents"])

		for i, v := range []int64{seen.VersionAfter, changed.VersionAfter, again.VersionAfter, gone.VersionAfter, made.VersionAfter} {
			if v != int64(i+1) {
				t.Errorf("commit %d made version %d", i+1, v)
			}
		}
		got := r.objects(t, f, widgets)
		wantObject := hedgerow.Recorded{Object: back, Since: made.FinishedAt, SinceRun: made.ID, Began: hedgerow.Created}
		same(t, "the object", []hedgerow.Recorded{wantObject}, got)
	})
}

// TestOneCommit: every kind of move of several kinds in one commit is one
// version, and an object without vitals loses those it had.
func TestOneCommit(t *testing.T) {
	onBoth(t, func(t *testing.T, r *record) {
		f := r.fabric(t, "lab")
		one := func(name, uid, version, text string) hedgerow.Object {
			return probe(name, uid, version, text, `{"v":"`+version+`"}`)
		}
		r.pass(t, f, both, firstSeen(probes, one("deleted", "u1", "1", "a"), one("kept", "u2", "1", "b"), one("renewed", "u3", "1", "c"), one("touched", "u4", "1", "d"), one("updated", "u5", "1", "e")))
		bare := one("updated", "u5", "12", "f")
		bare.Vitals = nil
		m := hedgerow.Move{
			Kind: probes.ID(), Began: hedgerow.Created, Created: []hedgerow.Object{one("created", "u9", "10", "a")}, Updated: []hedgerow.Object{bare},
			Renewed: []hedgerow.Object{one("renewed", "u8", "11", "c")}, Deleted: []hedgerow.Mark{mark(one("deleted", "u1", "1", "a"))}, Touched: []hedgerow.Object{one("touched", "u4", "13", "d")},
		}
		run := r.pass(t, f, both, created(widgets, widget("w", "w1", "1", "w")), m)
		if run.VersionAfter != 2 || r.version(t, "lab") != 2 {
			t.Errorf("version %d, %d in the record", run.VersionAfter, r.version(t, "lab"))
		}
		got := map[string]string{}
		for _, o := range r.objects(t, f, probes) {
			got[o.Name] = fmt.Sprintf("%s %s %s %s", o.UID, o.ResourceVersion, o.Began, o.Vitals)
		}
		same(t, "objects", map[string]string{
			"created": `u9 10 created {"v":"10"}`, "kept": `u2 1 first seen {"v":"1"}`, "renewed": `u8 11 created {"v":"11"}`,
			"touched": `u4 13 first seen {"v":"13"}`, "updated": `u5 12 updated `,
		}, got)
		if n := r.count(t, `vitals WHERE name = 'deleted'`); n != 0 {
			t.Error("a tombstone has vitals")
		}
	})
}

// TestMany: moves larger than a statement, of every length around its size.
func TestMany(t *testing.T) {
	onBoth(t, func(t *testing.T, r *record) {
		f := r.fabric(t, "lab")
		const n = 2*chunk + 7
		var all, newer, renew, none []hedgerow.Object
		for i := range n {
			name := fmt.Sprintf("w%05d", i)
			all = append(all, widget(name, name, "1", name))
			newer = append(newer, widget(name, name, "2", name+" newer"))
			renew = append(renew, widget(name, name+"-2", "3", name+" newer"))
		}
		check := func(step string, want []hedgerow.Object) {
			t.Helper()
			got := r.objects(t, f, widgets)
			if len(got) != len(want) {
				t.Fatalf("%s: %d objects, want %d", step, len(got), len(want))
			}
			for i := range want {
				if want[i].Name != got[i].Name || want[i].UID != got[i].UID || want[i].Digest != got[i].Digest || string(want[i].Content) != string(got[i].Content) {
					t.Fatalf("%s: object %d is %v, want %v", step, i, got[i], want[i])
				}
			}
		}
		r.pass(t, f, both, firstSeen(widgets, all...))
		check("first", all)
		r.pass(t, f, both, updated(widgets, newer...))
		check("updated", newer)
		r.pass(t, f, both, renewed(widgets, renew...))
		check("renewed", renew)
		r.pass(t, f, both, deleted(widgets, renew...))
		check("deleted", none)
		r.pass(t, f, both, created(widgets, all[:chunk]...))
		check("created again", all[:chunk])
		r.pass(t, f, both, created(widgets, all[chunk:chunk+1]...))
		check("one more", all[:chunk+1])
		// Of each object what was replaced and what was renewed, and the
		// tombstones of those that came back.
		if got, want := r.count(t, `history`), 2*n+chunk+1; got != want {
			t.Errorf("%d periods in history, want %d", got, want)
		}
		if got := r.count(t, `contents`); got != 2*n+1 { // and a schema
			t.Errorf("%d contents, want %d", got, 2*n+1)
		}
	})
}

// TestUnknownKind: a move of a kind that is not recorded stops the commit.
func TestUnknownKind(t *testing.T) {
	onBoth(t, func(t *testing.T, r *record) {
		f := r.fabric(t, "lab")
		p := r.begin(t, f)
		defer p.End()
		before := r.everything(t)
		_, err := r.Commit(t.Context(), hedgerow.Commit{Run: ended(p.Run, r.tick()), Kinds: []hedgerow.Kind{probes}, Moves: []hedgerow.Move{created(widgets, widget("a", "u", "1", "x"))}})
		refused(t, err, hedgerow.CodeStore, "is not recorded")
		same(t, "tables", before, r.everything(t))
	})
}

// TestKinds: kinds come back as saved, a kind served as before is not written,
// and one served differently raises the version.
func TestKinds(t *testing.T) {
	onBoth(t, func(t *testing.T, r *record) {
		f := r.fabric(t, "lab")
		kinds := func() []hedgerow.Kind {
			t.Helper()
			ks, err := r.Kinds(t.Context(), f.ID)
			if err != nil {
				t.Fatal(err)
			}
			return ks
		}
		full := widgets
		full.Order, full.Ownership, full.Rule = 7, hedgerow.Authored, hedgerow.ContentRule{Keep: []string{"spec"}} // never stored
		r.pass(t, f, []hedgerow.Kind{full, probes})
		same(t, "kinds", both, kinds())
		before := r.everything(t)
		r.pass(t, f, kinds())
		same(t, "kinds table", before["kinds"], r.everything(t)["kinds"])
		if v := r.version(t, "lab"); v != 1 {
			t.Errorf("version %d after an unchanged pass", v)
		}
		r.pass(t, f, both, firstSeen(widgets, widget("a", "u1", "1", "x")))
		changes := map[string]func(*hedgerow.Kind){
			"version":     func(k *hedgerow.Kind) { k.Version = "v1" },
			"plural":      func(k *hedgerow.Kind) { k.Plural = "widgetz" },
			"singular":    func(k *hedgerow.Kind) { k.Singular = "widge" },
			"short names": func(k *hedgerow.Kind) { k.ShortNames = nil },
			"categories":  func(k *hedgerow.Kind) { k.Categories = []string{"a", "b"} },
			"namespaced":  func(k *hedgerow.Kind) { k.Namespaced = false },
			"columns":     func(k *hedgerow.Kind) { k.Columns = append(k.Columns, hedgerow.Column{Name: "N"}) },
			"schema":      func(k *hedgerow.Kind) { k.Schema = []byte(`{}`) },
			"no schema":   func(k *hedgerow.Kind) { k.Schema = nil },
			"fingerprint": func(k *hedgerow.Kind) { k.Fingerprint = "f3" },
			"source":      func(k *hedgerow.Kind) { k.ColumnsFrom = "built-in" },
		}
		for what, change := range changes {
			k, version := widgets, r.version(t, "lab")
			change(&k)
			r.pass(t, f, []hedgerow.Kind{probes, k})
			same(t, what, []hedgerow.Kind{probes, k}, kinds())
			if v := r.version(t, "lab"); v != version+1 {
				t.Errorf("%s: version %d after %d", what, v, version)
			}
			r.pass(t, f, both)
		}
		// Its objects are those of the same kind still.
		if n := len(r.objects(t, f, widgets)); n != 1 {
			t.Errorf("%d objects", n)
		}
		// A kind that a pass did not see stays.
		r.pass(t, f, nil)
		same(t, "kinds after a pass that saw none", both, kinds())
	})
}
