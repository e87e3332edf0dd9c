package hedgerow_test

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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

var features = []feature{
	yesNo("configured", func(f *hedgerow.Facts) { f.Configured = true }),
	yesNo("repository", func(f *hedgerow.Facts) { f.Repository = true }),
	yesNo("suspended", func(f *hedgerow.Facts) { f.Suspended = true }),
	yesNo("insecure", func(f *hedgerow.Facts) { f.Insecure = true }),
	yesNo("running", func(f *hedgerow.Facts) {
		f.Running = &hedgerow.Run{ID: 42, StartedAt: now.Add(-7 * time.Second)}
	}),
	{"interval", []value{
		{"manual", func(f *hedgerow.Facts) { f.Interval = hedgerow.Manual }},
		{"5m", func(f *hedgerow.Facts) { f.Interval = 5 * time.Minute }},
	}},
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
	{"began", []value{ // the last run, if there is one
		{"recently", func(f *hedgerow.Facts) { began(f, -2*time.Minute) }},
		{"long-ago", func(f *hedgerow.Facts) { began(f, -10*time.Minute) }},
	}},
	{"reading", []value{ // the last complete one
		{"none", func(*hedgerow.Facts) {}},
		{"fresh", read(time.Minute)},
		{"at-limit", read(5 * time.Minute)},
		{"just-over", read(5*time.Minute + 1)},
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

func began(f *hedgerow.Facts, ago time.Duration) {
	if f.Last != nil {
		f.Last.StartedAt = now.Add(ago)
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
		yes        no        yes     *        *                    *        *          *       = Syncing
		yes        no        no      none     *                    *        *          *       = Never synced
		yes        no        no      complete none|too-far-ahead   *        *          *       = Stale
		yes        no        no      complete just-over|old        5m       *          *       = Stale
		yes        no        no      complete *                    *        yes        1|n     = Out of sync
		yes        no        no      complete *                    *        *          *       = In sync
		yes        no        no      *        *                    *        *          *       = Error`,
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
		suspended interval last began
		yes       *        *    *        = suspended
		*         manual   *    *        = manual
		*         5m       none *        = due
		*         5m       *    long-ago = due
		*         5m       *    *        = waiting`,
	"stalled": `
		last
		partial-forbidden|failed-401|failed-guard = yes
		*                                         = no`,
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
func combinations(fn func(labels map[string]string, f hedgerow.Facts)) {
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
			if f.Last != nil {
				last := *f.Last
				g.Last = &last
			}
			v.set(&g)
			next(i+1, g)
		}
	}
	next(0, hedgerow.Facts{Objects: 48})
}

func TestStatusOf(t *testing.T) {
	tables := parseTruth(t)
	seen := map[string]map[string]bool{}
	n, wrong := 0, 0
	combinations(func(labels map[string]string, f hedgerow.Facts) {
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
			"stalled":     map[bool]string{true: "yes", false: "no"}[s.Conditions[2].Status],
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
		for _, problem := range append(sentenceProblems(labels, f, s), conditionProblems(f, s)...) {
			wrong++
			t.Errorf("%v: %s", labels, problem)
		}
	})
	t.Logf("%d combinations", n)
	for aspect, tab := range tables {
		for _, r := range tab.rows {
			if !seen[aspect][r.then] {
				t.Errorf("%s is never %q", aspect, r.then)
			}
		}
	}
}

func sentences(s hedgerow.Status) []string {
	fs := s.Facets
	all := []string{
		s.Sentence, fs.Connection.Sentence, fs.Observation.Sentence, fs.Drift.Sentence, fs.Health.Sentence, fs.Schedule.Sentence,
	}
	for _, c := range s.Conditions {
		all = append(all, c.Message)
	}
	return all
}

// wellFormed remembers what was found about a sentence: there are few of them.
var wellFormed = map[string]bool{}

var badPunctuation = regexp.MustCompile(`\.\.|: ?\.|  |%!|^\s|\s$`)

// sentenceProblems holds what is said against the facts themselves.
func sentenceProblems(labels map[string]string, f hedgerow.Facts, s hedgerow.Status) (problems []string) {
	bad := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	for _, text := range sentences(s) {
		fine, known := wellFormed[text]
		if !known {
			fine = strings.HasSuffix(text, ".") && !badPunctuation.MatchString(text)
			wellFormed[text] = fine
		}
		if !fine {
			bad("not a sentence: %q", text)
		}
	}
	says := func(name, text, part string, want bool) {
		if strings.Contains(text, part) != want {
			bad("%s %q: has %q is %t, want %t", name, text, part, !want, want)
		}
	}
	believable := f.Last != nil && f.Last.Outcome == hedgerow.RunComplete &&
		(labels["reading"] == "fresh" || labels["reading"] == "at-limit" || labels["reading"] == "ahead" ||
			f.Interval < 0 && labels["reading"] != "none" && labels["reading"] != "too-far-ahead")
	if s.Badge == hedgerow.InSync && !believable {
		bad("says In sync without a complete fresh run")
	}
	if s.Badge == hedgerow.InSync {
		says("sentence", s.Sentence, "48 objects read from the cluster ", true)
	}
	says("drift", s.Facets.Drift.Sentence, "agree", f.Repository && !f.LastComplete.IsZero() && f.OpenChanges == 0)
	says("sentence", s.Sentence, "agree", s.Badge == hedgerow.InSync && f.Repository)
	if s.Facets.Drift.State == "open" {
		says("drift", s.Facets.Drift.Sentence, map[int]string{1: "1 open change ", 12: "12 open changes "}[f.OpenChanges], true)
	}
	says("connection", s.Facets.Connection.Sentence, "NOT verified", f.Configured && f.Insecure)
	if f.Last != nil && f.Last.Outcome != hedgerow.RunComplete && f.Configured {
		says("connection", s.Facets.Connection.Sentence, "Run 41 ", true)
		says("connection", s.Facets.Connection.Sentence, strings.TrimSuffix(f.Last.Message, "."), true)
	}
	if s.Badge == hedgerow.Syncing && s.Sentence != "Run 42 has been reading the cluster for 7s." {
		bad("sentence is %q", s.Sentence)
	}
	if want := map[string]string{
		"none":          "No complete reading exists.",
		"fresh":         "The last complete reading is 1m old.",
		"ahead":         "The last complete reading is 0s old.",
		"too-far-ahead": "The last complete reading is dated 1m in the future: a clock jumped, so its age is unknown.",
	}[labels["reading"]]; want != "" && s.Facets.Observation.Sentence != want {
		bad("observation is %q", s.Facets.Observation.Sentence)
	}
	if labels["reading"] == "old" {
		says("observation", s.Facets.Observation.Sentence, "4d4h old", true)
		says("observation", s.Facets.Observation.Sentence, "interval of 5m", f.Interval > 0)
	}
	if want := map[string]string{
		"none":    "No switch agent has been read.",
		"ok":      "7 switch agents ready when last read.",
		"one":     "1 switch agent ready when last read.",
		"pending": "5 of 7 switch agents ready; 2 still applying, when last read.",
		"silent":  "4 of 7 switch agents ready; 3 silent for over 3m, 0 still applying, when last read.",
		"both":    "2 of 7 switch agents ready; 3 silent for over 3m, 2 still applying, when last read.",
	}[labels["agents"]]; s.Facets.Health.Sentence != want {
		bad("health is %q", s.Facets.Health.Sentence)
	}
	if s.Facets.Schedule.State == "waiting" && s.Facets.Schedule.Sentence != "A reading is due every 5m, on request: the next in 3m." {
		bad("schedule is %q", s.Facets.Schedule.Sentence)
	}
	return problems
}

var camel = regexp.MustCompile(`^([A-Z][a-z]+)+$`)

func conditionProblems(f hedgerow.Facts, s hedgerow.Status) (problems []string) {
	bad := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if len(s.Conditions) != 3 || s.Conditions[0].Type != "Ready" || s.Conditions[1].Type != "Reconciling" || s.Conditions[2].Type != "Stalled" {
		bad("conditions are %v", s.Conditions)
		return problems
	}
	ready, reconciling, stalled := s.Conditions[0], s.Conditions[1], s.Conditions[2]
	for _, c := range s.Conditions {
		if !camel.MatchString(c.Reason) {
			bad("%s has the reason %q, not a CamelCase word", c.Type, c.Reason)
		}
	}
	if want := map[hedgerow.Badge]string{
		hedgerow.NotConfigured: "NotConfigured", hedgerow.Disabled: "Disabled", hedgerow.Syncing: "Syncing",
		hedgerow.NeverSynced: "NeverSynced", hedgerow.ErrorBadge: "Error", hedgerow.Stale: "Stale",
		hedgerow.OutOfSync: "OutOfSync", hedgerow.InSync: "InSync",
	}[s.Badge]; ready.Reason != want {
		bad("Ready has the reason %q with the badge %q", ready.Reason, s.Badge)
	}
	if ready.Status != (s.Badge == hedgerow.InSync || s.Badge == hedgerow.OutOfSync) || ready.Message != s.Sentence {
		bad("Ready is %t (%s) with the badge %q", ready.Status, ready.Message, s.Badge)
	}
	if reconciling.Status != (f.Running != nil) || s.Badge == hedgerow.Syncing && !reconciling.Status {
		bad("Reconciling is %t with the badge %q", reconciling.Status, s.Badge)
	}
	if stalled.Status && (ready.Status || f.Last == nil || f.Last.Outcome == hedgerow.RunComplete) {
		bad("Stalled with the badge %q", s.Badge)
	}
	return problems
}

// Of every code it is decided whether waiting helps.
func TestStalledByCode(t *testing.T) {
	got := map[string]bool{}
	for _, c := range codes {
		s := hedgerow.StatusOf(hedgerow.Facts{
			Configured: true,
			Last:       &hedgerow.Run{ID: 1, Outcome: hedgerow.RunFailed, Code: c, Message: "it broke", FinishedAt: now},
		}, now)
		if st := s.Conditions[2]; st.Status {
			got[st.Reason] = true
			if !st.Since.Equal(now) || st.Message != "Run 1 failed: it broke." {
				t.Errorf("%s: %+v", c, st)
			}
		}
	}
	want := []string{
		"Dns", "Forbidden", "Invalid", "Key", "NotServed", "Tls", "TlsAuthority", "TlsExpired", "TlsName",
		"Unauthenticated", "WouldDelete",
	}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(got))); diff != "" {
		t.Errorf("reasons that wait for a person (-want +got):\n%s", diff)
	}
}

func TestScheduleSentences(t *testing.T) {
	for _, tc := range []struct {
		began time.Duration
		want  string
	}{
		{-time.Minute, "A reading is due every 5m, on request: the next in 4m."},
		{-5 * time.Minute, "A reading is due every 5m, on request: the next has been due for 0s."},
		{-7 * time.Minute, "A reading is due every 5m, on request: the next has been due for 2m."},
	} {
		f := hedgerow.Facts{Configured: true, Interval: 5 * time.Minute, Last: &hedgerow.Run{StartedAt: now.Add(tc.began)}}
		if diff := cmp.Diff(tc.want, hedgerow.StatusOf(f, now).Facets.Schedule.Sentence); diff != "" {
			t.Errorf("a run that began %s ago (-want +got):\n%s", -tc.began, diff)
		}
	}
}

func TestAge(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Hour:                          "0s",
		0:                                   "0s",
		499 * time.Millisecond:              "0s",
		500 * time.Millisecond:              "1s",
		59 * time.Second:                    "59s",
		59*time.Second + 600e6:              "1m",
		time.Minute:                         "1m",
		3*time.Minute + 40*time.Second:      "3m40s",
		59*time.Minute + 59*time.Second:     "59m59s",
		time.Hour:                           "1h",
		2*time.Hour + 5*time.Minute:         "2h5m",
		2*time.Hour + 59*time.Second:        "2h",
		24*time.Hour - time.Millisecond:     "1d",
		148*time.Hour + 30*time.Minute:      "6d4h",
		400 * 24 * time.Hour:                "400d",
		time.Duration(1<<63 - 1):            "106751d23h",
		-time.Duration(1<<63-1) - 1:         "0s",
		hedgerow.SilentAfter:                "3m",
		23*time.Hour + 59*time.Minute + 1e9: "23h59m",
	} {
		if diff := cmp.Diff(want, hedgerow.Age(d)); diff != "" {
			t.Errorf("%d (-want +got):\n%s", d, diff)
		}
	}
}

func TestCount(t *testing.T) {
	for n, want := range map[int]string{0: "0 objects", 1: "1 object", 2: "2 objects", 100000: "100000 objects"} {
		if got := hedgerow.Count(n, "object"); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}
