package view_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"hedgerow/internal/view"
)

// clos is a fabric of so many devices.
func clos(spines, leaves, hosts int) (devices []view.MapDevice, cables []view.MapCable) {
	for i := range spines {
		devices = append(devices, view.MapDevice{ID: fmt.Sprint("s", i), Name: fmt.Sprint("spine-", i+1), Tier: 1})
	}
	for i := range leaves {
		devices = append(devices, view.MapDevice{ID: fmt.Sprint("l", i), Name: fmt.Sprint("leaf-", i+1), Tier: 2, Group: fmt.Sprint("pair-", i/2)})
		for s := range spines {
			for c := range 2 {
				cables = append(cables, view.MapCable{A: fmt.Sprint("l", i), B: fmt.Sprint("s", s), Title: fmt.Sprintf("leaf-%d spine-%d %d", i, s, c), Address: "/c"})
			}
		}
	}
	for i := range hosts {
		id := fmt.Sprint("h", i)
		devices = append(devices, view.MapDevice{ID: id, Name: fmt.Sprint("server-", i+1), Tier: 3, Folds: true})
		if leaves > 0 {
			for leg := range 2 {
				cables = append(cables, view.MapCable{A: id, B: fmt.Sprint("l", (i/4*2+leg)%leaves), Title: fmt.Sprint(id, leg)})
			}
		}
	}
	return devices, cables
}

// TestMap: whatever there is, everything is drawn once, inside the drawing, and
// nothing over another; and the same input gives the same drawing in whatever
// order it comes.
func TestMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		devices, cables := clos(rapid.IntRange(0, 4).Draw(t, "spines"), rapid.IntRange(0, 12).Draw(t, "leaves"), rapid.IntRange(0, 60).Draw(t, "hosts"))
		cables = append(cables, view.MapCable{A: "s0", B: "nowhere"}, view.MapCable{A: "s0", B: "s0"}, view.MapCable{A: "l0", B: "l1", Title: "peer"})
		m := view.Map(devices, cables, true)
		again := view.Map(rapid.Permutation(devices).Draw(t, "devices"), rapid.Permutation(cables).Draw(t, "cables"), true)
		if d := cmp.Diff(m, again); d != "" {
			t.Fatalf("another order, another drawing:\n%s", d)
		}
		if len(m.Nodes) != len(devices) {
			t.Fatalf("%d nodes of %d devices", len(m.Nodes), len(devices))
		}
		for i, n := range m.Nodes {
			if n.X < 0 || n.Y < 0 || n.X+n.W > m.Width || n.Y+n.H > m.Height {
				t.Errorf("%s is outside", n.Name)
			}
			for _, o := range m.Nodes[:i] {
				if n.X < o.X+o.W && o.X < n.X+n.W && n.Y < o.Y+o.H && o.Y < n.Y+n.H {
					t.Errorf("%s is over %s", n.Name, o.Name)
				}
				if n.Tier < o.Tier && n.Y >= o.Y || n.Tier > o.Tier && n.Y <= o.Y {
					t.Errorf("%s is on the wrong side of %s", n.Name, o.Name)
				}
			}
		}
		known := map[string]bool{}
		for _, d := range devices {
			known[d.ID] = true
		}
		drawn, want := 0, 0
		for _, l := range m.Lines {
			drawn += l.Count
			if strings.Count(l.Title, "\n") != l.Count-1 {
				t.Errorf("%d cables are told as %q", l.Count, l.Title)
			}
		}
		for _, c := range cables {
			if known[c.A] && known[c.B] && c.A != c.B {
				want++
			}
		}
		if drawn != want {
			t.Errorf("%d cables drawn of %d", drawn, want)
		}
	})
}

func TestMapOrder(t *testing.T) {
	devices, cables := clos(2, 12, 12)
	m := view.Map(devices, cables, false)
	var rows []string
	y := -1
	for _, n := range m.Nodes {
		if n.Y != y {
			rows, y = append(rows, ""), n.Y
		}
		rows[len(rows)-1] += " " + n.Name
	}
	want := []string{
		" spine-1 spine-2",
		" leaf-1 leaf-2 leaf-3 leaf-4 leaf-5 leaf-6 leaf-7 leaf-8 leaf-9 leaf-10 leaf-11 leaf-12",
		" server-1 server-2 server-3 server-4 server-5 server-6 server-7 server-8 server-9 server-10 server-11 server-12",
	}
	if d := cmp.Diff(want, rows); d != "" {
		t.Errorf("rows (-want +got):\n%s", d)
	}
	if len(m.Boxes) != 6 || m.Boxes[0].Name != "pair-0" {
		t.Errorf("boxes %+v", m.Boxes)
	}
}

// TestMapFolds: above so many lines, hosts with the same neighbours are one,
// which tells their names, until they are unfolded.
func TestMapFolds(t *testing.T) {
	devices, cables := clos(4, 40, 400)
	m := view.Map(devices, cables, false)
	hosts := slices.DeleteFunc(slices.Clone(m.Nodes), func(n view.MapNode) bool { return n.Tier != 3 })
	if m.Folded != 400 || len(hosts) != 20 || hosts[0].Count != 20 || hosts[0].Name != "20 hosts" || !strings.HasPrefix(hosts[0].Title, "server-1\nserver-2\nserver-3\nserver-4\nserver-81\n") {
		t.Errorf("%d folded into %d: %+v", m.Folded, len(hosts), hosts[0])
	}
	if m := view.Map(devices, cables, true); m.Folded != 0 || len(m.Nodes) != len(devices) {
		t.Errorf("unfolded: %d folded, %d nodes", m.Folded, len(m.Nodes))
	}
	if m := view.Map(nil, nil, false); len(m.Nodes) != 0 || m.Width == 0 {
		t.Errorf("of nothing: %+v", m)
	}
}

func BenchmarkMap(b *testing.B) {
	devices, cables := clos(4, 40, 1000)
	for b.Loop() {
		view.Map(devices, cables, false)
	}
}
