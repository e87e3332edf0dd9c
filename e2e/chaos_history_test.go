package e2e

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"hedgerow/e2e/lab"
)

// lived is what really happened to the objects of a fleet: each state of each
// object that an edit made, in the order of the versions.
type lived struct {
	states map[identity][]lab.Edit
	gone   map[string]bool // uids of what was deleted
}

// identity names an object of a fleet.
type identity struct {
	fabric     int
	kind, name string
}

func live(edits []lab.Edit) lived {
	l := lived{map[identity][]lab.Edit{}, map[string]bool{}}
	for _, e := range edits {
		if e.Did == lab.Deleted {
			l.gone[e.UID] = true
			continue
		}
		id := identity{e.Fabric, e.Kind, e.Name}
		l.states[id] = append(l.states[id], e)
	}
	for _, s := range l.states {
		slices.SortFunc(s, func(a, b lab.Edit) int { return cmp.Compare(revision(a), revision(b)) })
	}
	return l
}

func revision(e lab.Edit) uint64 {
	n, _ := strconv.ParseUint(e.ResourceVersion, 10, 64) // vlab and kube-apiserver count
	return n
}

// history compares what the record tells of the objects that were edited with
// what happened to them. Nothing may be told twice, out of order or otherwise
// than it was; a follower leaves nothing out, and only a pass, which sees one
// moment, may tell of the last of several states. It returns how many states
// were told, and how many a pass passed over.
func (c *chronicle) history(f *lab.Fleet, l lived) (v violations, told, passedOver int) {
	v = violations{}
	number := map[string]int{}
	for i := range f.Size() {
		number[f.Name(i)] = i
	}
	passes := map[int64][]int64{} // ids of those that proved something, by fabric
	for _, r := range c.runs {
		if r.pass() && r.proved() {
			passes[r.fabric] = append(passes[r.fabric], r.id)
		}
	}
	recorded := map[identity][]period{}
	for _, p := range c.periods {
		i, ours := number[c.fabrics[p.fabric].name]
		if !ours {
			continue
		}
		kind, _, _ := strings.Cut(c.kinds[p.kind].name, ".")
		id := identity{i, kind, p.name}
		recorded[id] = append(recorded[id], p)
	}
	for id, states := range l.states {
		t, o := l.object(v, id, states, recorded[id], func(fabric, after, upTo int64) bool {
			return slices.ContainsFunc(passes[fabric], func(run int64) bool { return run > after && run <= upTo })
		})
		told, passedOver = told+t, passedOver+o
	}
	return v, told, passedOver
}

const end = int64(1) << 62

// object compares one. pass says whether a pass ended between two runs.
func (l lived) object(v violations, id identity, states []lab.Edit, periods []period, pass func(fabric, after, upTo int64) bool) (told, over int) {
	at := -1 // of the states, the one told last
	var last period
	for _, p := range periods {
		i := slices.IndexFunc(states, func(e lab.Edit) bool { return e.Value == p.description && e.UID == p.uid })
		switch {
		case i < 0 && at < 0 && last.sinceRun == 0 && p.began == "first seen":
			last = p // as it was before
			continue
		case i < 0:
			v.add("told of what never was", "%v: %s", id, p)
			continue
		case i == at:
			v.add("told twice", "%v: %s and %s", id, last, p)
			continue
		case i < at:
			v.add("told out of order", "%v: %s and %s", id, last, p)
			continue
		}
		if skipped := i - at - 1; skipped > 0 {
			over += skipped
			if !pass(p.fabric, last.sinceRun, p.sinceRun) {
				v.add("lost", "%v: %d before %s, such as %+v", id, skipped, p, states[at+1])
			}
		}
		at, last = i, p
		told++
	}
	// What was made and deleted between two looks was never seen.
	unseen := l.gone[states[len(states)-1].UID] && (len(periods) == 0 || pass(last.fabric, last.sinceRun, end))
	if left := len(states) - 1 - at; left > 0 && !unseen {
		v.add("lost", "%v: the last %d after %q, such as %+v", id, left, last.description, states[at+1])
	}
	if at >= 0 && l.gone[states[at].UID] != (last.ended == "deleted") {
		v.add("deleted or not", "%v: %s", id, last)
	}
	return told, over
}

// holds is what the record holds of every fabric of a fleet now.
func (r record) holds(ctx context.Context, f *lab.Fleet) ([][]lab.Object, error) {
	number := map[string]int{}
	for i := range f.Size() {
		number[f.Name(i)] = i
	}
	rows, err := r.QueryContext(ctx, `SELECT f.name, k.kind, o.name, o.uid, coalesce(v.resource_version, o.resource_version)
		FROM objects o JOIN fabrics f ON f.id = o.fabric_id JOIN kinds k ON k.id = o.kind_id
		LEFT JOIN vitals v ON v.kind_id = o.kind_id AND v.namespace = o.namespace AND v.name = o.name WHERE o.until IS NULL`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := make([][]lab.Object, f.Size())
	for rows.Next() {
		var fabric string
		var o lab.Object
		if err := rows.Scan(&fabric, &o.Kind, &o.Name, &o.UID, &o.ResourceVersion); err != nil {
			return nil, err
		}
		if i, ours := number[fabric]; ours {
			all[i] = append(all[i], o)
		}
	}
	for _, os := range all {
		slices.SortFunc(os, func(a, b lab.Object) int {
			return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
		})
	}
	return all, rows.Err()
}

// catchesUp waits until the record holds what the clusters hold, which nobody
// edits meanwhile, and returns how long that took since some moment.
func (r record) catchesUp(t *testing.T, f *lab.Fleet, since time.Time, within time.Duration) time.Duration {
	t.Helper()
	want := f.States(t)
	var behind string
	waitFor(t, time.Until(since.Add(within)), "the record to hold what the clusters hold", func(ctx context.Context) bool {
		got, err := r.holds(ctx, f)
		if err != nil { // the database may be on its way up
			behind = err.Error()
			return false
		}
		behind = ""
		n := 0
		for i := range want {
			if !slices.Equal(want[i], got[i]) {
				if n++; n <= 3 {
					behind += fmt.Sprintf("%s: %s\n", f.Name(i), firstDifference(want[i], got[i]))
				}
			}
		}
		if n > 0 {
			behind += fmt.Sprintf("%d of %d fabrics are behind", n, len(want))
		}
		return n == 0
	}, func() string { return behind })
	return time.Since(since)
}

func firstDifference(want, got []lab.Object) string {
	for _, o := range want {
		if !slices.Contains(got, o) {
			return fmt.Sprintf("%d objects, %d recorded; not recorded: %+v", len(want), len(got), o)
		}
	}
	for _, o := range got {
		if !slices.Contains(want, o) {
			return fmt.Sprintf("%d objects, %d recorded; only recorded: %+v", len(want), len(got), o)
		}
	}
	return "in another order"
}

// waitFor waits until a condition holds, or fails the test with what the
// condition had to say.
func waitFor(t *testing.T, within time.Duration, what string, done func(context.Context) bool, why func() string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	begun := time.Now()
	for !done(ctx) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited %s in vain for %s:\n%s", time.Since(begun).Round(time.Millisecond), what, why())
		}
	}
}

// pause lets time go by: between faults, that is, never for something to
// happen.
func pause(t *testing.T, d time.Duration) {
	t.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
		t.Fatal("the test ended")
	}
}
