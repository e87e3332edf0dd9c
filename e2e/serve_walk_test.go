package e2e

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"hedgerow/e2e/lab"
	"hedgerow/e2e/wire"
)

// walk is one fabric on its way through the badges, and the serve that it may
// have.
type walk struct {
	*testing.T
	*board
	proxy *wire.Proxy
	serve *lab.Process
	free  chan struct{} // closed to let go of the pass that is held, nil when none is
}

// hold makes the next passes hang in the middle.
func (w *walk) hold() {
	w.free = make(chan struct{})
	w.proxy.Set(wire.Rule{Path: list("connections"), Do: hold(w.free)})
}

func (w *walk) letGo() {
	w.proxy.Clear()
	close(w.free)
}

func (w *walk) is(limit time.Duration, is want) standing {
	w.Helper()
	return w.await(w.T, "f", limit, is)
}

// Of a serve that died it is known when it last kept the schedule; one that was
// stopped has taken leave.
const (
	neverKept = "unkept: A reading is due every 30s, but nothing keeps the schedule: start hedgerow serve."
	unkept    = "unkept: A reading is due every 30s, but nothing has kept the schedule for AGE: is hedgerow serve running, and can it write to the record?"
	nobody    = "unkept: Nobody follows the changes: they are seen by passes only."
)

var (
	disabled = want{
		badge: "Disabled", sentence: "Suspended: nothing is observed until it is resumed.",
		facets:     map[string]string{"schedule": "suspended: Suspended.", "follow": "none: Nothing is observed."},
		conditions: map[string]string{"Ready": "-Disabled", "Scheduled": "", "Followed": ""},
	}
	neverSynced = want{
		badge: "Never synced", sentence: "Nothing is known yet: no run has read the cluster.",
		facets: map[string]string{
			"connection": "untried: The cluster has not been contacted yet.", "observation": "none: No complete reading exists.",
			"schedule": neverKept, "follow": nobody,
		},
		conditions: map[string]string{"Ready": "-NeverSynced", "Reconciling": "-Idle", "Stalled": "-NotStalled", "Scheduled": "-Unkept", "Followed": "-Unkept"},
	}
	syncing = want{
		badge: "Syncing", sentence: "Run N has been reading the cluster for AGE.",
		conditions: map[string]string{"Ready": "-Syncing", "Reconciling": "+RunInProgress", "Stalled": "-NotStalled", "Scheduled": "+Waiting"},
	}
	stale = want{
		badge: "Stale", sentence: "The last complete reading is AGE old, older than the interval of 30s.",
		facets:     map[string]string{"connection": "ok", "observation": "stale: The last complete reading is AGE old, older than the interval of 30s.", "schedule": "unkept", "follow": nobody},
		conditions: map[string]string{"Ready": "-Stale", "Reconciling": "-Idle", "Stalled": "-NotStalled", "Scheduled": "-Unkept", "Followed": "-Unkept"},
	}
)

// TestServeWalk walks one fabric through every badge by every way that leads
// from one to the next, with serve coming and going.
func TestServeWalk(t *testing.T) {
	t.Parallel()
	c := lab.Vlab(t, "--fabric", "spine-leaf")
	h, r := install(t, "sqlite")
	w := &walk{T: t, board: watchBoard(t, h), proxy: wire.New(t, c.Kubeconfig)}
	start := func() { t.Helper(); w.serve = lab.Start(t, h, "serve") }
	stop := func() {
		t.Helper()
		if code := w.serve.Stop(t); code != 0 {
			t.Errorf("serve exits with %d", code)
		}
	}
	fabric := func(args ...string) { t.Helper(); h.OK(t, append([]string{"fabric"}, args...)...) }
	well := well(referenceTotal)
	abandoned := well.with(map[string]string{"observation": "fresh: The last complete reading is AGE old.", "schedule": neverKept, "follow": nobody})
	abandoned.conditions = map[string]string{"Ready": "+InSync", "Scheduled": "-Unkept", "Followed": "-Unkept"}
	interrupted := ill("unknown", "Run N was interrupted: the process that did it ended before the run did; nothing of it was recorded.", unkept, "-NotStalled", 48).
		with(map[string]string{"follow": nobody})

	// From Not configured on, without serve. No command leaves a fabric
	// without a cluster, so the record is told.
	fabric("add", "f", "--kubeconfig", w.proxy.Kubeconfig(""), "--interval", "30s")
	if _, err := r.ExecContext(t.Context(), `UPDATE fabrics SET cluster = NULL`); err != nil {
		t.Fatal(err)
	}
	w.is(soon, want{
		badge: "Not configured", sentence: "No cluster is configured.",
		facets:     map[string]string{"connection": "none: No cluster is configured.", "schedule": "none: There is nothing to read yet.", "follow": "none: Nothing is observed."},
		conditions: map[string]string{"Ready": "-NotConfigured", "Scheduled": "", "Followed": ""},
	})
	fabric("edit", "f", "--kubeconfig", w.proxy.Kubeconfig(""))
	w.is(soon, neverSynced)
	fabric("suspend", "f")
	w.is(soon, disabled)
	fabric("resume", "f")
	w.is(soon, neverSynced)

	// The first pass, held in its middle.
	w.hold()
	start()
	w.is(soon, syncing)
	fabric("suspend", "f") // in the middle of a pass, which goes on
	w.is(soon, disabled)
	w.letGo()
	w.is(soon, want{badge: "Disabled", objects: 48, conditions: map[string]string{"Reconciling": "-Idle"}})
	w.hold()
	fabric("resume", "f")
	w.is(soon, syncing)
	w.letGo()
	w.is(soon, well)
	fabric("suspend", "f")
	w.is(soon, disabled)
	fabric("resume", "f")
	w.is(soon, well)

	// Serve stops: what it did is not done any more, and that is said at once.
	stop()
	w.is(soon, abandoned)
	fabric("suspend", "f")
	w.is(soon, disabled)
	fabric("resume", "f")
	w.is(soon, abandoned)
	w.is(byPass, stale)
	fabric("suspend", "f")
	w.is(soon, disabled)
	fabric("resume", "f")
	w.is(soon, stale)
	w.hold()
	start()
	w.is(soon, syncing)

	// It dies in the middle of a pass.
	w.serve.Kill()
	w.is(soon, interrupted)
	fabric("suspend", "f")
	w.is(soon, disabled)
	fabric("resume", "f")
	w.is(soon, interrupted)
	start()
	w.is(soon, syncing) // its first pass is held too
	w.letGo()
	w.is(soon, well)

	// It dies between two passes.
	w.serve.Kill()
	w.is(soon, abandoned.with(map[string]string{"schedule": unkept}))
	start()
	w.is(soon, well)

	// The cluster goes; a failed fabric is suspended and resumed.
	w.proxy.Refuse()
	w.proxy.Disconnect()
	refused := ill("failed", failedAll("HOST refused the connection. Is the API server running, and is the port right?"), retrying, "-NotStalled", 48).
		with(map[string]string{"follow": "broken: Changes have not been coming in for AGE, and are seen by passes only: every kind: HOST refused the connection."})
	w.is(byPass, refused)
	// The process does its work: that one cluster is gone is a warning.
	if ready, text, err := w.serve.Ready(t.Context()); err != nil || !ready || !strings.Contains(text, "[!]NotFollowed: f: Changes have not been coming in for ") {
		t.Errorf("ready %v, %v: %s", ready, err, text)
	}
	stop()
	fabric("suspend", "f")
	w.is(soon, disabled)
	fabric("resume", "f")
	w.is(soon, refused.with(map[string]string{"schedule": neverKept, "follow": nobody}))
	start()
	w.is(soon, refused.with(map[string]string{"follow": "starting: Not followed yet: a pass is to read the fabric first."})) // it was changed
	w.proxy.Clear()
	fabric("edit", "f", "--kubeconfig", w.proxy.Kubeconfig("")) // whoever mends it need not wait
	w.is(soon, well)
	if testing.Short() {
		return
	}

	// Serve hangs: it counts as alive for a lease, and as gone after that.
	if err := w.serve.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	w.is(byPass, stale)
	if err := w.serve.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	missed := well
	missed.conditions = map[string]string{"Ready": "+InSync", "Scheduled": "+Waiting", "Followed": "+Following", "Degraded": "+TickMissed"}
	w.is(byPass, missed)
	if ready, text, err := w.serve.Ready(t.Context()); err != nil || ready || !strings.Contains(text, "TickMissed") {
		t.Errorf("ready %v, %v: %s", ready, err, text)
	}
}

// The breaker of a cluster that fails five times in a row opens, and closes
// when it answers again. Here people ask for the five passes; TestServeBreaker
// waits for the schedule's.
func TestServeBreakerByHand(t *testing.T) {
	t.Parallel()
	c := lab.Vlab(t, "--fabric", "spine-leaf")
	h := lab.New(t, "HTTPS_PROXY=", "https_proxy=")
	b := watchBoard(t, h)
	p := b.behind(t, "f", c.Kubeconfig, "--mode", "poll")
	h.OK(t, "sync", "f")
	p.Refuse()
	p.Disconnect()
	for range 5 {
		h.Run(t, "sync", "f")
	}
	s := lab.Start(t, h, "serve")
	open := ill("failed", failedAll("HOST refused the connection. Is the API server running, and is the port right?"),
		"open: The breaker has been open for AGE, after 5 failed passes in a row: no pass is made before the cluster answers a probe, the next in AGE.", "-NotStalled", 48)
	open.conditions["Scheduled"] = "+Open"
	b.await(t, "f", soon, open)
	metrics := func(open, failures float64) {
		t.Helper()
		s.Await(t, soon, "telling of it in the metrics", func() bool {
			m, err := s.Measure(t.Context())
			return err == nil && m[`hedgerow_fabric_breaker_open{fabric="f"}`] == open && m[`hedgerow_fabric_failures{fabric="f"}`] == failures
		})
	}
	metrics(1, 5)
	p.Clear()
	h.OK(t, "sync", "f") // somebody asks, and closes it
	w := well(referenceTotal).with(map[string]string{"observation": "fresh", "follow": "off: Changes are seen by passes only."})
	w.conditions["Followed"] = ""
	b.await(t, "f", soon, w)
	metrics(0, 0)
}

// TestServeBreaker lets the schedule find out, which takes its backoff: about
// seven minutes until the breaker opens, and five until a probe.
func TestServeBreaker(t *testing.T) {
	if testing.Short() {
		t.Skip("takes the backoff of five failures: about eight minutes, and a probe: five more")
	}
	t.Parallel()
	c := lab.Vlab(t, "--fabric", "spine-leaf")
	h := lab.New(t, "HTTPS_PROXY=", "https_proxy=")
	b := watchBoard(t, h)
	watched, polled := b.behind(t, "watched", c.Kubeconfig), b.behind(t, "polled", c.Kubeconfig, "--mode", "poll")
	s := lab.Start(t, h, "serve")
	off := well(referenceTotal).with(map[string]string{"observation": "fresh", "follow": "off: Changes are seen by passes only."})
	off.conditions["Followed"] = ""
	fine := map[string]want{"watched": well(referenceTotal), "polled": off}
	b.awaitAll(t, byPass, fine)
	for _, p := range []*wire.Proxy{watched, polled} {
		p.Refuse()
		p.Disconnect()
	}
	begun := time.Now()
	open := want{badge: "Error", facets: map[string]string{
		"schedule": "open: The breaker has been open for AGE, after 5 failed passes in a row: no pass is made before the cluster answers a probe, the next in AGE.",
	}}
	b.awaitAll(t, 10*time.Minute, map[string]want{"watched": open, "polled": open})
	t.Logf("open after %s", time.Since(begun).Round(time.Second))
	open.facets["schedule"] = "open: The breaker has been open for AGE, after 5 failed passes in a row: no pass is made before the cluster answers a probe, the next in AGE; the last probe, AGE ago, found: probe: HOST refused the connection."
	b.awaitAll(t, 6*time.Minute, map[string]want{"watched": open, "polled": open})
	for _, p := range []*wire.Proxy{watched, polled} {
		p.Clear()
	}
	b.await(t, "watched", time.Minute, fine["watched"]) // its follower notices
	b.await(t, "polled", 6*time.Minute, fine["polled"]) // a probe does
	quiet(t, s)
}
