package syncer_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
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
	raw     *sql.DB // the same record, as it is
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
			t.Parallel()
			where := place(t, engine)
			synctest.Test(t, func(t *testing.T) { test(newHouse(t, where, "lab")) })
		})
	}
}

// inBubble runs a test in a bubble, on SQLite.
func inBubble(t *testing.T, test func(h *house)) {
	t.Helper()
	where := place(t, "sqlite")
	synctest.Test(t, func(t *testing.T) { test(newHouse(t, where, "lab")) })
}

func newHouse(t *testing.T, where, name string) *house {
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
	driver := "sqlite"
	if db.Engine() == "postgres" {
		driver = "pgx"
	}
	if h.raw, err = sql.Open(driver, where); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.raw.Close() })
	h.sync = syncer.Syncer{Store: db, Log: slog.New(slog.DiscardHandler), Now: time.Now}
	h.fabric, err = db.AddFabric(t.Context(), hedgerow.Fabric{Name: name, Cluster: &hedgerow.Cluster{Server: "https://lab"}, Policy: hedgerow.DefaultPolicy}, hedgerow.Secret{}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	h.session, h.process = h.join(2)
	h.claim(h.process.ID)
	return h
}

// join makes another process known.
func (h *house) join(workers int) (*store.Session, hedgerow.Process) {
	h.Helper()
	p := hedgerow.Process{Host: "here", PID: 7, Role: "serve", Workers: workers, StartedAt: time.Now()}
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
		if c.Fabric.ID != h.fabric.ID {
			continue
		}
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
	all, err := h.db.History(h.Context(), h.fabric.ID, hedgerow.HistoryQuery{Limit: 10000})
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

// eventually lets the time of the bubble go by until done, for at most half an
// hour.
func (h *house) eventually(what string, done func() bool) {
	h.Helper()
	for wait := 100 * time.Millisecond; wait < 6*time.Minute; wait += wait / 4 {
		synctest.Wait()
		if done() {
			return
		}
		time.Sleep(wait) // the bubble's own time, which costs none
	}
	h.Fatalf("never: %s", what)
}

// following waits until every kind's changes come in.
func (h *house) following() {
	h.Helper()
	h.eventually("every kind is followed", func() bool { return h.facts().State == hedgerow.Following })
}

func place(t *testing.T, engine string) string {
	t.Helper()
	if engine == "postgres" {
		return postgres(t)
	}
	return filepath.Join(t.TempDir(), "hedgerow.db")
}

// forgetful is a record that does not say how far kinds were followed.
type forgetful struct{ syncer.FollowStore }

func (forgetful) Revisions(context.Context, int64) (map[hedgerow.KindID]string, error) {
	return nil, nil
}

// dump is every row that a follower could have written, as text.
func (h *house) dump() (rows []string) {
	h.Helper()
	for _, table := range []string{"fabrics", "contents", "kinds", "runs", "objects", "history", "vitals", "schedules", "followers"} {
		for _, r := range h.table(table) {
			rows = append(rows, table+" "+r)
		}
	}
	return rows
}

// table is every row of a table.
func (h *house) table(name string) (all []string) {
	h.Helper()
	rows, err := h.raw.QueryContext(h.Context(), `SELECT * FROM `+name)
	if err != nil {
		h.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		h.Fatal(err)
	}
	for rows.Next() {
		values, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			h.Fatal(err)
		}
		all = append(all, fmt.Sprintf("%v", values))
	}
	if err := rows.Err(); err != nil {
		h.Fatal(err)
	}
	slices.Sort(all)
	return all
}

// failing is a record of which one part fails.
type failing struct {
	syncer.FollowStore
	where string
	err   error
}

func (s *failing) at(where string) error {
	if s.where == where {
		return s.err
	}
	return nil
}

func (s *failing) NewestPass(ctx context.Context, fabric int64) (hedgerow.Run, error) {
	r, err := s.FollowStore.NewestPass(ctx, fabric)
	return r, errors.Join(s.at("NewestPass"), err)
}

func (s *failing) Evidence(ctx context.Context, fabric int64) ([]hedgerow.KindEvidence, error) {
	e, err := s.FollowStore.Evidence(ctx, fabric)
	return e, errors.Join(s.at("Evidence"), err)
}

func (s *failing) Revisions(ctx context.Context, fabric int64) (map[hedgerow.KindID]string, error) {
	r, err := s.FollowStore.Revisions(ctx, fabric)
	return r, errors.Join(s.at("Revisions"), err)
}

func (s *failing) Kinds(ctx context.Context, fabric int64) ([]hedgerow.Kind, error) {
	k, err := s.FollowStore.Kinds(ctx, fabric)
	return k, errors.Join(s.at("Kinds"), err)
}

func (s *failing) SetFollow(ctx context.Context, fabric int64, process string, state hedgerow.FollowState, message string, now time.Time) (bool, error) {
	if err := s.at("SetFollow"); err != nil {
		return false, err
	}
	return s.FollowStore.SetFollow(ctx, fabric, process, state, message, now)
}

func (s *failing) Amend(ctx context.Context, a hedgerow.Amendment, decide func(map[hedgerow.Ref]hedgerow.Mark) []hedgerow.Move) (hedgerow.Amended, error) {
	if err := s.at("Amend"); err != nil {
		return hedgerow.Amended{}, err
	}
	return s.FollowStore.Amend(ctx, a, decide)
}

// counter counts the attempts at watching, each of which takes a second.
type counter struct {
	syncer.Watcher
	mu               sync.Mutex
	begun, now, most int
}

func (c *counter) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.begun, c.most = 0, 0
}

func (c *counter) told() (begun, most int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.begun, c.most
}

func (c *counter) count(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.begun += max(n, 0)
	c.now += n
	c.most = max(c.most, c.now)
}

// Watch watches.
func (c *counter) Watch(ctx context.Context, k hedgerow.Kind, revision string, fn func(hedgerow.Sighting, error) error) error {
	c.count(1)
	defer c.count(-1)
	time.Sleep(time.Second)
	return c.Watcher.Watch(ctx, k, revision, fn)
}
