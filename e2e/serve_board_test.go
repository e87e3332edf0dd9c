package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hedgerow/e2e/lab"
	"hedgerow/e2e/wire"
)

// standing is how a fabric stands, as status -o json tells.
type standing struct {
	Fabric, Badge, Sentence string
	Facets                  map[string]struct{ State, Sentence string }
	Conditions              []conditionDoc
	Objects                 int
	Version                 int64
	LastComplete            *time.Time
	ProofAge                *float64 `json:"proofAgeSeconds"`
	Kinds                   []struct {
		Plural, Verdict, Message string
		Objects                  int
		ProvenAt                 *time.Time
		ProofAge                 *float64 `json:"proofAgeSeconds"`
	}
}

type conditionDoc struct {
	Type            string
	Status          bool
	Reason, Message string
	Since           time.Time
}

// board looks at the status of an installation all the time. Of every look it
// demands that it does not contradict itself or the clock; tests wait on it for
// what they want to see.
type board struct {
	*lab.Hedgerow
	t *testing.T

	mu   sync.Mutex
	now  map[string]standing
	n    int           // looks so far
	next chan struct{} // closed at the next look
	stop func()        // ends the looking
}

// glance is the time between two looks.
const glance = 250 * time.Millisecond

func watchBoard(t *testing.T, h *lab.Hedgerow) *board {
	t.Helper()
	b := &board{Hedgerow: h, t: t, next: make(chan struct{})}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(glance)
		defer tick.Stop()
		for {
			b.look(ctx)
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	b.stop = func() {
		stop()
		<-done
	}
	t.Cleanup(b.stop)
	return b
}

func (b *board) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd := b.Command(ctx, b.t, "status", "-o", "json")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	before := time.Now()
	err := cmd.Run()
	after := time.Now()
	if ctx.Err() == context.Canceled {
		return
	}
	var all []standing
	if err == nil {
		err = json.Unmarshal(out.Bytes(), &all)
	}
	if err != nil {
		b.t.Errorf("status -o json: %v\n%s", err, &errs)
		return
	}
	now := map[string]standing{}
	for _, s := range all {
		now[s.Fabric] = s
		if wrong := s.contradictions(before, after); len(wrong) > 0 {
			b.t.Errorf("the status of %s contradicts itself or the clock:\n%s\n%s", s.Fabric, strings.Join(wrong, "\n"), s)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now, b.n = now, b.n+1
	close(b.next)
	b.next = make(chan struct{})
}

// see returns how a fabric stands, the number of the look, and what is closed
// at the next.
func (b *board) see(fabric string) (standing, int, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now[fabric], b.n, b.next
}

// want is how a fabric should stand. Sentences are told with their numbers
// taken out, see told; what is not named is not looked at.
type want struct {
	badge, sentence string
	facets          map[string]string // state, or "state: sentence"
	conditions      map[string]string // "+Reason" when true, "-Reason" when false, "" when absent
	objects         int               // 0: any
	also            func(standing) string
	then            func() // what to do at once when it does
}

var (
	hosts  = regexp.MustCompile(`127\.0\.0\.1:\d+`)
	runs   = regexp.MustCompile(`\bRun \d+\b`)
	ages   = regexp.MustCompile(`\b\d+[smhd](\d+[smh])?\b`)
	within = regexp.MustCompile(`\b(every|interval of|at most|for over) \d+[smhd](\d+[smh])?\b`)
	fails  = regexp.MustCompile(`\bthe last (pass|\d+ passes) failed\b`)
	dates  = regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d UTC`)
)

// told is a sentence without what differs from time to time: hosts, numbers of
// runs, dates and ages. The interval stays.
func told(s string) string {
	// How many failed depends on how quick the machine is.
	s = fails.ReplaceAllString(s, "the last pass failed")
	s = within.ReplaceAllStringFunc(s, func(m string) string { return strings.Replace(m, "30s", "HALF", 1) })
	s = ages.ReplaceAllString(dates.ReplaceAllString(runs.ReplaceAllString(hosts.ReplaceAllString(s, "HOST"), "Run N"), "DATE"), "AGE")
	return strings.ReplaceAll(s, "HALF", "30s")
}

func (w want) differs(s standing) (wrong []string) {
	if s.Fabric == "" {
		return []string{"status does not tell of it"}
	}
	if s.Badge != w.badge {
		wrong = append(wrong, fmt.Sprintf("badge %q, want %q", s.Badge, w.badge))
	}
	if w.sentence != "" && told(s.Sentence) != w.sentence {
		wrong = append(wrong, fmt.Sprintf("sentence\n  %q, want\n  %q", told(s.Sentence), w.sentence))
	}
	if w.objects != 0 && s.Objects != w.objects {
		wrong = append(wrong, fmt.Sprintf("%d objects, want %d", s.Objects, w.objects))
	}
	for _, name := range slices.Sorted(maps.Keys(w.facets)) {
		f := s.Facets[name]
		got := f.State
		if strings.Contains(w.facets[name], ": ") {
			got += ": " + told(f.Sentence)
		}
		if got != w.facets[name] {
			wrong = append(wrong, fmt.Sprintf("facet %s\n  %q, want\n  %q", name, got, w.facets[name]))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(w.conditions)) {
		got := ""
		for _, c := range s.Conditions {
			if c.Type == name {
				got = map[bool]string{true: "+", false: "-"}[c.Status] + c.Reason
			}
		}
		if got != w.conditions[name] {
			wrong = append(wrong, fmt.Sprintf("condition %s %q, want %q", name, got, w.conditions[name]))
		}
	}
	if w.also != nil {
		if what := w.also(s); what != "" {
			wrong = append(wrong, what)
		}
	}
	return wrong
}

// await waits until a fabric stands as wanted.
func (b *board) await(t *testing.T, fabric string, limit time.Duration, w want) standing {
	t.Helper()
	return b.awaitAll(t, limit, map[string]want{fabric: w})[fabric]
}

// awaitAll waits until each of several fabrics has stood as wanted, and
// returns how it did.
func (b *board) awaitAll(t *testing.T, limit time.Duration, all map[string]want) map[string]standing {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	begun := time.Now()
	_, first, _ := b.see("")
	stood := map[string]standing{}
	for {
		var missing strings.Builder
		var next <-chan struct{}
		for _, fabric := range slices.Sorted(maps.Keys(all)) {
			if _, ok := stood[fabric]; ok {
				continue
			}
			var s standing
			var n int
			s, n, next = b.see(fabric)
			wrong := all[fabric].differs(s)
			// A look that was under way at the call may tell of before it.
			if n >= first+2 && len(wrong) == 0 {
				t.Logf("%5.1fs %s: %s. %s", time.Since(begun).Seconds(), fabric, s.Badge, s.Sentence)
				if stood[fabric] = s; all[fabric].then != nil {
					all[fabric].then()
				}
				continue
			}
			fmt.Fprintf(&missing, "%s:\n%s\n%s\n", fabric, strings.Join(wrong, "\n"), s)
		}
		if len(stood) == len(all) {
			return stood
		}
		select {
		case <-next:
		case <-ctx.Done():
			t.Fatalf("not as it should be after %s:\n%s", limit, missing.String())
		}
	}
}

func (s standing) String() string {
	b, _ := json.MarshalIndent(struct {
		Badge, Sentence string
		Facets          any
		Conditions      any
		Objects         int
		LastComplete    *time.Time
		ProofAge        *float64
	}{s.Badge, s.Sentence, s.Facets, s.Conditions, s.Objects, s.LastComplete, s.ProofAge}, "", " ")
	return string(b)
}

// contradictions are what no status may say of itself, whatever happens: told
// by a command that ran between two moments.
func (s standing) contradictions(before, after time.Time) (wrong []string) {
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if s.Sentence == "" {
		say("no sentence")
	}
	aged := func(what string, at *time.Time, age *float64) {
		switch {
		case (at == nil) != (age == nil):
			say("%s: a time without an age, or an age without a time", what)
		case at == nil:
		case at.After(after):
			say("%s: %s is to come", what, at)
		default:
			const slack = 5 * time.Millisecond // the record counts microseconds
			got := time.Duration(*age * float64(time.Second))
			if got < before.Sub(*at)-slack || got > after.Sub(*at)+slack {
				say("%s: %s old, but it is %s to %s", what, got, before.Sub(*at), after.Sub(*at))
			}
		}
	}
	aged("proof", s.LastComplete, s.ProofAge)
	for _, k := range s.Kinds {
		aged(k.Plural, k.ProvenAt, k.ProofAge)
		if s.LastComplete != nil && k.Verdict == "complete" && k.ProvenAt.Before(*s.LastComplete) {
			say("%s is complete, but proven before the last complete run", k.Plural)
		}
	}
	age := func() float64 {
		if s.ProofAge == nil {
			return -1
		}
		return *s.ProofAge
	}()
	manual := s.Facets["schedule"].State == "manual"
	switch s.Badge {
	case "In sync":
		if age < 0 || !manual && age > 40 {
			say("in sync by a proof that is %.1f s old", age)
		}
		if f := s.Facets; f["connection"].State != "ok" || f["observation"].State != "fresh" {
			say("in sync, with connection %s and observation %s", f["connection"].State, f["observation"].State)
		}
		for _, k := range s.Kinds {
			if k.Verdict != "complete" && k.Objects > 0 {
				say("in sync, but %s is %s", k.Plural, k.Verdict)
			}
		}
	case "Stale":
		if age >= 0 && age < 39.9 {
			say("stale by a proof that is %.1f s old", age)
		}
	case "Never synced":
		if age >= 0 || s.Objects > 0 {
			say("never synced, with %d objects", s.Objects)
		}
	}
	cond := map[string]conditionDoc{}
	for _, c := range s.Conditions {
		cond[c.Type] = c
		if c.Reason == "" || c.Message == "" || strings.ContainsAny(c.Reason, " -") {
			say("condition %s: reason %q, message %q", c.Type, c.Reason, c.Message)
		}
		if c.Since.After(after) {
			say("condition %s since %s, which is to come", c.Type, c.Since)
		}
	}
	if got := cond["Ready"].Status; got != (s.Badge == "In sync" || s.Badge == "Out of sync") {
		say("ready is %v", got)
	}
	if (s.Badge == "Syncing") && !cond["Reconciling"].Status {
		say("syncing, but not reconciling")
	}
	if c, ok := cond["Followed"]; ok && c.Status != (s.Facets["follow"].State == "following") {
		say("followed is %v, the facet says %s", c.Status, s.Facets["follow"].State)
	}
	if c, ok := cond["Scheduled"]; ok && c.Status == (s.Facets["schedule"].State == "unkept") {
		say("scheduled is %v, the facet says %s", c.Status, s.Facets["schedule"].State)
	}
	return wrong
}

// behind adds a fabric behind a proxy of its own.
func (b *board) behind(t *testing.T, name string, kubeconfig string, flags ...string) *wire.Proxy {
	t.Helper()
	p := wire.New(t, kubeconfig)
	b.OK(t, slices.Concat([]string{"fabric", "add", name, "--kubeconfig", p.Kubeconfig(""), "--interval", "30s"}, quick, flags)...)
	return p
}

// hold keeps requests until a channel is closed.
func hold(until <-chan struct{}) wire.Action {
	return func(x *wire.Exchange) {
		select {
		case <-until:
			x.Forward()
		case <-x.Request.Context().Done():
		}
	}
}
