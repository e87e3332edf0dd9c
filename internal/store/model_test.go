package store

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"hedgerow"
)

// model is what the record should hold of a fabric, kept in the simplest way.
type model struct {
	present map[hedgerow.KindID]map[string]state
	ever    map[hedgerow.KindID]bool // read whole before
	events  []hedgerow.Event         // newest first
	version int64
}

// state is an object as the model has it.
type state struct {
	hedgerow.Object
	since    time.Time
	sinceRun int64
	began    hedgerow.Began
	vitalsAt time.Time
}

// snapshot draws what a cluster holds of a kind: few names, few contents, so
// that everything meets everything.
func snapshot(t *rapid.T, k hedgerow.Kind, have map[string]state, step int) map[string]hedgerow.Object {
	next := map[string]hedgerow.Object{}
	for _, name := range []string{"a", "a-b", "ab", "b"} {
		old, there := have[name]
		what := "absent"
		if there {
			what = rapid.SampledFrom([]string{"same", "same", "touched", "updated", "renewed", "absent"}).Draw(t, k.Kind+" "+name)
		} else if rapid.Bool().Draw(t, k.Kind+" "+name+" made") {
			what = "renewed"
		}
		if what == "absent" {
			continue
		}
		uid, text, version := fmt.Sprint("uid-", name, "-", step), string(old.Content), fmt.Sprint(step)
		switch what {
		case "same":
			next[name] = old.Object
			continue
		case "touched", "updated":
			uid = old.UID
		}
		if what != "touched" {
			text = rapid.SampledFrom([]string{"x", "y", "z"}).Draw(t, "content")
		}
		o := object(k, name, uid, version, text)
		if what == "touched" {
			o.Digest, o.Content = old.Digest, old.Content
		}
		o.Generation = int64(step)
		if k.ID() == probes.ID() && rapid.Bool().Draw(t, "vitals") {
			o.Vitals = fmt.Appendf(nil, `{"step":%d}`, step)
		}
		next[name] = o
	}
	return next
}

// apply brings the model to the snapshot of a kind, and says what the move is.
func (m *model) apply(k hedgerow.Kind, next map[string]hedgerow.Object, run int64, at time.Time) (move hedgerow.Move, events []hedgerow.Event) {
	have := m.present[k.ID()]
	move = hedgerow.Move{Kind: k.ID(), Began: hedgerow.Created}
	if !m.ever[k.ID()] {
		move.Began = hedgerow.FirstSeen
	}
	happened := func(o hedgerow.Object, what string, before, after *hedgerow.Digest) {
		events = append(events, hedgerow.Event{Ref: o.Ref, At: at, Run: run, What: what, UID: o.UID, Before: before, After: after})
	}
	names := map[string]bool{}
	for n := range have {
		names[n] = true
	}
	for n := range next {
		names[n] = true
	}
	for _, n := range slices.Sorted(mapKeys(names)) {
		old, was := have[n]
		o, is := next[n]
		s := state{Object: o, since: at, sinceRun: run}
		if o.Vitals != nil {
			s.vitalsAt = at
		}
		switch {
		case !is:
			move.Deleted = append(move.Deleted, mark(old.Object))
			happened(old.Object, "deleted", &old.Digest, nil)
			delete(have, n)
			continue
		case !was:
			s.began = move.Began
			move.Created = append(move.Created, o)
			happened(o, string(s.began), nil, &o.Digest)
		case old.UID != o.UID:
			s.began = hedgerow.Created
			move.Renewed = append(move.Renewed, o)
			happened(o, "created", nil, &o.Digest)
			happened(old.Object, "deleted", &old.Digest, nil)
		case old.Digest != o.Digest:
			s.began = hedgerow.Updated
			move.Updated = append(move.Updated, o)
			happened(o, "updated", &old.Digest, &o.Digest)
		case old.ResourceVersion != o.ResourceVersion:
			move.Touched = append(move.Touched, o)
			s.since, s.sinceRun, s.began = old.since, old.sinceRun, old.began
			s.Generation, s.vitalsAt = old.Generation, at
		default:
			continue
		}
		have[n] = s
	}
	return move, events
}

func mapKeys(m map[string]bool) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// TestModel plays random passes and compares the record with the model after
// each.
func TestModel(t *testing.T) {
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			r := newRecord(t, engine)
			n := 0
			rapid.Check(t, func(rt *rapid.T) {
				// On PostgreSQL, where a commit costs a round trip a statement, every
				// fourth sequence is played.
				if n++; engine == "postgres" && n%4 != 1 {
					rt.Skip("only on SQLite")
				}
				play(rt, r, r.fabric(t, fmt.Sprint("fabric-", n)))
			})
		})
	}
}

func play(t *rapid.T, r *record, f hedgerow.Fabric) {
	m := &model{ever: map[hedgerow.KindID]bool{}, present: map[hedgerow.KindID]map[string]state{widgets.ID(): {}, probes.ID(): {}}}
	for step := range rapid.IntRange(1, 8).Draw(t, "passes") {
		p := r.begin(t, f)
		if p.Run.VersionBefore != m.version {
			t.Fatalf("version %d before pass %d, want %d", p.Run.VersionBefore, step, m.version)
		}
		if rapid.IntRange(0, 9).Draw(t, "dies") == 0 {
			p.End()
			continue
		}
		run := ended(p.Run, r.tick())
		c := hedgerow.Commit{Run: run}
		var err error
		if c.Known, err = r.Kinds(t.Context(), f.ID); err != nil {
			t.Fatal(err)
		}
		var events []hedgerow.Event
		changes := false
		for _, k := range both {
			if !rapid.Bool().Draw(t, "reads "+k.Kind) {
				continue
			}
			next := snapshot(t, k, m.present[k.ID()], step+1)
			move, es := m.apply(k, next, run.ID, run.FinishedAt)
			c.Kinds, c.Moves, events = append(c.Kinds, k), append(c.Moves, move), append(events, es...)
			changes = changes || move.Changes() || !m.ever[k.ID()]
			m.ever[k.ID()] = true
		}
		if changes {
			m.version++
		}
		got, err := r.Commit(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		p.End()
		if got != m.version {
			t.Fatalf("version %d after pass %d, want %d", got, step, m.version)
		}
		m.events = append(events, m.events...)
		m.compare(t, r, f)
	}
}

func (m *model) compare(t *rapid.T, r *record, f hedgerow.Fabric) {
	marks, err := r.Marks(t.Context(), f.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range both {
		var want []Recorded
		var wantMarks []hedgerow.Mark
		for _, s := range m.present[k.ID()] {
			want = append(want, Recorded{Object: s.Object, Since: s.since, SinceRun: s.sinceRun, Began: s.began, VitalsAt: s.vitalsAt})
			wantMarks = append(wantMarks, mark(s.Object))
		}
		slices.SortFunc(want, func(a, b Recorded) int { return strings.Compare(a.Name, b.Name) })
		byName := func(a, b hedgerow.Mark) int { return strings.Compare(a.Name, b.Name) }
		slices.SortFunc(wantMarks, byName)
		slices.SortFunc(marks[k.ID()], byName)
		same(t, "objects", want, r.objects(t, f, k))
		same(t, "marks", wantMarks, marks[k.ID()])
	}
	same(t, "history", m.events, r.events(t, f, HistoryQuery{Limit: 1000}))
	facts, err := r.Facts(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	if facts.Running != nil {
		t.Errorf("facts: running %v", facts.Running)
	}
	if t.Failed() {
		t.FailNow()
	}
}
