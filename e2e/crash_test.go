package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"hedgerow/e2e/lab"
)

// TestCrash kills syncs at random instants. After each kill the record is what
// it was before or what the sync would have made of it, the next command
// closes the run as interrupted, and the next sync is right.
func TestCrash(t *testing.T) {
	kills := 50
	if testing.Short() {
		kills = 12
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	c := lab.Vlab(t, "--objects", "600")
	f := &field{api: connect(t, c.Kubeconfig)}
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			h, r := install(t, engine)
			h.OK(t, "fabric", "add", "lab", "--kubeconfig", c.Kubeconfig, "--interval", "manual")
			syncComplete(t, h, "lab")
			x := &crasher{T: t, h: h, r: r, f: f, dice: rand.New(rand.NewPCG(seed, 0))}
			x.measure()
			landed := map[string]int{}
			for i := range kills {
				landed[x.round(i)]++
				if t.Failed() {
					t.Fatalf("stopped after kill %d of seed %d", i+1, seed)
				}
			}
			t.Logf("%d kills, a sync takes %s and its commit %s: %d before the run began, %d while it read, %d during the commit (of which %d stand), %d after it",
				kills, x.whole.Round(time.Millisecond), x.commit.Round(time.Millisecond), landed["before"], landed["reading"],
				landed["commit, undone"]+landed["commit, done"], landed["commit, done"], landed["after"])
			if landed["commit, undone"]+landed["commit, done"] == 0 {
				t.Error("no kill hit the commit")
			}
		})
	}
}

// field is the cluster, whose objects change between kills.
type field struct {
	*api
	round int
	gone  [][]byte // deleted, to be made again
}

// change changes every third server and connection, deletes a few servers and
// makes those of the time before again.
func (f *field) change(t *testing.T) {
	t.Helper()
	f.round++
	const group = "/apis/wiring.githedgehog.com/v1beta1/namespaces/default/"
	eg, ctx := errgroup.WithContext(t.Context())
	eg.SetLimit(8)
	var changed atomic.Int64
	again := f.gone
	f.gone = nil
	for _, plural := range []string{"servers", "connections"} {
		for i, o := range f.items(t, group+plural) {
			name := o["metadata"].(map[string]any)["name"].(string)
			if plural == "servers" && i%20 == f.round%20 {
				b, err := json.Marshal(map[string]any{"apiVersion": o["apiVersion"], "kind": o["kind"], "metadata": map[string]any{"name": name}, "spec": o["spec"]})
				if err != nil {
					t.Fatal(err)
				}
				f.gone = append(f.gone, b)
				eg.Go(func() error {
					_, err := f.Do(ctx, http.MethodDelete, group+plural+"/"+name, "", nil)
					return err
				})
				continue
			}
			if i%2 == f.round%2 {
				continue
			}
			patch := fmt.Appendf(nil, `{"metadata":{"labels":{"round":"r%d"}}}`, f.round)
			eg.Go(func() error {
				changed.Add(1)
				_, err := f.Do(ctx, http.MethodPatch, group+plural+"/"+name, "application/merge-patch+json", patch)
				return err
			})
		}
	}
	for _, b := range again {
		eg.Go(func() error {
			_, err := f.Do(ctx, http.MethodPost, group+"servers", "application/json", b)
			return err
		})
	}
	if err := eg.Wait(); err != nil {
		t.Fatal(err)
	}
	if n := changed.Load(); n < 200 {
		t.Fatalf("only %d objects changed", n)
	}
}

// crasher kills the syncs of one installation.
type crasher struct {
	*testing.T
	h    *lab.Hedgerow
	r    record
	f    *field
	dice *rand.Rand
	// whole is how long a sync takes from its start to its end, commit how long
	// its transaction.
	whole, commit time.Duration
}

// victim is a sync under way, of which the log is read as it comes.
type victim struct {
	cmd                     *exec.Cmd
	started                 time.Time
	begun, committing, done atomic.Int64 // since started, in nanoseconds
	inCommit                chan struct{}
	read                    chan struct{} // closed when its log has ended
}

func (x *crasher) start() *victim {
	x.Helper()
	v := &victim{cmd: x.h.Command(context.WithoutCancel(x.Context()), x.T, "sync", "lab", "--log-level", "debug", "--log-format", "json"), inCommit: make(chan struct{}), read: make(chan struct{})}
	log, err := v.cmd.StderrPipe()
	if err != nil {
		x.Fatal(err)
	}
	v.started = time.Now()
	if err := v.cmd.Start(); err != nil {
		x.Fatal(err)
	}
	go func() {
		defer close(v.read)
		for s := bufio.NewScanner(log); s.Scan(); {
			since := time.Since(v.started).Nanoseconds()
			switch line := s.Bytes(); {
			case bytes.Contains(line, []byte(`"msg":"run begins"`)):
				v.begun.Store(since)
			case bytes.Contains(line, []byte(`"msg":"commit begins"`)):
				v.committing.Store(since)
				close(v.inCommit)
			case bytes.Contains(line, []byte(`"msg":"run ended"`)):
				v.done.Store(since)
			}
		}
	}()
	return v
}

// measure times undisturbed syncs of a changed fabric, and keeps the median.
func (x *crasher) measure() {
	x.Helper()
	const syncs = 5
	var whole, commit []time.Duration
	for range syncs {
		x.f.change(x.T)
		v := x.start()
		<-v.read
		if err := v.cmd.Wait(); err != nil {
			x.Fatalf("an undisturbed sync: %v", err)
		}
		whole = append(whole, time.Since(v.started))
		commit = append(commit, time.Duration(v.done.Load()-v.committing.Load()))
	}
	slices.Sort(whole)
	slices.Sort(commit)
	x.whole, x.commit = whole[syncs/2], commit[syncs/2]
	if x.commit <= 0 {
		x.Fatal("the log does not tell of the commit")
	}
}

// round changes the fabric, kills a sync, and looks at what it left. It says
// where the kill landed.
func (x *crasher) round(i int) string {
	x.Helper()
	before, version := x.r.dump(x.T), x.version()
	last := x.lastRun()
	x.f.change(x.T)
	want := x.f.state(x.T)

	v := x.start()
	// Half of the instants spread over the whole sync, half over its commit.
	over, from := x.whole, "the start"
	var wait <-chan struct{} = closed
	if x.dice.IntN(2) == 0 {
		over, from, wait = x.commit, "the commit", v.inCommit
	}
	after := time.Duration(x.dice.Float64() * float64(over))
	select {
	case <-wait:
	case <-v.read:
	}
	if from == "the start" {
		after -= time.Since(v.started)
	}
	select {
	case <-time.NewTimer(after).C:
	case <-v.read: // it was quicker
	}
	if err := v.cmd.Process.Kill(); err != nil && !strings.Contains(err.Error(), "finished") {
		x.Fatal(err)
	}
	<-v.read
	_ = v.cmd.Wait() // killed, or done
	what := fmt.Sprintf("kill %d, %s after %s", i, after, from)

	x.intact(what)
	x.settled(what)
	run := x.lastRun()
	committed := run.ID > last.ID && run.Outcome == "complete"
	if committed {
		if d := x.r.state(x.T, "lab").differs(want); d != "" || x.version() != version+1 {
			x.Errorf("%s: committed as version %d after %d, and differs from the API:\n%s", what, x.version(), version, d)
		}
	} else {
		if d := differs(before, x.r.dump(x.T)); len(d) > 0 {
			x.Errorf("%s: not committed, and yet these tables differ: %v", what, d)
		}
		if run.ID > last.ID && run.Outcome != "running" {
			x.Errorf("%s: the run is %s", what, run.Outcome)
		}
	}
	landed := "before"
	switch {
	case v.done.Load() > 0:
		landed = "after"
	case v.committing.Load() > 0 && committed:
		landed = "commit, done"
	case v.committing.Load() > 0:
		landed = "commit, undone"
	case v.begun.Load() > 0:
		landed = "reading"
	}
	if landed == "after" && !committed || (landed == "before" || landed == "reading") && committed {
		x.Errorf("%s: landed %s, committed: %v", what, landed, committed)
	}

	// The next command closes the run, whatever it is.
	var status []statusDoc
	x.h.JSON(x.T, &status, []string{"status", "-o", "json"})
	closed := x.lastRun()
	switch {
	case closed.ID != run.ID:
		x.Errorf("%s: the status made a run", what)
	case committed && closed.Outcome != "complete", run.Outcome == "running" && (closed.Outcome != "interrupted" || closed.Code != "interrupted" || closed.Finished == 0):
		x.Errorf("%s: the run was %s, and is %+v", what, run.Outcome, closed)
	case run.Outcome == "running" && (len(status) != 1 || status[0].Badge != "Error" || !strings.Contains(status[0].Sentence, "interrupted")):
		x.Errorf("%s: status %+v", what, status)
	}

	// And the next sync is right.
	next := syncComplete(x.T, x.h, "lab")
	if committed && (next.VersionAfter != version+1 || next.Counts.Changed()) || !committed && next.VersionAfter != version+1 {
		x.Errorf("%s: the next sync made version %d of %d, with %+v", what, next.VersionAfter, version, next.Counts)
	}
	if d := x.r.state(x.T, "lab").differs(want); d != "" {
		x.Errorf("%s: after the next sync record and API:\n%s", what, d)
	}
	x.history(what)
	return landed
}

var closed = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// Changed reports whether a pass found anything new.
func (c countsDoc) Changed() bool { return c.Created+c.Updated+c.Deleted > 0 }

// intact wants a database that is whole.
func (x *crasher) intact(what string) {
	x.Helper()
	if x.r.engine != "sqlite" {
		return
	}
	if got := x.r.rows(x.T, `PRAGMA integrity_check`); !slices.Equal(got, []string{"integrity_check=ok "}) {
		x.Errorf("%s: integrity check: %v", what, got)
	}
	if got := x.r.rows(x.T, `PRAGMA foreign_key_check`); len(got) > 0 {
		x.Errorf("%s: foreign key check: %v", what, got)
	}
}

// settled waits until PostgreSQL has noticed that its client is dead.
func (x *crasher) settled(what string) {
	x.Helper()
	if x.r.engine != "postgres" {
		return
	}
	deadline := time.Now().Add(30 * time.Second)
	for {
		var n int
		err := x.r.QueryRowContext(x.Context(), `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'`).Scan(&n)
		if err != nil {
			x.Fatal(err)
		}
		if n == 0 {
			return
		}
		if time.Now().After(deadline) {
			x.Fatalf("%s: %d sessions of the dead client remain", what, n)
		}
	}
}

// history wants that every period of every object begins where the one before
// it ended, and that no content is missing.
func (x *crasher) history(what string) {
	x.Helper()
	if lost := x.r.rows(x.T, `SELECT digest FROM (SELECT digest FROM objects UNION SELECT digest FROM history) d
		WHERE NOT EXISTS (SELECT 1 FROM contents c WHERE c.digest = d.digest)`); len(lost) > 0 {
		x.Errorf("%s: %d contents are lost", what, len(lost))
	}
	if torn := x.r.rows(x.T, `SELECT o.name FROM objects o WHERE o.began = 'updated' AND NOT EXISTS (SELECT 1 FROM history h
		WHERE h.kind_id = o.kind_id AND h.namespace = o.namespace AND h.name = o.name AND h.until_run = o.since_run AND h.until = o.since AND h.ended = 'replaced')`); len(torn) > 0 {
		x.Errorf("%s: %d updated objects without the period before: %v", what, len(torn), torn[0])
	}
	if dead := x.r.rows(x.T, `SELECT h.name FROM history h JOIN runs r ON r.id = h.until_run WHERE r.outcome <> 'complete'
		UNION ALL SELECT o.name FROM objects o JOIN runs r ON r.id = o.since_run WHERE r.outcome <> 'complete'`); len(dead) > 0 {
		x.Errorf("%s: %d periods of runs that did not complete", what, len(dead))
	}
}

func (x *crasher) version() (v int64) {
	x.Helper()
	if err := x.r.QueryRowContext(x.Context(), `SELECT version FROM fabrics WHERE name = 'lab'`).Scan(&v); err != nil {
		x.Fatal(err)
	}
	return v
}

// runRow is a run as it is stored.
type runRow struct {
	ID            int64
	Outcome, Code string
	Finished      int64
}

func (x *crasher) lastRun() (r runRow) {
	x.Helper()
	err := x.r.QueryRowContext(x.Context(), `SELECT id, outcome, code, coalesce(finished_at, 0) FROM runs ORDER BY id DESC LIMIT 1`).Scan(&r.ID, &r.Outcome, &r.Code, &r.Finished)
	if err != nil {
		x.Fatal(err)
	}
	return r
}
