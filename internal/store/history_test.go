package store

import (
	"fmt"
	"testing"

	"hedgerow"
)

func TestHistory(t *testing.T) {
	onBoth(t, func(t *testing.T, r *record) {
		f, g := r.fabric(t, "lab"), r.fabric(t, "other")
		a1, a2, a3 := widget("a", "u1", "1", "x"), widget("a", "u1", "2", "y"), widget("a", "u2", "3", "z")
		b, p := widget("b", "u3", "1", "x"), probe("a", "u4", "1", "p", `{}`)
		elsewhere := widget("a", "u9", "1", "x")
		elsewhere.Namespace = "apart"
		one := r.pass(t, f, both, firstSeen(widgets, a1, b, elsewhere), firstSeen(probes, p))
		two := r.pass(t, f, both, hedgerow.Move{Kind: widgets.ID(), Updated: []hedgerow.Object{a2}, Deleted: []hedgerow.Mark{mark(b)}})
		r.pass(t, g, both, firstSeen(widgets, widget("a", "v1", "1", "foreign")))
		three := r.pass(t, f, both, renewed(widgets, a3))
		b2 := widget("b", "u5", "9", "x")
		four := r.pass(t, f, both, created(widgets, b2))

		event := func(o hedgerow.Object, run hedgerow.Run, what string, before, after *hedgerow.Digest) hedgerow.Event {
			return hedgerow.Event{Ref: o.Ref, At: run.FinishedAt, Run: run.ID, What: what, UID: o.UID, Before: before, After: after}
		}
		all := []hedgerow.Event{
			event(b2, four, "created", nil, &b2.Digest),
			event(a3, three, "created", nil, &a3.Digest),
			event(a2, three, "deleted", &a2.Digest, nil),
			event(a2, two, "updated", &a1.Digest, &a2.Digest),
			event(b, two, "deleted", &b.Digest, nil),
			event(p, one, "first seen", nil, &p.Digest),
			event(elsewhere, one, "first seen", nil, &elsewhere.Digest),
			event(a1, one, "first seen", nil, &a1.Digest),
			event(b, one, "first seen", nil, &b.Digest),
		}
		same(t, "history", all, r.events(t, f, hedgerow.HistoryQuery{}))
		pick := func(keep func(hedgerow.Event) bool) (es []hedgerow.Event) {
			for _, e := range all {
				if keep(e) {
					es = append(es, e)
				}
			}
			return es
		}
		same(t, "of a kind", pick(func(e hedgerow.Event) bool { return e.Kind == "Widget" }), r.events(t, f, hedgerow.HistoryQuery{Kind: widgets.ID()}))
		same(t, "of a name", pick(func(e hedgerow.Event) bool { return e.Name == "a" }), r.events(t, f, hedgerow.HistoryQuery{Name: "a"}))
		same(t, "of an object", pick(func(e hedgerow.Event) bool { return e.Name == "b" }), r.events(t, f, hedgerow.HistoryQuery{Kind: widgets.ID(), Name: "b"}))
		for _, run := range []hedgerow.Run{one, two, three, four} {
			same(t, "of a run", pick(func(e hedgerow.Event) bool { return e.Run == run.ID }), r.events(t, f, hedgerow.HistoryQuery{Run: run.ID}))
		}
		same(t, "of a kind, name and run", all[1:3], r.events(t, f, hedgerow.HistoryQuery{Kind: widgets.ID(), Name: "a", Run: three.ID}))
		for n := 1; n <= len(all); n++ {
			same(t, fmt.Sprintf("newest %d", n), all[:n], r.events(t, f, hedgerow.HistoryQuery{Limit: n}))
		}
		same(t, "of nothing", []hedgerow.Event{}, r.events(t, f, hedgerow.HistoryQuery{Name: "none"}))
		for _, e := range all {
			for _, d := range []*hedgerow.Digest{e.Before, e.After} {
				if d == nil {
					continue
				}
				if _, err := r.Content(t.Context(), *d); err != nil {
					t.Errorf("content of %v: %v", e, err)
				}
			}
		}
	})
}

// TestHistoryLimit: whatever the limit, the answer is the beginning of the
// whole, also where one run made many events of several kinds.
func TestHistoryLimit(t *testing.T) {
	onBoth(t, func(t *testing.T, r *record) {
		f := r.fabric(t, "lab")
		var ws, newer, ps []hedgerow.Object
		// Names that bytes order otherwise than a language does.
		for _, name := range []string{"leaf-01", "leaf01", "leaf-1", "leaf.1", "leaf0-1", "a-b", "ab", "a.b"} {
			ws = append(ws, widget(name, "u"+name, "1", name))
			newer = append(newer, widget(name, "u"+name, "2", name+"!"))
			ps = append(ps, probe(name, "p"+name, "1", name, `{}`))
		}
		r.pass(t, f, both, firstSeen(widgets, ws...), firstSeen(probes, ps...))
		r.pass(t, f, both, updated(widgets, newer...), deleted(probes, ps[:4]...))
		r.pass(t, f, both, renewed(widgets, newer[2:]...), created(probes, ps[:2]...))
		all := r.events(t, f, hedgerow.HistoryQuery{})
		if len(all) != 16+12+14 {
			t.Fatalf("%d events", len(all))
		}
		for n := 1; n < len(all); n++ {
			same(t, fmt.Sprintf("newest %d", n), all[:n], r.events(t, f, hedgerow.HistoryQuery{Limit: n}))
		}
	})
}
