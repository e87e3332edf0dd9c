package syncer_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"hedgerow"
	"hedgerow/internal/store"
	"hedgerow/internal/syncer"
)

// house is a record with one fabric, over a model of its cluster, in a bubble
// with a time of its own.
type house struct {
	*testing.T
	*cluster
	db      *store.DB
	sync    syncer.Syncer
	fabric  hedgerow.Fabric
	session *store.Session
	process hedgerow.Process
}

// onBoth runs a test in a bubble, on either engine.
func onBoth(t *testing.T, test func(h *house)) {
	t.Helper()
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			where := place(t, engine)
			synctest.Test(t, func(t *testing.T) { test(newHouse(t, where)) })
		})
	}
}

// inBubble runs a test in a bubble, on SQLite.
func inBubble(t *testing.T, test func(h *house)) {
	t.Helper()
	where := place(t, "sqlite")
	synctest.Test(t, func(t *testing.T) { test(newHouse(t, where)) })
}

func newHouse(t *testing.T, where string) *house {
	t.Helper()
	db, err := store.Open(t.Context(), where, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	h := &house{T: t, cluster: newCluster(), db: db}
	h.sync = syncer.Syncer{Store: db, Log: slog.New(slog.DiscardHandler), Now: time.Now}
	h.fabric, err = db.AddFabric(t.Context(), hedgerow.Fabric{Name: "lab", Cluster: &hedgerow.Cluster{Server: "https://lab"}, Policy: hedgerow.DefaultPolicy}, hedgerow.Secret{}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	h.session, h.process = h.join()
	h.claim(h.process.ID)
	return h
}

// join makes another process known.
func (h *house) join() (*store.Session, hedgerow.Process) {
	h.Helper()
	p := hedgerow.Process{Host: "here", PID: 7, Role: "serve", Workers: 2, StartedAt: time.Now()}
	s, err := h.db.Join(h.Context(), &p)
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { _ = s.Leave(context.Background(), p.ID) })
	return s, p
}

// claim makes a process the fabric's follower, whoever it was before.
func (h *house) claim(process string) {
	h.Helper()
	for _, c := range h.claims() {
		if err := h.db.Release(h.Context(), c.Fabric.ID, c.Process); err != nil {
			h.Fatal(err)
		}
	}
	if ok, err := h.db.Claim(h.Context(), h.fabric.ID, process, time.Now()); !ok || err != nil {
		h.Fatalf("claimed: %t, error %v", ok, err)
	}
}

func (h *house) claims() []hedgerow.Claim {
	h.Helper()
	all, err := h.db.Claims(h.Context())
	if err != nil {
		h.Fatal(err)
	}
	return all
}

// follower is one at work.
type follower struct {
	*syncer.Follower
	h       *house
	cancel  context.CancelFunc
	wake    chan struct{}
	ended   chan struct{}
	err     error
	mu      sync.Mutex
	demands []time.Time
	log     strings.Builder
}

// Write takes the log.
func (f *follower) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.log.Write(p)
}

// asked is how many passes it has asked for.
func (f *follower) asked() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.demands)
}

// follow starts a follower of the house's process.
func (h *house) follow(change ...func(*syncer.Follower)) *follower {
	h.Helper()
	ctx, cancel := context.WithCancel(h.Context())
	f := &follower{h: h, cancel: cancel, wake: make(chan struct{}, 1), ended: make(chan struct{})}
	f.Follower = &syncer.Follower{
		Store: h.db, Source: h.cluster, Fabric: h.fabric, Process: h.process.ID, Merge: func(k hedgerow.Kind) hedgerow.Kind { return k },
		Wake: f.wake, Now: time.Now, Log: slog.New(slog.NewTextHandler(f, nil)),
		Demand: func(context.Context) error {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.demands = append(f.demands, time.Now())
			return nil
		},
	}
	for _, c := range change {
		c(f.Follower)
	}
	go func() {
		defer close(f.ended)
		f.err = f.Run(ctx)
	}()
	h.Cleanup(func() { f.stop() })
	synctest.Wait()
	return f
}

// poke tells it that the fabric moved on.
func (f *follower) poke() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
	synctest.Wait()
}

func (f *follower) stop() {
	f.cancel()
	<-f.ended
}

// pass makes a pass and wants it complete.
func (h *house) pass() hedgerow.Run {
	h.Helper()
	run := h.tryPass()
	if run.Outcome != hedgerow.RunComplete {
		h.Fatalf("pass ended as %s: %s", run.Outcome, run.Message)
	}
	return run
}

func (h *house) tryPass() hedgerow.Run {
	h.Helper()
	run, err := h.sync.Observe(h.Context(), h.cluster, syncer.Request{Fabric: h.fabric, Trigger: "manual", Actor: "tester"})
	if err != nil {
		h.Fatal(err)
	}
	return run
}

func (h *house) same(what string, want, got any) {
	h.Helper()
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.EquateComparable(hedgerow.Digest{})); d != "" {
		h.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// story is what happened, oldest first, without what the first pass found.
func (h *house) story() (es []string) {
	h.Helper()
	all, err := h.db.History(h.Context(), h.fabric.ID, store.HistoryQuery{Limit: 10000})
	if err != nil {
		h.Fatal(err)
	}
	for _, e := range slices.Backward(all) {
		if e.What != string(hedgerow.FirstSeen) {
			es = append(es, e.What+" "+e.Name)
		}
	}
	return es
}

// runs are the runs, oldest first, with what each did.
func (h *house) runs() (rs []hedgerow.Run) {
	h.Helper()
	all, err := h.db.Runs(h.Context(), h.fabric.ID, 0, 10000, true)
	if err != nil {
		h.Fatal(err)
	}
	slices.Reverse(all)
	return all
}

// agrees wants the record to be as the cluster is.
func (h *house) agrees() {
	h.Helper()
	marks, err := h.db.Marks(h.Context(), h.fabric.ID)
	if err != nil {
		h.Fatal(err)
	}
	want, got := map[string]hedgerow.Digest{}, map[string]hedgerow.Digest{}
	for _, ms := range marks {
		for _, m := range ms {
			got[m.String()+" "+m.UID] = m.Digest
		}
	}
	h.mu.Lock()
	for _, o := range h.present {
		want[o.String()+" "+o.UID] = o.Digest
	}
	h.mu.Unlock()
	h.same("the record against the cluster", want, got)
}

func (h *house) facts() hedgerow.FollowFacts {
	h.Helper()
	f, err := h.db.Facts(h.Context(), h.fabric)
	if err != nil {
		h.Fatal(err)
	}
	return f.Follow
}

// is wants the follower to be recorded in a state, for a reason.
func (h *house) is(state hedgerow.FollowState, message string) {
	h.Helper()
	synctest.Wait()
	if f := h.facts(); f.State != state || f.Message != message {
		h.Errorf("follower is %s (%q), want %s (%q)", f.State, f.Message, state, message)
	}
}

func place(t *testing.T, engine string) string {
	t.Helper()
	if engine == "postgres" {
		return postgres(t)
	}
	return filepath.Join(t.TempDir(), "hedgerow.db")
}
