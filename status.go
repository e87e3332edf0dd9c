package hedgerow

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Badge is the one word for the state of a fabric.
type Badge string

// The badges, in the order in which StatusOf prefers them.
const (
	NotConfigured Badge = "Not configured"
	Disabled      Badge = "Disabled"
	Syncing       Badge = "Syncing"
	NeverSynced   Badge = "Never synced"
	ErrorBadge    Badge = "Error"
	Stale         Badge = "Stale"
	OutOfSync     Badge = "Out of sync"
	InSync        Badge = "In sync"
)

// Facts are what the record proves about a fabric; nothing in them is derived.
type Facts struct {
	Configured bool // a cluster is set
	Repository bool // a repository is set
	Suspended  bool
	Insecure   bool          // the connection is not encrypted, or the certificate not verified
	Interval   time.Duration // Manual: no schedule
	Running    *Run          // the run under way, nil when there is none
	Last       *Run          // the newest run that ended, with its evidence
	// LastComplete is when the newest complete run ended, zero when none did.
	LastComplete time.Time
	Objects      int // objects present in the record, of the kinds observed
	OpenChanges  int // differences between Git and cluster
	Agents       AgentFacts
	// Deadline is how long a run may take before it counts as stuck.
	Deadline time.Duration
	Schedule Schedule
	Follow   FollowFacts
	Service  ServiceFacts
}

// AgentFacts count the switch agents in the record, as last seen.
type AgentFacts struct {
	Total   int
	Pending int // last applied generation is not the wanted one
	// Silent agents had, when last read, not been heard of for longer than
	// SilentAfter.
	Silent int
}

// SilentAfter is the age of a heartbeat above which an agent counts as
// silent. Agents beat every 15 s; the vendor's documents call less than 60 s
// normal, and 180 s critical.
const SilentAfter = 180 * time.Second

// clockTolerance is how far ahead of us a proof may lie before we stop
// believing in either clock.
const clockTolerance = time.Minute

// Status is what StatusOf derives from facts.
type Status struct {
	Badge      Badge       `json:"badge"`
	Sentence   string      `json:"sentence"`
	Facets     Facets      `json:"facets"`
	Conditions []Condition `json:"conditions"`
}

// RunOverdue is the reason of Stalled while a pass takes longer than it may.
const RunOverdue = "RunOverdue"

// Condition returns the condition of a type, the zero value when there is none.
func (s Status) Condition(typ string) Condition {
	for _, c := range s.Conditions {
		if c.Type == typ {
			return c
		}
	}
	return Condition{}
}

// Facets keep apart what one badge would blur.
type Facets struct {
	Connection  Facet `json:"connection"`
	Observation Facet `json:"observation"`
	Drift       Facet `json:"drift"`
	Health      Facet `json:"health"`
	Schedule    Facet `json:"schedule"`
	Follow      Facet `json:"follow"`
}

// Facet is one aspect of a fabric's state: a word of a small set, and a
// sentence.
type Facet struct {
	State    string `json:"state"`
	Sentence string `json:"sentence"`
}

// Condition is one of Ready, Reconciling and Stalled, as Flux and Kubernetes
// use the words; or Scheduled (somebody keeps the schedule), Followed (changes
// come in between passes), or Degraded (a process that does so has a problem).
type Condition struct {
	Type    string    `json:"type"`
	Status  bool      `json:"status"`
	Reason  string    `json:"reason"`
	Message string    `json:"message"`
	Since   time.Time `json:"since,omitzero"`
}

// StatusOf is the only place that turns facts into a badge and a sentence.
//
// In sync means: the newest pass was complete, it ended within the interval
// and the Lateness allowed (ever, for a fabric without schedule), and no change
// is open. A failed,
// partial or interrupted newest run is an Error, also when it was the first.
func StatusOf(f Facts, now time.Time) Status {
	s := Status{Facets: Facets{
		Connection:  connection(f),
		Observation: observation(f, now),
		Drift:       drift(f),
		Health:      health(f),
		Schedule:    schedule(f, now),
		Follow:      follow(f, now),
	}}
	switch {
	case !f.Configured:
		s.Badge, s.Sentence = NotConfigured, "No cluster is configured."
	case f.Suspended:
		s.Badge, s.Sentence = Disabled, "Suspended: nothing is observed until it is resumed."
	case f.Running != nil:
		s.Badge = Syncing
		s.Sentence = fmt.Sprintf("Run %d has been reading the cluster for %s.", f.Running.ID, Age(now.Sub(f.Running.StartedAt)))
		if overdue(f, now) {
			s.Sentence = stuck(f, now)
		}
	case f.Last == nil:
		s.Badge, s.Sentence = NeverSynced, "Nothing is known yet: no run has read the cluster."
	case f.Last.Outcome != RunComplete:
		s.Badge, s.Sentence = ErrorBadge, failure(*f.Last)
	case stale(f, now):
		s.Badge, s.Sentence = Stale, s.Facets.Observation.Sentence
	case f.Repository && f.OpenChanges > 0:
		s.Badge, s.Sentence = OutOfSync, s.Facets.Drift.Sentence
	default:
		s.Badge = InSync
		s.Sentence = fmt.Sprintf("%s read from the cluster %s ago.", Count(f.Objects, "object"), Age(now.Sub(f.LastComplete)))
		if f.Repository {
			s.Sentence += " Git and cluster agree."
		}
	}
	s.Conditions = conditions(f, s, now)
	return s
}

// overdue reports whether the run under way has passed its deadline.
func overdue(f Facts, now time.Time) bool {
	return f.Running != nil && f.Deadline > 0 && now.Sub(f.Running.StartedAt) > f.Deadline
}

func stuck(f Facts, now time.Time) string {
	return fmt.Sprintf("Run %d has been under way for %s, though a pass may take %s at most: its process hangs.", f.Running.ID, Age(now.Sub(f.Running.StartedAt)), Age(f.Deadline))
}

func stale(f Facts, now time.Time) bool {
	if f.LastComplete.IsZero() {
		return true // a complete run whose reading is not in the record proves nothing
	}
	age := now.Sub(f.LastComplete)
	return age < -clockTolerance || f.Interval > 0 && age > f.Interval+Lateness
}

func failure(r Run) string {
	what := "failed"
	switch r.Outcome {
	case RunPartial:
		what = "could read only a part"
	case Interrupted:
		what = "was interrupted"
	}
	if r.Message != "" {
		what += ": " + r.Message
	}
	return fmt.Sprintf("Run %d %s", r.ID, ended(what))
}

// ended puts a full stop after a sentence that has no mark of its own.
func ended(s string) string {
	s = strings.TrimRight(s, ". \n")
	if strings.HasSuffix(s, "?") || strings.HasSuffix(s, "!") {
		return s
	}
	return s + "."
}

func connection(f Facts) Facet {
	switch {
	case !f.Configured:
		return Facet{"none", "No cluster is configured."}
	case f.Last == nil:
		return withTrust(f, Facet{"untried", "The cluster has not been contacted yet."})
	case f.Last.Outcome == RunComplete:
		return withTrust(f, Facet{"ok", "Every kind was read in the last run."})
	case f.Last.Outcome == RunPartial || f.Last.Code == CodeGuard:
		return withTrust(f, Facet{"degraded", failure(*f.Last)})
	case f.Last.Outcome == Interrupted:
		return withTrust(f, Facet{"unknown", failure(*f.Last)})
	default:
		return withTrust(f, Facet{"failed", failure(*f.Last)})
	}
}

func withTrust(f Facts, c Facet) Facet {
	if f.Insecure {
		c.Sentence += " The server is NOT verified: no TLS, or a certificate that is not checked."
	}
	return c
}

func observation(f Facts, now time.Time) Facet {
	if f.LastComplete.IsZero() {
		return Facet{"none", "No complete reading exists."}
	}
	age := now.Sub(f.LastComplete)
	switch {
	case age < -clockTolerance:
		return Facet{"stale", fmt.Sprintf("The last complete reading is dated %s in the future: a clock jumped, so its age is unknown.", Age(-age))}
	case f.Interval > 0 && age > f.Interval+Lateness:
		return Facet{"stale", fmt.Sprintf("The last complete reading is %s old, older than the interval of %s.", Age(age), Age(f.Interval))}
	case followed(f):
		return Facet{"fresh", fmt.Sprintf("The last complete reading is %s old; changes since then come in as they happen.", Age(age))}
	default:
		return Facet{"fresh", fmt.Sprintf("The last complete reading is %s old.", Age(age))}
	}
}

func drift(f Facts) Facet {
	switch {
	case !f.Repository:
		return Facet{"none", "No repository is configured, so there is nothing to compare with."}
	case f.LastComplete.IsZero():
		return Facet{"unknown", "Nothing to compare with Git yet: no complete reading exists."}
	case f.OpenChanges > 0:
		return Facet{"open", fmt.Sprintf("%s between Git and cluster.", Count(f.OpenChanges, "open change"))}
	default:
		return Facet{"clean", "Git and cluster agree as of the last reading."}
	}
}

func health(f Facts) Facet {
	a := f.Agents
	ready := a.Total - a.Pending - a.Silent
	switch {
	case a.Total == 0:
		return Facet{"unknown", "No switch agent has been read."}
	case a.Silent > 0:
		return Facet{"bad", fmt.Sprintf("%d of %s ready; %d silent for over %s, %d still applying, when last read.", ready, Count(a.Total, "switch agent"), a.Silent, Age(SilentAfter), a.Pending)}
	case a.Pending > 0:
		return Facet{"pending", fmt.Sprintf("%d of %s ready; %d still applying, when last read.", ready, Count(a.Total, "switch agent"), a.Pending)}
	default:
		return Facet{"ok", fmt.Sprintf("%s ready when last read.", Count(a.Total, "switch agent"))}
	}
}

func schedule(f Facts, now time.Time) Facet {
	every := fmt.Sprintf("A reading is due every %s", Age(f.Interval))
	switch {
	case f.Suspended:
		return Facet{"suspended", "Suspended."}
	case f.Interval <= 0:
		return Facet{"manual", "Observed on request only."}
	case !f.Configured:
		return Facet{"none", "There is nothing to read yet."}
	case !kept(f, now):
		return Facet{"unkept", every + ", but " + unkept(f, now)}
	case !f.Schedule.OpenSince.IsZero():
		s := fmt.Sprintf("The breaker has been open for %s, after %d failed passes in a row: no pass is made before the cluster answers a probe, the ", Age(now.Sub(f.Schedule.OpenSince)), f.Schedule.Failures) + until("next", f.Schedule.Next, now)
		if !f.Schedule.ProbedAt.IsZero() {
			s = strings.TrimSuffix(s, ".") + fmt.Sprintf("; the last probe, %s ago, found: %s", Age(now.Sub(f.Schedule.ProbedAt)), ended(f.Schedule.ProbeError))
		}
		return Facet{"open", s}
	case f.Schedule.Failures > 0:
		return Facet{"retrying", fmt.Sprintf("%s, but %s: ", every, failed(f.Schedule.Failures)) + until("the next try", f.Schedule.Next, now)}
	case f.Schedule.Next.After(now):
		return Facet{"waiting", every + ": " + until("the next", f.Schedule.Next, now)}
	default:
		return Facet{"due", every + ": " + until("the next", f.Schedule.Next, now)}
	}
}

func failed(n int) string {
	if n == 1 {
		return "the last pass failed"
	}
	return fmt.Sprintf("the last %d passes failed", n)
}

func until(what string, at, now time.Time) string {
	if wait := at.Sub(now); wait > 0 {
		return fmt.Sprintf("%s in %s.", what, Age(wait))
	}
	return fmt.Sprintf("%s has been due for %s.", what, Age(now.Sub(at)))
}

// kept reports whether a process that lives has looked for due fabrics of late.
func kept(f Facts, now time.Time) bool {
	return len(f.Service.Alive) > 0 && now.Sub(f.Service.KeptAt).Abs() <= Lease
}

func unkept(f Facts, now time.Time) string {
	if f.Service.TickedAt.IsZero() {
		return "nothing keeps the schedule: start hedgerow serve."
	}
	return fmt.Sprintf("nothing has kept the schedule for %s: is hedgerow serve running, and can it write to the record?", Age(now.Sub(f.Service.TickedAt)))
}

// followed reports whether changes come in as they happen.
func followed(f Facts) bool {
	return f.Follow.Wanted && f.Follow.State == Following && claimed(f) && !f.Suspended
}

// claimed reports whether a process that lives is to follow the fabric.
func claimed(f Facts) bool { return slices.Contains(f.Service.Alive, f.Follow.Process) }

func follow(f Facts, now time.Time) Facet {
	w := f.Follow
	switch {
	case !f.Configured || f.Suspended:
		return Facet{"none", "Nothing is observed."}
	case !w.Wanted:
		return Facet{"off", "Changes are seen by passes only."}
	case !claimed(f) || w.State == NotFollowed:
		return Facet{"unkept", "Nobody follows the changes: they are seen by passes only."}
	case w.State == Following:
		return Facet{"following", fmt.Sprintf("Changes have been coming in as they happen for %s.", Age(now.Sub(w.Since)))}
	case w.State == Starting:
		return Facet{"starting", because("Not followed yet", w.Message)}
	default:
		return Facet{"broken", because(fmt.Sprintf("Changes have not been coming in for %s, and are seen by passes only", Age(now.Sub(w.Since))), w.Message)}
	}
}

func because(what, why string) string {
	if why = strings.TrimRight(why, ". \n"); why != "" {
		what += ": " + why
	}
	return what + "."
}

func conditions(f Facts, s Status, now time.Time) []Condition {
	ready := Condition{Type: "Ready", Reason: reason(s.Badge), Message: s.Sentence, Status: s.Badge == InSync || s.Badge == OutOfSync}
	if f.Last != nil {
		ready.Since = f.Last.FinishedAt
	}
	rec := Condition{Type: "Reconciling", Reason: "Idle", Message: "No run is under way."}
	if f.Running != nil {
		rec = Condition{Type: "Reconciling", Status: true, Reason: "RunInProgress", Message: fmt.Sprintf("Run %d is under way.", f.Running.ID), Since: f.Running.StartedAt}
	}
	// Stalled: waiting will not help, a person must act.
	st := Condition{Type: "Stalled", Reason: "NotStalled", Message: "Nothing waits for a person."}
	switch {
	case overdue(f, now):
		st = Condition{Type: "Stalled", Status: true, Reason: RunOverdue, Message: stuck(f, now), Since: f.Running.StartedAt.Add(f.Deadline)}
	case f.Last != nil && f.Last.Outcome != RunComplete && needsPerson(f.Last.Code):
		st = Condition{Type: "Stalled", Status: true, Reason: reason(f.Last.Code), Message: failure(*f.Last), Since: f.Last.FinishedAt}
	}
	all := []Condition{ready, rec, st}
	if sch := s.Facets.Schedule; f.Configured && !f.Suspended && f.Interval > 0 {
		c := Condition{Type: "Scheduled", Status: sch.State != "unkept", Reason: reason(Code(sch.State)), Message: sch.Sentence}
		if !c.Status {
			c.Since = f.Service.TickedAt
		}
		all = append(all, c)
	}
	if fo := s.Facets.Follow; f.Configured && !f.Suspended && f.Follow.Wanted {
		all = append(all, Condition{Type: "Followed", Status: fo.State == "following", Reason: reason(Code(fo.State)), Message: fo.Sentence, Since: f.Follow.Since})
	}
	for _, p := range f.Service.Problems {
		all = append(all, Condition{Type: "Degraded", Status: true, Reason: p.Reason, Message: p.Message, Since: p.Since})
	}
	return all
}

// reason writes a badge or a code as the one word, CamelCase, that Kubernetes
// wants for a reason: InSync, TlsExpired.
func reason[T ~string](words T) string {
	var b strings.Builder
	for w := range strings.FieldsFuncSeq(string(words), func(c rune) bool { return c == ' ' || c == '-' }) {
		b.WriteString(strings.ToUpper(w[:1]) + w[1:])
	}
	return b.String()
}

func needsPerson(c Code) bool {
	switch c {
	case CodeDNS, CodeTLSExpired, CodeTLSAuthority, CodeTLSName, CodeTLS, CodeUnauthorized, CodeForbidden, CodeNotServed, CodeGuard, CodeKey, CodeInvalid:
		return true
	}
	return false
}

// Age writes a duration as people say it, in its two largest units: 12s,
// 3m40s, 2h5m, 6d4h. Negative durations read as 0s.
func Age(d time.Duration) string {
	switch d = d.Round(time.Second); {
	case d <= 0:
		return "0s"
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return units(d, time.Minute, "m", time.Second, "s")
	case d < 24*time.Hour:
		return units(d, time.Hour, "h", time.Minute, "m")
	default:
		return units(d, 24*time.Hour, "d", time.Hour, "h")
	}
}

func units(d, big time.Duration, b string, small time.Duration, s string) string {
	if r := d % big / small; r > 0 {
		return fmt.Sprintf("%d%s%d%s", d/big, b, r, s)
	}
	return fmt.Sprintf("%d%s", d/big, b)
}

// Count writes "1 object" or "2 objects".
func Count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
