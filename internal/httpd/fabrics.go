package httpd

import (
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hedgerow"
)

// What is read from the record.
var (
	recordSeconds  = desc("record_scrape_duration_seconds", "Time that the last reading of the record for metrics took.")
	queueWaiting   = desc("queue_waiting", "Jobs, about all of them passes, that wait for a worker of any process; 1000 also stands for more.")
	queueOldest    = desc("queue_oldest_wait_seconds", "Time for which the first of the waiting jobs has waited.")
	alive          = desc("processes_alive", "Processes that live, as far as the record shows.")
	problem        = desc("process_problem", "1 while a living process has this problem; otherwise absent.", "reason")
	status         = desc("fabric_status", "1 for the badge of the fabric, 0 for the others.", "fabric", "badge")
	proofAge       = desc("fabric_proof_age_seconds", "Age of the last complete reading of the cluster. Absent when there is none.", "fabric")
	oldestKind     = desc("fabric_oldest_kind_proof_age_seconds", "Age of the last complete reading of the kind whose reading is oldest, of those that the cluster serves and that were ever read whole.", "fabric")
	interval       = desc("fabric_interval_seconds", "Time between two scheduled passes. Absent when passes are made on request only.", "fabric")
	nextRun        = desc("fabric_next_run_timestamp_seconds", "When the next pass is due. Absent when passes are made on request only.", "fabric")
	failures       = desc("fabric_failures", "Passes in a row that failed through the cluster's fault.", "fabric")
	breaker        = desc("fabric_breaker_open", "1 while no scheduled pass is made before the cluster answers a probe, after too many failures; otherwise 0.", "fabric")
	overdue        = desc("fabric_run_overdue", "1 while a pass of the fabric has been under way for longer than it may take, so that its process hangs; otherwise 0.", "fabric")
	following      = desc("fabric_following", "1 while changes come in as they happen, 0 while they should but do not. Absent when passes alone are wanted.", "fabric")
	openChanges    = desc("fabric_open_changes", "Differences between Git and cluster. Absent without a repository, and before the first complete reading.", "fabric")
	agents         = desc("fabric_agents", "Switch agents by state, when last read.", "fabric", "state")
	objects        = desc("fabric_objects", "Objects in the record. Kinds above the hundredth are counted together, as of no group.", "fabric", "group", "kind")
	kindsByVerdict = desc("fabric_kinds", "Kinds by the verdict of the last pass that proved anything.", "fabric", "verdict")

	recorded = []*prometheus.Desc{
		recordSeconds, queueWaiting, queueOldest, alive, problem, status, proofAge, oldestKind, interval,
		nextRun, failures, breaker, overdue, following, openChanges, agents, objects, kindsByVerdict,
	}
)

var badges = []hedgerow.Badge{
	hedgerow.NotConfigured, hedgerow.Disabled, hedgerow.Syncing, hedgerow.NeverSynced,
	hedgerow.ErrorBadge, hedgerow.Stale, hedgerow.OutOfSync, hedgerow.InSync,
}

var verdicts = []hedgerow.Verdict{hedgerow.Complete, hedgerow.Absent, hedgerow.Forbidden, hedgerow.Failed}

// mostKinds bounds what a cluster that serves kinds without end can do to the
// database of a Prometheus.
const mostKinds = 100

func (s *series) service(processes []hedgerow.Process) {
	service := hedgerow.Service(processes)
	s.gauge(alive, float64(len(service.Alive)))
	told := map[string]bool{}
	for _, p := range service.Problems {
		if reason := label(p.Reason); !told[reason] {
			told[reason] = true
			s.gauge(problem, 1, reason)
		}
	}
}

func (s *series) fabric(state FabricState, now time.Time) {
	name, f := state.Fabric.Name, state.Facts
	st := hedgerow.StatusOf(f, now)
	all := badges
	if !slices.Contains(all, st.Badge) {
		all = append(slices.Clone(all), st.Badge)
	}
	for _, b := range all {
		s.flag(status, b == st.Badge, name, string(b))
	}
	if !f.LastComplete.IsZero() {
		s.gauge(proofAge, now.Sub(f.LastComplete).Seconds(), name)
	}
	if f.Interval > 0 {
		s.gauge(interval, f.Interval.Seconds(), name)
	}
	s.moment(nextRun, f.Schedule.Next, name)
	s.gauge(failures, float64(f.Schedule.Failures), name)
	s.flag(breaker, !f.Schedule.OpenSince.IsZero(), name)
	s.flag(overdue, st.Condition("Stalled").Reason == hedgerow.RunOverdue, name)
	if is := st.Facets.Follow.State; is != "none" && is != "off" {
		s.flag(following, is == "following", name)
	}
	if f.Repository && !f.LastComplete.IsZero() {
		s.gauge(openChanges, float64(f.OpenChanges), name)
	}
	s.gauge(agents, float64(f.Agents.Total-f.Agents.Pending-f.Agents.Silent), name, "ready")
	s.gauge(agents, float64(f.Agents.Pending), name, "pending")
	s.gauge(agents, float64(f.Agents.Silent), name, "silent")
	s.kinds(name, state.Kinds, now)
}

func (s *series) kinds(fabric string, all []hedgerow.KindEvidence, now time.Time) {
	present := map[hedgerow.KindID]int{}
	by := map[hedgerow.Verdict]int{}
	var oldest time.Time
	for _, k := range all {
		id := hedgerow.KindID{Group: label(k.Group), Kind: label(k.Kind)}
		if _, has := present[id]; !has && len(present) >= mostKinds {
			id = hedgerow.KindID{Kind: "others"}
		}
		present[id] += k.Present
		by[k.Verdict]++
		if k.Verdict != hedgerow.Absent && !k.CompleteAt.IsZero() && (oldest.IsZero() || k.CompleteAt.Before(oldest)) {
			oldest = k.CompleteAt
		}
	}
	for id, n := range present {
		s.gauge(objects, float64(n), fabric, id.Group, id.Kind)
	}
	for _, v := range verdicts {
		s.gauge(kindsByVerdict, float64(by[v]), fabric, string(v))
	}
	if !oldest.IsZero() {
		s.gauge(oldestKind, now.Sub(oldest).Seconds(), fabric)
	}
}

// label makes what others named fit for a label, which takes UTF-8 only.
func label(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
