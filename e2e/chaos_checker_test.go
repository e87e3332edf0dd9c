package e2e

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hedgerow/e2e/lab"
)

// sound is a record of one fabric: a pass saw a and b, a follower saw a
// change, and a second pass saw b gone.
func sound() *chronicle {
	return &chronicle{
		fabrics: map[int64]chronicledFabric{1: {"fab-001", 3}},
		kinds:   map[int64]chronicledKind{7: {"Server.g", 1}},
		runs: []chronicledRun{
			{id: 1, fabric: 1, trigger: "schedule", started: 10, finished: 20, outcome: "complete", after: 1, counts: countsDoc{Created: 2}},
			{id: 2, fabric: 1, trigger: "follow", started: 15, finished: 25, outcome: "complete", before: 1, after: 2, counts: countsDoc{Updated: 1}},
			{id: 3, fabric: 1, trigger: "schedule", started: 30, finished: 40, outcome: "complete", before: 2, after: 3, counts: countsDoc{Deleted: 1}},
			{id: 4, fabric: 1, trigger: "manual", started: 50, finished: 55, outcome: "interrupted", before: 3, after: 3},
		},
		periods: []period{
			{fabric: 1, kind: 7, name: "a", uid: "u", began: "first seen", since: 20, sinceRun: 1, until: 25, untilRun: 2, ended: "replaced", description: "x", content: true},
			{fabric: 1, kind: 7, name: "a", uid: "u", began: "updated", since: 25, sinceRun: 2, description: "y", content: true},
			{fabric: 1, kind: 7, name: "b", uid: "v", began: "first seen", since: 20, sinceRun: 1, until: 40, untilRun: 3, ended: "deleted", content: true},
		},
	}
}

// TestChronicle: the checker finds what it is there to find.
func TestChronicle(t *testing.T) {
	for _, tc := range []struct {
		name  string
		spoil func(c *chronicle)
		want  []string
	}{
		{"sound", func(*chronicle) {}, nil},
		{"overlap", func(c *chronicle) { c.runs[3].started = 39 }, []string{"overlapping passes"}},
		{"open", func(c *chronicle) { c.runs[3].outcome, c.runs[3].finished = "running", 0 }, []string{"never ended"}},
		{"within a pass", func(c *chronicle) {
			c.runs[1].finished, c.periods[0].until, c.periods[1].since = 19, 19, 19
		}, []string{"ended before it began", "followed during a pass"}},
		{"begun too early", func(c *chronicle) { c.runs[2].started = 24 }, []string{"pass begun before a follower's commit ended"}},
		{"version skipped", func(c *chronicle) {
			c.runs[2].before, c.runs[2].after, c.fabrics[1] = 3, 4, chronicledFabric{"fab-001", 4}
		}, []string{"version chain broken"}},
		{"not raised", func(c *chronicle) {
			c.runs[1].after, c.runs[2].before = 1, 1
		}, []string{"a period of a run that changed nothing", "version not raised by one for a change"}},
		{"raised by the interrupted", func(c *chronicle) { c.runs[3].after = 4 }, []string{"version chain broken", "version not raised by one for a change"}},
		{"torn", func(c *chronicle) { c.periods[0].untilRun, c.periods[0].ended = 2, "deleted" }, []string{"a run's numbers", "torn periods"}},
		{"both last", func(c *chronicle) { c.periods[0].until, c.periods[0].untilRun, c.periods[0].ended = 0, 0, "" }, []string{"kinds.present", "overlapping periods"}},
		{"doubled", func(c *chronicle) { c.periods[1].description = "x" }, []string{"a change that is none"}},
		{"lost content", func(c *chronicle) { c.periods[1].content = false }, []string{"content lost"}},
		{"lost period", func(c *chronicle) { c.periods = c.periods[1:] }, []string{"a run's numbers", "updated out of nothing"}},
		{"miscounted", func(c *chronicle) { c.kinds[7] = chronicledKind{"Server.g", 2} }, []string{"kinds.present"}},
	} {
		c := sound()
		tc.spoil(c)
		v := c.invariants(true)
		if diff := cmp.Diff(tc.want, slices.Sorted(maps.Keys(v))); diff != "" {
			t.Errorf("%s (-want +found):\n%s%s", tc.name, diff, v)
		}
	}
}

// TestLived: what is told twice, out of order, otherwise or not at all is found.
func TestLived(t *testing.T) {
	at := func(version, uid, value string) lab.Edit {
		return lab.Edit{Did: lab.Updated, Object: lab.Object{Kind: "Server", Name: "a", UID: uid, ResourceVersion: version}, Value: value}
	}
	l := live([]lab.Edit{at("9", "u", "two"), at("8", "u", "one"), at("10", "u", "three")})
	told := func(run int64, description string) period {
		return period{uid: "u", began: "updated", sinceRun: run, description: description}
	}
	first := period{uid: "u", began: "first seen", sinceRun: 1, description: "none"}
	for _, tc := range []struct {
		name    string
		periods []period
		pass    int64 // the run that is one
		want    []string
	}{
		{"all", []period{first, told(2, "one"), told(3, "two"), told(4, "three")}, 0, nil},
		{"passed over", []period{first, told(2, "one"), told(4, "three")}, 4, nil},
		{"lost", []period{first, told(2, "one"), told(4, "three")}, 0, []string{"lost"}},
		{"lost at the end", []period{first, told(2, "one"), told(3, "two")}, 9, []string{"lost"}},
		{"twice", []period{first, told(2, "one"), told(3, "one"), told(4, "two"), told(5, "three")}, 0, []string{"told twice"}},
		{"back", []period{first, told(2, "two"), told(3, "one"), told(4, "three")}, 2, []string{"told out of order"}},
		{"invented", []period{first, told(2, "one"), told(3, "two"), told(4, "three"), told(5, "four")}, 0, []string{"told of what never was"}},
	} {
		v := violations{}
		l.object(v, identity{0, "Server", "a"}, l.states[identity{0, "Server", "a"}], tc.periods, func(_, after, upTo int64) bool {
			return tc.pass > after && tc.pass <= upTo
		})
		if diff := cmp.Diff(tc.want, slices.Sorted(maps.Keys(v))); diff != "" {
			t.Errorf("%s (-want +found):\n%s%s", tc.name, diff, v)
		}
	}
}
