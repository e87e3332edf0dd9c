package hedgerow_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"hedgerow"
)

var now = time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC)

// feature is one fact that a status depends on: its name, its values, and what
// each of them makes of the facts.
type feature struct {
	name   string
	values []value
}

type value struct {
	label string
	set   func(*hedgerow.Facts)
}

func yesNo(name string, set func(*hedgerow.Facts)) feature {
	return feature{name, []value{{"no", func(*hedgerow.Facts) {}}, {"yes", set}}}
}

func ended(outcome hedgerow.Outcome, code hedgerow.Code, message string) func(*hedgerow.Facts) {
	return func(f *hedgerow.Facts) {
		f.Last = &hedgerow.Run{ID: 41, Outcome: outcome, Code: code, Message: message, FinishedAt: now.Add(-time.Minute)}
	}
}

func read(age time.Duration) func(*hedgerow.Facts) {
	return func(f *hedgerow.Facts) { f.LastComplete = now.Add(-age) }
}

func agents(total, pending, silent int) func(*hedgerow.Facts) {
	return func(f *hedgerow.Facts) {
		f.Agents = hedgerow.AgentFacts{Total: total, Pending: pending, Silent: silent}
	}
}

func changes(n int) func(*hedgerow.Facts) {
	return func(f *hedgerow.Facts) { f.OpenChanges = n }
}

// The features, in groups that meet: every combination within a row of
// [products] is played.
var (
	common = []feature{
		yesNo("configured", func(f *hedgerow.Facts) { f.Configured = true }),
		yesNo("suspended", func(f *hedgerow.Facts) { f.Suspended = true }),
		{"running", []value{ // a pass may take 12 minutes
			{"no", func(*hedgerow.Facts) {}},
			{"yes", running(7 * time.Second)},
			{"at-deadline", running(12 * time.Minute)},
			{"overdue", running(12*time.Minute + 1)},
		}},
		{"interval", []value{
			{"manual", func(f *hedgerow.Facts) { f.Interval = hedgerow.Manual }},
			{"5m", func(f *hedgerow.Facts) { f.Interval = 5 * time.Minute }},
		}},
	}
	reading = []feature{
		yesNo("repository", func(f *hedgerow.Facts) { f.Repository = true }),
		yesNo("insecure", func(f *hedgerow.Facts) { f.Insecure = true }),
		{"last", []value{
			{"none", func(*hedgerow.Facts) {}},
			{"complete", ended(hedgerow.RunComplete, hedgerow.CodeOK, "")},
			{"partial-forbidden", ended(hedgerow.RunPartial, hedgerow.CodeForbidden, "connections: forbidden")},
			{"partial-500", ended(hedgerow.RunPartial, hedgerow.CodeServer, "vpcs: the server answered 500.")},
			{"failed-connect", ended(hedgerow.RunFailed, hedgerow.CodeConnect, "connection refused")},
			{"failed-401", ended(hedgerow.RunFailed, hedgerow.CodeUnauthorized, "the token is not accepted")},
			{"failed-guard", ended(hedgerow.RunFailed, hedgerow.CodeGuard, "26 of 48 objects are gone")},
			{"failed-silently", ended(hedgerow.RunFailed, hedgerow.CodeInternal, "")},
			{"interrupted", ended(hedgerow.Interrupted, hedgerow.CodeInterrupted, "the process ended")},
		}},
		{"reading", []value{ // the last complete one, which may be 10 seconds late
			{"none", func(*hedgerow.Facts) {}},
			{"fresh", read(time.Minute)},
			{"at-limit", read(5*time.Minute + 10*time.Second)},
			{"just-over", read(5*time.Minute + 10*time.Second + 1)},
			{"old", read(100 * time.Hour)},
			{"ahead", read(-time.Minute)},
			{"too-far-ahead", read(-time.Minute - 1)},
		}},
		{"changes", []value{{"0", changes(0)}, {"1", changes(1)}, {"n", changes(12)}}},
		{"agents", []value{
			{"none", agents(0, 0, 0)},
			{"ok", agents(7, 0, 0)},
			{"one", agents(1, 0, 0)},
			{"pending", agents(7, 2, 0)},
			{"silent", agents(7, 0, 3)},
			{"both", agents(7, 2, 3)},
		}},
	}
	serving = []feature{
		{"tick", []value{ // the newest of any process; they are allowed 30 seconds
			{"never", func(*hedgerow.Facts) {}},
			{"lately", ticked(5 * time.Second)},
			{"at-limit", ticked(30 * time.Second)},
			{"long-ago", ticked(30*time.Second + 1)},
		}},
		{"alive", []value{ // of the processes; the follower is p1
			{"none", alive()},
			{"others", alive("p0")},
			{"follower", alive("p0", "p1")},
		}},
		{"next", []value{{"waiting", next(3 * time.Minute)}, {"now", next(0)}, {"late", next(-2 * time.Minute)}}},
		{"failures", []value{
			{"0", func(*hedgerow.Facts) {}},
			{"1", failures(1, 0, 0, "")},
			{"4", failures(4, 0, 0, "")},
			{"open", failures(5, 20*time.Minute, 0, "")},
			{"probed", failures(7, 20*time.Minute, 4*time.Minute, "connection refused.")},
		}},
		{"follow", []value{
			{"off", func(*hedgerow.Facts) {}},
			{"no-longer", follow(false, hedgerow.Following, "")},
			{"nobody", follow(true, hedgerow.NotFollowed, "")},
			{"starting", follow(true, hedgerow.Starting, "")},
			{"waiting", follow(true, hedgerow.Starting, "a pass is to read the fabric first.")},
			{"following", follow(true, hedgerow.Following, "")},
			{"broken", follow(true, hedgerow.Broken, "vpcs: the server answered 500.")},
			{"broken-silently", follow(true, hedgerow.Broken, "")},
		}},
	}
	products = [][]feature{
		slices.Concat(only(common, "running", "no|yes"), reading, only(serving, "tick", "lately", "alive", "follower", "next", "waiting", "failures", "0", "follow", "off")),
		slices.Concat(only(common, "running", "no|at-deadline|overdue"), only(reading, "repository", "no", "insecure", "no", "last", "complete|failed-401",
			"reading", "fresh|just-over", "changes", "0", "agents", "none"), serving),
	}
)

// only keeps of some features the values named, as "a|b", after their name.
func only(all []feature, names ...string) []feature {
	all = slices.Clone(all)
	for i := 0; i < len(names); i += 2 {
		j := slices.IndexFunc(all, func(f feature) bool { return f.name == names[i] })
		keep := strings.Split(names[i+1], "|")
		all[j].values = slices.DeleteFunc(slices.Clone(all[j].values), func(v value) bool { return !slices.Contains(keep, v.label) })
		if len(all[j].values) != len(keep) {
			panic(names[i] + " has not all of " + names[i+1])
		}
	}
	return all
}

func running(since time.Duration) func(*hedgerow.Facts) {
	return func(f *hedgerow.Facts) { f.Running = &hedgerow.Run{ID: 42, StartedAt: now.Add(-since)} }
}

func ticked(ago time.Duration) func(*hedgerow.Facts) {
	return func(f *hedgerow.Facts) { f.Service.TickedAt, f.Service.KeptAt = now.Add(-ago), now.Add(-ago) }
}

func alive(ids ...string) func(*hedgerow.Facts) {
	return func(f *hedgerow.Facts) { f.Service.Alive = ids }
}

func next(in time.Duration) func(*hedgerow.Facts) {
	return func(f *hedgerow.Facts) { f.Schedule.Next = now.Add(in) }
}

func failures(n int, open, probed time.Duration, why string) func(*hedgerow.Facts) {
	return func(f *hedgerow.Facts) {
		f.Schedule.Failures, f.Schedule.ProbeError = n, why
		if open > 0 {
			f.Schedule.OpenSince = now.Add(-open)
		}
		if probed > 0 {
			f.Schedule.ProbedAt = now.Add(-probed)
		}
	}
}

func follow(wanted bool, state hedgerow.FollowState, message string) func(*hedgerow.Facts) {
	return func(f *hedgerow.Facts) {
		f.Follow = hedgerow.FollowFacts{Wanted: wanted, State: state, Message: message, Since: now.Add(-8 * time.Second), Process: "p1"}
	}
}

// truth is the second implementation: for each aspect of a status the features
// that decide it, and rows of their values with what follows. "*" stands for
// any value, "a|b" for either, and the first row that fits holds.
var truth = map[string]string{
	"badge": `
		configured suspended running last     reading              interval repository changes
		no         *         *       *        *                    *        *          *       = Not configured
		yes        yes       *       *        *                    *        *          *       = Disabled
		yes        no        no      none     *                    *        *          *       = Never synced
		yes        no        no      complete none|too-far-ahead   *        *          *       = Stale
		yes        no        no      complete just-over|old        5m       *          *       = Stale
		yes        no        no      complete *                    *        yes        1|n     = Out of sync
		yes        no        no      complete *                    *        *          *       = In sync
		yes        no        no      *        *                    *        *          *       = Error
		yes        no        *       *        *                    *        *          *       = Syncing`,
	"connection": `
		configured last
		no         *                                          = none
		yes        none                                       = untried
		yes        complete                                   = ok
		yes        partial-forbidden|partial-500|failed-guard = degraded
		yes        interrupted                                = unknown
		yes        *                                          = failed`,
	"observation": `
		reading       interval
		none          *        = none
		too-far-ahead *        = stale
		just-over|old 5m       = stale
		*             *        = fresh`,
	"drift": `
		repository reading changes
		no         *       *       = none
		yes        none    *       = unknown
		yes        *       0       = clean
		yes        *       *       = open`,
	"health": `
		agents
		none        = unknown
		silent|both = bad
		pending     = pending
		*           = ok`,
	"schedule": `
		suspended interval configured alive tick           failures    next
		yes       *        *          *     *              *           *       = suspended
		*         manual   *          *     *              *           *       = manual
		*         *        no         *     *              *           *       = none
		*         *        *          none  *              *           *       = unkept
		*         *        *          *     never|long-ago *           *       = unkept
		*         *        *          *     *              open|probed *       = open
		*         *        *          *     *              1|4         *       = retrying
		*         *        *          *     *              *           waiting = waiting
		*         *        *          *     *              *           *       = due`,
	"follow": `
		configured suspended follow                 alive
		no         *         *                      *           = none
		*          yes       *                      *           = none
		*          *         off|no-longer          *           = off
		*          *         nobody                 *           = unkept
		*          *         *                      none|others = unkept
		*          *         following              *           = following
		*          *         starting|waiting       *           = starting
		*          *         broken|broken-silently *           = broken`,
	"stalled": `
		running last
		overdue *                                         = yes
		*       partial-forbidden|failed-401|failed-guard = yes
		*       *                                         = no`,
	"scheduled": `
		configured suspended interval alive tick
		no         *         *        *     *              = absent
		*          yes       *        *     *              = absent
		*          *         manual   *     *              = absent
		*          *         *        none  *              = no
		*          *         *        *     never|long-ago = no
		*          *         *        *     *              = yes`,
	"followed": `
		configured suspended follow        alive
		no         *         *             *           = absent
		*          yes       *             *           = absent
		*          *         off|no-longer *           = absent
		*          *         *             none|others = no
		*          *         following     *           = yes
		*          *         *             *           = no`,
}

// table is one aspect of truth, parsed.
type table struct {
	columns []string
	rows    []row
}

type row struct {
	cells [][]string // nil: any value
	then  string
}

func parseTruth(t *testing.T) map[string]table {
	t.Helper()
	tables := map[string]table{}
	for aspect, text := range truth {
		lines := strings.Split(strings.TrimSpace(text), "\n")
		tab := table{columns: strings.Fields(lines[0])}
		for _, l := range lines[1:] {
			when, then, _ := strings.Cut(l, " = ")
			r := row{then: strings.TrimSpace(then)}
			for _, c := range strings.Fields(when) {
				if c == "*" {
					r.cells = append(r.cells, nil)
					continue
				}
				r.cells = append(r.cells, strings.Split(c, "|"))
			}
			if len(r.cells) != len(tab.columns) {
				t.Fatalf("%s: %d cells for %d columns: %s", aspect, len(r.cells), len(tab.columns), l)
			}
			tab.rows = append(tab.rows, r)
		}
		tables[aspect] = tab
	}
	return tables
}

func (tab table) look(labels map[string]string) string {
	for _, r := range tab.rows {
		fits := true
		for i, c := range r.cells {
			fits = fits && (c == nil || slices.Contains(c, labels[tab.columns[i]]))
		}
		if fits {
			return r.then
		}
	}
	return "no row fits"
}

// combinations calls fn with every combination of facts.
func combinations(features []feature, fn func(labels map[string]string, f hedgerow.Facts)) {
	labels := map[string]string{}
	var next func(i int, f hedgerow.Facts)
	next = func(i int, f hedgerow.Facts) {
		if i == len(features) {
			fn(labels, f)
			return
		}
		for _, v := range features[i].values {
			labels[features[i].name] = v.label
			g := f
			v.set(&g)
			next(i+1, g)
		}
	}
	next(0, hedgerow.Facts{Objects: 48, Deadline: 12 * time.Minute})
}

func TestStatusOf(t *testing.T) {
	tables := parseTruth(t)
	seen := map[string]map[string]bool{}
	n, wrong := 0, 0
	judge := func(labels map[string]string, f hedgerow.Facts) {
		if wrong > 10 {
			return
		}
		n++
		s := hedgerow.StatusOf(f, now)
		got := map[string]string{
			"badge":       string(s.Badge),
			"connection":  s.Facets.Connection.State,
			"observation": s.Facets.Observation.State,
			"drift":       s.Facets.Drift.State,
			"health":      s.Facets.Health.State,
			"schedule":    s.Facets.Schedule.State,
			"follow":      s.Facets.Follow.State,
			"stalled":     condition(s, "Stalled"),
			"scheduled":   condition(s, "Scheduled"),
			"followed":    condition(s, "Followed"),
		}
		for aspect, state := range got {
			if want := tables[aspect].look(labels); state != want {
				wrong++
				t.Errorf("%v: %s is %q, the table says %q", labels, aspect, state, want)
			}
			if seen[aspect] == nil {
				seen[aspect] = map[string]bool{}
			}
			seen[aspect][state] = true
		}
		for _, problem := range slices.Concat(sentenceProblems(labels, f, s), servingProblems(labels, f, s), conditionProblems(labels, f, s)) {
			wrong++
			t.Errorf("%v: %s", labels, problem)
		}
	}
	for _, features := range products {
		combinations(features, judge)
	}
	t.Logf("%d combinations", n)
	for aspect, tab := range tables {
		for _, r := range tab.rows {
			if !seen[aspect][r.then] {
				t.Errorf("%s is never %q", aspect, r.then)
			}
		}
	}
}

// condition is "yes", "no" or "absent".
func condition(s hedgerow.Status, name string) string {
	for _, c := range s.Conditions {
		if c.Type == name {
			return map[bool]string{true: "yes", false: "no"}[c.Status]
		}
	}
	return "absent"
}
