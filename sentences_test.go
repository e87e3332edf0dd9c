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

func sentences(s hedgerow.Status) []string {
	fs := s.Facets
	all := []string{
		s.Sentence, fs.Connection.Sentence, fs.Observation.Sentence, fs.Drift.Sentence, fs.Health.Sentence, fs.Schedule.Sentence, fs.Follow.Sentence,
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
			fine = (strings.HasSuffix(text, ".") || strings.HasSuffix(text, "?")) && !badPunctuation.MatchString(text)
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
	if want := map[string]string{
		"yes":         "Run 42 has been reading the cluster for 7s.",
		"at-deadline": "Run 42 has been reading the cluster for 12m.",
		"overdue":     "Run 42 has been under way for 12m, though a pass may take 12m at most: its process hangs.",
	}[labels["running"]]; s.Badge == hedgerow.Syncing && s.Sentence != want {
		bad("sentence is %q", s.Sentence)
	}
	follows := labels["follow"] == "following" && !f.Suspended && labels["alive"] == "follower"
	more := map[bool]string{true: "; changes since then come in as they happen"}[follows]
	if want := map[string]string{
		"none":          "No complete reading exists.",
		"fresh":         "The last complete reading is 1m old" + more + ".",
		"ahead":         "The last complete reading is 0s old" + more + ".",
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
	return problems
}

// servingProblems does so for schedule and follower.
func servingProblems(labels map[string]string, f hedgerow.Facts, s hedgerow.Status) (problems []string) {
	next := func(what string) string {
		return map[string]string{"waiting": what + " in 3m", "now": what + " has been due for 0s", "late": what + " has been due for 2m"}[labels["next"]]
	}
	open := "The breaker has been open for 20m, after %d failed passes in a row: no pass is made before the cluster answers a probe, the " + next("next")
	tick, failed := labels["tick"], labels["failures"]
	if want := map[string]string{
		"suspended": "Suspended.",
		"manual":    "Observed on request only.",
		"none":      "There is nothing to read yet.",
		"unkept": "A reading is due every 5m, but " + map[string]string{
			"never":    "nothing keeps the schedule: start hedgerow serve.",
			"lately":   "nothing has kept the schedule for 5s: is hedgerow serve running, and can it write to the record?",
			"at-limit": "nothing has kept the schedule for 30s: is hedgerow serve running, and can it write to the record?",
			"long-ago": "nothing has kept the schedule for 30s: is hedgerow serve running, and can it write to the record?",
		}[tick],
		"open": map[string]string{
			"open":   fmt.Sprintf(open, 5) + ".",
			"probed": fmt.Sprintf(open, 7) + "; the last probe, 4m ago, found: connection refused.",
		}[failed],
		"retrying": "A reading is due every 5m, but " + map[string]string{
			"1": "the last pass failed", "4": "the last 4 passes failed",
		}[failed] + ": " + next("the next try") + ".",
		"waiting": "A reading is due every 5m: the next in 3m.",
		"due":     "A reading is due every 5m: " + next("the next") + ".",
	}[s.Facets.Schedule.State]; s.Facets.Schedule.Sentence != want {
		problems = append(problems, fmt.Sprintf("schedule is %q, want %q", s.Facets.Schedule.Sentence, want))
	}
	if want := map[string]string{
		"none":      "Nothing is observed.",
		"off":       "Changes are seen by passes only.",
		"unkept":    "Nobody follows the changes: they are seen by passes only.",
		"following": "Changes have been coming in as they happen for 8s.",
		"starting": map[string]string{
			"starting": "Not followed yet.", "waiting": "Not followed yet: a pass is to read the fabric first.",
		}[labels["follow"]],
		"broken": "Changes have not been coming in for 8s, and are seen by passes only" + map[string]string{
			"broken": ": vpcs: the server answered 500.", "broken-silently": ".",
		}[labels["follow"]],
	}[s.Facets.Follow.State]; s.Facets.Follow.Sentence != want {
		problems = append(problems, fmt.Sprintf("follow is %q, want %q", s.Facets.Follow.Sentence, want))
	}
	return problems
}

var camel = regexp.MustCompile(`^([A-Z][a-z]+)+$`)

func conditionProblems(labels map[string]string, f hedgerow.Facts, s hedgerow.Status) (problems []string) {
	bad := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	types := "Ready Reconciling Stalled"
	for _, c := range s.Conditions[min(3, len(s.Conditions)):] {
		types += " " + c.Type
		switch c.Type {
		case "Scheduled":
			if c.Message != s.Facets.Schedule.Sentence || !c.Status && !c.Since.Equal(f.Service.TickedAt) {
				bad("Scheduled is %+v", c)
			}
		case "Followed":
			if c.Message != s.Facets.Follow.Sentence || !c.Since.Equal(f.Follow.Since) {
				bad("Followed is %+v", c)
			}
		}
	}
	if want := []string{
		"Ready Reconciling Stalled", "Ready Reconciling Stalled Scheduled", "Ready Reconciling Stalled Followed", "Ready Reconciling Stalled Scheduled Followed",
	}; !slices.Contains(want, types) || len(s.Conditions) < 3 {
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
	if labels["running"] == "overdue" {
		if stalled.Reason != "RunOverdue" || !stalled.Since.Equal(now.Add(-1)) {
			bad("Stalled of an overdue run is %+v", stalled)
		}
	} else if stalled.Status && (ready.Status || f.Last == nil || f.Last.Outcome == hedgerow.RunComplete) {
		bad("Stalled with the badge %q", s.Badge)
	}
	return problems
}

// Each problem of those who serve is a condition of every fabric.
func TestDegraded(t *testing.T) {
	problems := []hedgerow.Problem{
		{Reason: "DiskFull", Message: "only 3 MiB are free", Since: now.Add(-time.Hour)},
		{Reason: "ClockJumped", Message: "it jumped", Since: now.Add(-time.Minute)},
	}
	var got []hedgerow.Condition
	for _, c := range hedgerow.StatusOf(hedgerow.Facts{Service: hedgerow.ServiceFacts{Problems: problems}}, now).Conditions {
		if c.Type == "Degraded" {
			got = append(got, c)
		}
	}
	want := []hedgerow.Condition{
		{Type: "Degraded", Status: true, Reason: "DiskFull", Message: "only 3 MiB are free", Since: now.Add(-time.Hour)},
		{Type: "Degraded", Status: true, Reason: "ClockJumped", Message: "it jumped", Since: now.Add(-time.Minute)},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
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
