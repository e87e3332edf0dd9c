package lab_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hedgerow/e2e/lab"
)

// A small fleet is what it says, and can be added, edited and told of.
func TestFleet(t *testing.T) {
	t.Parallel()
	f := lab.NewFleet(t, 3, 48)
	states := f.States(t)
	for i := range f.Size() {
		if diff := cmp.Diff(states[i], f.State(t, i)); diff != "" || len(states[i]) != 48 {
			t.Errorf("fabric %d: %d objects (-States +State):\n%s", i, len(states[i]), diff)
		}
	}
	if outside := objects(t, f, "default"); outside != 0 {
		t.Errorf("%d objects are outside of the fabrics", outside)
	}

	edited, err := f.Edit(t.Context(), 1, "anew")
	if err != nil {
		t.Fatal(err)
	}
	now := f.States(t)
	found := slices.ContainsFunc(now[1], func(o lab.Object) bool { return o.ResourceVersion == edited })
	if !found || cmp.Equal(states[1], now[1]) || !cmp.Equal(states[0], now[0]) || !cmp.Equal(states[2], now[2]) {
		t.Errorf("version %s of an edit of fabric 1 is not there, or more is", edited)
	}

	h := lab.New(t)
	f.Add(t, h, "--interval", "30s")
	h.OK(t, "sync", "--all")
	var fabrics []struct {
		Name, Namespace string
		Objects         int
	}
	h.JSON(t, &fabrics, []string{"status", "-o", "json"})
	if len(fabrics) != f.Size() {
		t.Errorf("status tells of %d fabrics", len(fabrics))
	}
	for _, g := range fabrics {
		if g.Objects != 48 {
			t.Errorf("%s has %d objects", g.Name, g.Objects)
		}
	}
}

func objects(t *testing.T, f *lab.Fleet, namespace string) (n int) {
	t.Helper()
	kinds, err := f.API.Resources(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range kinds {
		list, err := f.API.Do(t.Context(), http.MethodGet, k.Group+"/namespaces/"+namespace+"/"+k.Plural, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		items, _ := list["items"].([]any)
		n += len(items)
	}
	return n
}

// What a churn says that it did is what the cluster holds afterwards.
func TestChurn(t *testing.T) {
	t.Parallel()
	f := lab.NewFleet(t, 4, 48)
	for _, tc := range []struct {
		name    string
		mix     lab.Mix
		fabrics []int
		edits   int
	}{
		{"updates of one", lab.Updates, []int{2}, 200},
		{"varied, of three", lab.Varied, []int{0, 1, 3}, 800},
		{"varied, of all", lab.Varied, nil, 800},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := f.States(t)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			c := f.Churn(ctx, 1000, tc.fabrics, tc.mix)
			await(ctx, t, func() bool { return c.Made() >= tc.edits })
			edits, err := c.Stop()
			if err != nil {
				t.Fatal(err)
			}
			after := f.States(t)
			did, values, names := map[lab.Did]int{}, map[string]bool{}, map[string]int{}
			for _, e := range edits {
				did[e.Did]++
				if tc.fabrics != nil && !slices.Contains(tc.fabrics, e.Fabric) {
					t.Fatalf("fabric %d was edited: %+v", e.Fabric, e)
				}
				if e.Did == lab.Created {
					names[e.Name]++
				}
				if e.Did != lab.Deleted && values[e.Value] || e.Answered.Before(e.Asked) || e.UID == "" {
					t.Fatalf("not an edit of its own: %+v", e)
				}
				values[e.Value] = true
			}
			for i := range before {
				if diff := cmp.Diff(after[i], lab.After(before[i], edits, i)); diff != "" {
					t.Errorf("fabric %d (-cluster +as edited):\n%s", i, diff)
				}
			}
			span := edits[len(edits)-1].Answered.Sub(edits[0].Asked)
			t.Logf("%d edits, %v, %.0f a second", len(edits), did, float64(len(edits))/span.Seconds())
			if tc.mix == lab.Updates {
				if did[lab.Updated] != len(edits) {
					t.Error("not only updates")
				}
				return
			}
			again := 0
			for _, n := range names {
				again += n - 1
			}
			if n := len(edits); did[lab.Created] < n/12 || did[lab.Deleted] < n/20 || again == 0 {
				t.Errorf("too little variety: %v, %d names used again", did, again)
			}
		})
	}
}

// await asks until done says yes.
func await(ctx context.Context, t *testing.T, done func() bool) {
	t.Helper()
	for tick := time.NewTicker(5 * time.Millisecond); !done(); {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("did not happen in time")
		}
	}
}

// A server that dies under a churn is told of, and costs no confirmed edit.
func TestChurnOutage(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a server twice")
	}
	t.Parallel()
	f := lab.NewFleet(t, 2, 60)
	c := f.Churn(t.Context(), 500, nil, lab.Varied)
	await(t.Context(), t, func() bool { return c.Made() >= 200 })
	f.Kill()
	f.Restart(t)
	made := c.Made()
	await(t.Context(), t, func() bool { return c.Made() >= made+200 })
	edits, err := c.Stop()
	if err == nil || !strings.Contains(err.Error(), "edits failed") {
		t.Errorf("%d edits, no word of the outage: %v", len(edits), err)
	}
	// What was under way may have been made or not, but what was confirmed
	// and not deleted is there.
	wrong := 0
	for i, state := range f.States(t) {
		there := map[string]bool{}
		for _, o := range state {
			there[o.UID] = true
		}
		last := map[string]lab.Did{}
		for _, e := range edits {
			if e.Fabric == i && last[e.UID] != lab.Deleted {
				last[e.UID] = e.Did
			}
		}
		for uid, did := range last {
			if there[uid] == (did == lab.Deleted) {
				wrong++
			}
		}
	}
	if wrong > 8 { // deletes of which the answer was lost: one a connection
		t.Errorf("%d objects are not as confirmed", wrong)
	}
}
