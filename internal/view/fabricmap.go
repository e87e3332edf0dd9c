package view

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// MapDevice is a device to draw.
type MapDevice struct {
	ID      string // unique in the map
	Name    string
	Title   string // what hovering tells
	Address string // of its page, "" for none
	State   string // a word of a small set: ready, pending, silent; "" when unknown
	Tier    int    // 0 is drawn at the top
	Group   string // devices of one tier with the same stand in one box; "" for none
	Folds   bool   // may be folded with others that have the same neighbours
}

// MapCable is a cable between two devices to draw.
type MapCable struct {
	A, B    string // devices
	Title   string // ports and connection, one line
	Address string // of its connection
}

// FabricMap is a drawing: everything has its place, in pixels.
type FabricMap struct {
	Width, Height int
	Nodes         []MapNode
	Boxes         []MapBox
	Lines         []MapLine
	Folded        int // devices that are drawn as groups
}

// MapNode is a device, or a group of them, at its place.
type MapNode struct {
	MapDevice
	X, Y, W, H int
	Count      int // devices in a group, 1 for one
}

// MapBox is around the devices of a group.
type MapBox struct {
	X, Y, W, H int
	Name       string
}

// MapLine is one or more parallel cables between two nodes.
type MapLine struct {
	Path    string // as SVG writes it
	Count   int
	Title   string // a line a cable
	Address string // of the first of their connections
	MX, MY  int    // where to write the number
}

const (
	nodeW, nodeH = 104, 32
	gapX, gapY   = 18, 104
	rowGap       = 22 // between rows of one tier
	perRow       = 18 // of the lowest tier, which has the most
	margin       = 28
	// FoldAbove is the number of lines above which a map folds its hosts.
	FoldAbove = 500
)

// Map lays a fabric out: a row a tier, devices of a group side by side, those
// below near those that they are plugged into, so that the same input always
// gives the same drawing. Cables to devices that are not in the map are left
// out.
func Map(devices []MapDevice, cables []MapCable, unfold bool) FabricMap {
	known := map[string]MapDevice{}
	for _, d := range devices {
		known[d.ID] = d
	}
	cables = slices.DeleteFunc(slices.Clone(cables), func(c MapCable) bool {
		_, a := known[c.A]
		_, b := known[c.B]
		return !a || !b || c.A == c.B
	})
	m := FabricMap{}
	counts := map[string]int{}
	if len(parallel(cables)) > FoldAbove && !unfold {
		devices, cables, counts = fold(devices, cables)
		for _, n := range counts {
			m.Folded += n
		}
	}
	at := m.place(devices, cables, counts)
	m.draw(at, cables)
	m.box()
	return m
}

// place gives each device its place, tier by tier from the top.
func (m *FabricMap) place(devices []MapDevice, cables []MapCable, counts map[string]int) map[string]MapNode {
	near := map[string][]string{}
	for _, c := range cables {
		near[c.A], near[c.B] = append(near[c.A], c.B), append(near[c.B], c.A)
	}
	tiers := map[int][]MapDevice{}
	lowest := 0
	for _, d := range devices {
		tiers[d.Tier] = append(tiers[d.Tier], d)
		lowest = max(lowest, d.Tier)
	}
	var rows [][]MapDevice
	var tierOf []int
	order := map[string]int{} // where a device stands in its tier, in millionths of its width
	for tier := range lowest + 1 {
		row := tiers[tier]
		if len(row) == 0 {
			continue
		}
		leader := leaders(row)
		slices.SortStableFunc(row, func(a, b MapDevice) int {
			return cmp.Or(cmp.Compare(mean(near[a.ID], order), mean(near[b.ID], order))*later(tier, lowest),
				natural(leader[a.ID], leader[b.ID]), natural(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
		})
		for i, d := range row {
			order[d.ID] = (2*i + 1) * 500_000 / len(row)
		}
		for part := range slices.Chunk(row, rowOf(tier, lowest, len(row))) {
			rows, tierOf = append(rows, part), append(tierOf, tier)
		}
	}
	widest := 0
	for _, r := range rows {
		widest = max(widest, len(r)*(nodeW+gapX)-gapX)
	}
	m.Width = widest + 2*margin
	at := map[string]MapNode{}
	y := margin
	for i, r := range rows {
		if i > 0 {
			y += nodeH + gapY
			if tierOf[i] == tierOf[i-1] {
				y += rowGap - gapY
			}
		}
		x := (m.Width - len(r)*(nodeW+gapX) + gapX) / 2
		for _, d := range r {
			n := MapNode{MapDevice: d, X: x, Y: y, W: nodeW, H: nodeH, Count: max(counts[d.ID], 1)}
			at[d.ID] = n
			m.Nodes = append(m.Nodes, n)
			x += nodeW + gapX
		}
	}
	m.Height = y + nodeH + margin
	return at
}

// leaders are, by the ids of devices, the first names of their groups, or their
// own.
func leaders(row []MapDevice) map[string]string {
	first := map[string]string{}
	for _, d := range row {
		if at, ok := first[d.Group]; !ok || natural(d.Name, at) < 0 {
			first[d.Group] = d.Name
		}
	}
	leader := map[string]string{}
	for _, d := range row {
		if leader[d.ID] = d.Name; d.Group != "" {
			leader[d.ID] = first[d.Group]
		}
	}
	return leader
}

// later is 1 for tiers whose devices stand below those that they are plugged
// into, and 0 for the upper ones, which stand by name.
func later(tier, lowest int) int {
	if tier == lowest && tier > 0 {
		return 1
	}
	return 0
}

func rowOf(tier, lowest, n int) int {
	if tier == lowest && tier > 0 {
		return min(n, perRow)
	}
	return n
}

// mean is the mean place of devices that have one. It is whole, so that it does
// not depend on their order.
func mean(ids []string, order map[string]int) int {
	sum, n := 0, 0
	for _, id := range ids {
		if o, ok := order[id]; ok {
			sum, n = sum+o, n+1
		}
	}
	if n == 0 {
		return 1_000_000
	}
	return sum / n
}

// couple is two devices, in the order of their ids.
type couple struct{ a, b string }

// parallel sorts cables by the devices that they connect.
func parallel(cables []MapCable) map[couple][]MapCable {
	all := map[couple][]MapCable{}
	for _, c := range cables {
		p := couple{min(c.A, c.B), max(c.A, c.B)}
		all[p] = append(all[p], c)
	}
	return all
}

// draw draws parallel cables as one line.
func (m *FabricMap) draw(at map[string]MapNode, cables []MapCable) {
	bundles := parallel(cables)
	pairs := make([]couple, 0, len(bundles))
	for p := range bundles {
		pairs = append(pairs, p)
	}
	slices.SortFunc(pairs, func(x, y couple) int { return cmp.Or(natural(x.a, y.a), natural(x.b, y.b)) })
	for _, p := range pairs {
		a, b := at[p.a], at[p.b]
		if a.Y > b.Y {
			a, b = b, a
		}
		bundle := bundles[p]
		l := MapLine{Count: len(bundle), Address: bundle[0].Address}
		var titles []string
		for _, c := range bundle {
			titles = append(titles, c.Title)
		}
		slices.SortFunc(titles, natural)
		l.Title = strings.Join(titles, "\n")
		ax, bx := a.X+a.W/2, b.X+b.W/2
		if a.Y == b.Y { // an arc below the row
			y := a.Y + a.H
			depth := min(20+abs(ax-bx)/8, gapY-14)
			l.Path = fmt.Sprintf("M%d %dC%d %d %d %d %d %d", ax, y, ax, y+depth, bx, y+depth, bx, y)
			l.MX, l.MY = (ax+bx)/2, y+depth*3/4
		} else {
			ay, by := a.Y+a.H, b.Y
			l.Path = fmt.Sprintf("M%d %dL%d %d", ax, ay, bx, by)
			l.MX, l.MY = (ax+bx)/2, (ay+by)/2
		}
		m.Lines = append(m.Lines, l)
	}
}

// box draws a box around each run of neighbours of one group.
func (m *FabricMap) box() {
	const pad = 7
	for i := 0; i < len(m.Nodes); i++ {
		first := m.Nodes[i]
		last := first
		for i+1 < len(m.Nodes) && m.Nodes[i+1].Group == first.Group && m.Nodes[i+1].Y == first.Y && first.Group != "" {
			i++
			last = m.Nodes[i]
		}
		if first.Group != "" && last.ID != first.ID {
			m.Boxes = append(m.Boxes, MapBox{X: first.X - pad, Y: first.Y - pad, W: last.X + last.W - first.X + 2*pad, H: first.H + 2*pad, Name: first.Group})
		}
	}
}

// fold makes one device of all that may be folded and have the same
// neighbours.
func fold(devices []MapDevice, cables []MapCable) ([]MapDevice, []MapCable, map[string]int) {
	near := map[string]map[string]bool{}
	for _, c := range cables {
		for _, e := range [][2]string{{c.A, c.B}, {c.B, c.A}} {
			if near[e[0]] == nil {
				near[e[0]] = map[string]bool{}
			}
			near[e[0]][e[1]] = true
		}
	}
	groups := map[string][]MapDevice{}
	var keys []string
	var out []MapDevice
	for _, d := range devices {
		if !d.Folds {
			out = append(out, d)
			continue
		}
		var ids []string
		for id := range near[d.ID] {
			ids = append(ids, id)
		}
		slices.Sort(ids)
		key := "fold:" + strings.Join(ids, ",")
		if groups[key] == nil {
			keys = append(keys, key)
		}
		groups[key] = append(groups[key], d)
	}
	slices.Sort(keys)
	into, counts := map[string]string{}, map[string]int{}
	for _, key := range keys {
		g := groups[key]
		if len(g) == 1 {
			out = append(out, g[0])
			continue
		}
		slices.SortFunc(g, func(a, b MapDevice) int { return natural(a.Name, b.Name) })
		var names []string
		for _, d := range g {
			names, into[d.ID] = append(names, d.Name), key
		}
		counts[key] = len(g)
		out = append(out, MapDevice{ID: key, Name: fmt.Sprintf("%d hosts", len(g)), Title: strings.Join(names, "\n"), Tier: g[0].Tier})
	}
	folded := slices.Clone(cables)
	for i, c := range folded {
		folded[i].A, folded[i].B = cmp.Or(into[c.A], c.A), cmp.Or(into[c.B], c.B)
	}
	return out, folded, counts
}

// natural orders names as people count: leaf-2 before leaf-10.
func natural(a, b string) int {
	for a != "" && b != "" {
		x, y := chunk(a), chunk(b)
		a, b = a[len(x):], b[len(y):]
		n, errN := strconv.Atoi(x)
		m, errM := strconv.Atoi(y)
		if errN == nil && errM == nil {
			if c := cmp.Or(cmp.Compare(n, m), cmp.Compare(len(x), len(y))); c != 0 {
				return c
			}
			continue
		}
		if c := cmp.Compare(x, y); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a), len(b))
}

// chunk is the digits, or what is none, that a text begins with.
func chunk(s string) string {
	digit := func(r rune) bool { return r < unicode.MaxASCII && unicode.IsDigit(r) }
	first := digit(rune(s[0]))
	if i := strings.IndexFunc(s, func(r rune) bool { return digit(r) != first }); i > 0 {
		return s[:i]
	}
	return s
}

func abs(n int) int {
	if n < 0 {
		return -n
	}
	return n
}
