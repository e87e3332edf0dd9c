package store

import (
	"errors"
	"slices"
	"testing"

	"hedgerow"
)

// TestNames: a name means itself, whatever LIKE or an order of words makes of
// its characters.
func TestNames(t *testing.T) {
	onBoth(t, func(t *testing.T, r *record) {
		ctx := t.Context()
		f, g := r.fabric(t, "lab"), r.fabric(t, "other")
		names := []string{"a%b", "a-b", "a_b", `a\b`, "aXb", "ab", "AB", "a%", `a\%b`, "ä'b", `"ab"`}
		var os []hedgerow.Object
		for i, n := range names {
			o := widget(n, string(rune('A'+i)), "1", "")
			o.Content = []byte(`{"ref":"<` + n + `>"}`) // not JSON for some, which is not the store's business
			os = append(os, o)
		}
		elsewhere := widget("a-b", "other", "1", "elsewhere")
		elsewhere.Namespace = "apart"
		r.pass(t, f, both, firstSeen(widgets, append(os, elsewhere)...), firstSeen(probes, probe("a-b", "p", "1", "<a-b>", `{}`)))
		r.pass(t, g, both, firstSeen(widgets, widget("a-b", "foreign", "1", "<a-b>")))
		for i, n := range names {
			got, err := r.Named(ctx, f.ID, widgets.ID(), n)
			if err != nil {
				t.Fatal(err)
			}
			want := []string{os[i].UID}
			if n == "a-b" {
				want = []string{"other", os[i].UID} // by namespace
			}
			var uids []string
			for _, o := range got {
				uids = append(uids, o.UID)
			}
			same(t, "named "+n, want, uids)

			uids = nil
			err = r.Mentioning(ctx, f.ID, widgets.ID(), "<"+n+">", func(o hedgerow.Recorded) error {
				uids = append(uids, o.UID)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			same(t, "mentioning "+n, []string{os[i].UID}, uids)
		}
		var got []string
		for _, o := range r.objects(t, f, widgets) {
			got = append(got, o.Namespace+"/"+o.Name)
		}
		if !slices.IsSorted(got) || len(got) != len(names)+1 {
			t.Errorf("objects in the order %q", got)
		}
	})
}

func TestObjects(t *testing.T) {
	onBoth(t, func(t *testing.T, r *record) {
		ctx := t.Context()
		f := r.fabric(t, "lab")
		gone := widget("gone", "u2", "1", "x")
		r.pass(t, f, both, firstSeen(widgets, widget("a", "u1", "1", "x"), gone), firstSeen(probes, probe("p", "u3", "4", "y", `{"n":1}`)))
		r.pass(t, f, both, deleted(widgets, gone))
		counts, err := r.Counts(ctx, f.ID)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "counts", map[hedgerow.KindID]int{widgets.ID(): 1, probes.ID(): 1}, counts)
		if got, err := r.Named(ctx, f.ID, widgets.ID(), "gone"); err != nil || len(got) != 0 {
			t.Errorf("a deleted object: %v, error %v", got, err)
		}
		_, err = r.Content(ctx, hedgerow.Digest{1})
		refused(t, err, hedgerow.CodeNotFound, "no content 01")
		marks, err := r.Marks(ctx, f.ID)
		if err != nil {
			t.Fatal(err)
		}
		if ms, ok := marks[widgets.ID()]; !ok || len(ms) != 1 || len(marks) != 2 {
			t.Errorf("marks: %v", marks)
		}
		agents := 0
		err = r.EachAgent(ctx, f.ID, probes.ID(), func(generation int64, content, vitals []byte) error {
			agents++
			if generation != 3 || string(vitals) != `{"n":1}` || len(content) == 0 {
				t.Errorf("agent: generation %d, content %s, vitals %s", generation, content, vitals)
			}
			return nil
		})
		if err != nil || agents != 1 {
			t.Errorf("%d agents, error %v", agents, err)
		}
		// The caller's error ends the reading and comes back as it is.
		stop := errors.New("enough")
		if err := r.EachObject(ctx, f.ID, widgets.ID(), func(hedgerow.Recorded) error { return stop }); !errors.Is(err, stop) {
			t.Errorf("error %v", err)
		}
	})
}
