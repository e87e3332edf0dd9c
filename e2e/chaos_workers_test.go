package e2e

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"hedgerow/e2e/lab"
	"hedgerow/internal/pgtest"
)

// chaosFull is whether the tests of faults are to be done in full, which takes
// half an hour: make chaos.
func chaosFull() bool { return os.Getenv("HEDGEROW_CHAOS") == "full" }

// caughtUpWithin is the time after the last fault in which everything must be
// in the record.
const caughtUpWithin = time.Minute

// troupe is several workers that share a record of a fleet in a PostgreSQL of
// their own.
type troupe struct {
	*testing.T
	fleet   *lab.Fleet
	pg      *pgtest.Server
	url     string
	r       record
	h       *lab.Hedgerow
	dice    *rand.Rand
	workers []*lab.Process
	killed  []*lab.Process
	edits   []lab.Edit
}

// newTroupe starts workers, which are named w0, w1, … in PostgreSQL.
func newTroupe(t *testing.T, fabrics, workers int, flags ...string) *troupe {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	x := &troupe{T: t, pg: pgtest.Own(t), dice: rand.New(rand.NewPCG(seed, 0))}
	var err error
	if x.url, err = x.pg.Create(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("pgx", x.url)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = db.Close() })
	x.r = record{db, "postgres"}
	x.h = lab.New(t, "HEDGEROW_DB="+x.url, "HTTPS_PROXY=", "https_proxy=")
	x.fleet = lab.NewFleet(t, fabrics, 48)
	x.fleet.Add(t, x.h, flags...)
	for i := range workers {
		x.workers = append(x.workers, x.start(i))
	}
	return x
}

// start starts worker i, whose sessions bear its name, and waits until it does
// its work.
func (x *troupe) start(i int) *lab.Process {
	x.Helper()
	h := &lab.Hedgerow{Dir: x.h.Dir, Env: append([]string{}, x.h.Env...)}
	h.Env = append(h.Env, fmt.Sprintf("HEDGEROW_DB=%s&application_name=w%d", x.url, i))
	p := lab.Start(x.T, h, "worker", "--workers", "4")
	p.WaitReady(x.T, time.Minute)
	return p
}

// kill kills worker i at once.
func (x *troupe) kill(i int) {
	x.Helper()
	x.alive()
	x.workers[i].Kill()
	x.killed = append(x.killed, x.workers[i])
}

// alive wants that no worker has ended by itself.
func (x *troupe) alive() {
	x.Helper()
	for _, p := range x.workers {
		select {
		case <-p.Done():
			x.Fatalf("%s has ended by itself:\n%s", p, p.Stderr())
		default:
		}
	}
}

// followedBy says how many fabrics each worker follows, by its number, and how
// many nobody does who is known to live. A fabric counts when all its changes
// come in.
func (x *troupe) followedBy(ctx context.Context) (by map[int]int, followed int, err error) {
	rows, err := x.r.QueryContext(ctx, `SELECT p.pid FROM followers f JOIN processes p ON p.id = f.process_id WHERE f.state = 'following'`)
	if err != nil {
		return nil, 0, err
	}
	defer rows.Close()
	by = map[int]int{}
	for rows.Next() {
		var pid int
		if err := rows.Scan(&pid); err != nil {
			return nil, 0, err
		}
		for i, p := range x.workers {
			if p.PID() == pid {
				by[i]++
				followed++
			}
		}
	}
	return by, followed, rows.Err()
}

// allFollowed waits until every fabric is followed, by some of the workers
// (nil: all of them), and returns how long that took since some moment.
func (x *troupe) allFollowed(since time.Time, within time.Duration, some ...int) time.Duration {
	x.Helper()
	var state string
	waitFor(x.T, time.Until(since.Add(within)), "every fabric to be followed", func(ctx context.Context) bool {
		by, n, err := x.followedBy(ctx)
		state = fmt.Sprintf("%d of %d fabrics are followed (by worker: %v, error %v)", n, x.fleet.Size(), by, err)
		if len(some) > 0 {
			n = 0
			for _, i := range some {
				n += by[i]
			}
		}
		return n == x.fleet.Size()
	}, func() string {
		return state + "\n" + strings.Join(x.r.rows(x.T, `SELECT * FROM followers`), "\n") + "\n" + strings.Join(x.r.rows(x.T, `SELECT * FROM processes`), "\n")
	})
	return time.Since(since)
}

// settled waits until no pass of before some moment is under way, and the
// newest of every fabric that has ended was complete: nothing is stuck.
func (x *troupe) settled(since time.Time, within time.Duration) time.Duration {
	x.Helper()
	var stuck []string
	waitFor(x.T, time.Until(since.Add(within)), "every pass to end well", func(context.Context) bool {
		stuck = x.r.rows(x.T, `SELECT id, fabric_id, trigger, started_at, outcome, message FROM runs r WHERE trigger <> 'follow' AND (outcome = 'running' AND started_at < $1
			OR outcome NOT IN ('running', 'complete') AND NOT EXISTS (SELECT 1 FROM runs n WHERE n.fabric_id = r.fabric_id AND n.trigger <> 'follow' AND n.id > r.id))`, since.UnixMicro())
		return len(stuck) == 0
	}, func() string { return strings.Join(stuck, "\n") })
	return time.Since(since)
}

// badges counts the badges that status shows.
func (x *troupe) badges() map[string]int {
	x.Helper()
	var status []statusDoc
	x.h.JSON(x.T, &status, []string{"status", "-o", "json"})
	all := map[string]int{}
	for _, s := range status {
		all[s.Badge]++
	}
	return all
}

// churned ends a churn and keeps what it did.
func (x *troupe) churned(c *lab.Churn) {
	x.Helper()
	edits, err := c.Stop()
	if err != nil {
		x.Fatal(err)
	}
	x.edits = append(x.edits, edits...)
}

// told compares the history with what happened. When strict, not even a pass
// may have passed over anything.
func (x *troupe) told(c *chronicle, strict bool) {
	x.Helper()
	l := live(x.edits)
	v, told, over := c.history(x.fleet, l)
	if len(v) > 0 || strict && over > 0 {
		x.Errorf("the history is not what happened (%d states told, %d passed over):\n%s", told, over, v)
	}
	x.Logf("%d edits: %d states told in %d runs, %d passed over by passes, %d deleted", len(x.edits), told, len(c.runs), over, len(l.gone))
}

// stopAll stops the workers, which must drain.
func (x *troupe) stopAll() {
	x.Helper()
	x.alive()
	for _, p := range x.workers {
		if code := p.Stop(x.T); code != 0 {
			x.Errorf("%s ended with %d:\n%s", p, code, p.Stderr())
		}
	}
}

// complaints are the errors that the processes logged, counted.
func (x *troupe) complaints() {
	x.Helper()
	count := map[string]int{}
	for _, p := range append(append([]*lab.Process{}, x.killed...), x.workers...) {
		for _, l := range p.Log() {
			if l.Level == "ERROR" || l.Level == "OTHER" {
				var all map[string]any
				_ = json.Unmarshal([]byte(l.Text), &all) // what is no JSON is told as it is
				what := l.Message
				for _, k := range []string{"reason", "error", "err"} {
					if s, ok := all[k].(string); ok {
						what += ": " + s[:min(len(s), 120)]
					}
				}
				if what == "" {
					what = l.Text
				}
				count[what]++
			}
		}
	}
	for what, n := range count {
		x.Logf("logged as an error %d times: %s", n, what)
	}
}

// TestChaosWorkers: several workers on PostgreSQL, of which one after another
// is killed and one is stopped for a while, with a restart of the database in
// between, lose nothing, tell nothing twice, and never read a fabric twice at
// a time.
func TestChaosWorkers(t *testing.T) {
	fabrics, workers, interval, rate := 12, 2, "30s", 10.0
	killEvery, kills, stopAt, stopFor, restartAt := 6*time.Second, 3, 1, 7*time.Second, 2
	if chaosFull() {
		fabrics, workers, interval, rate = 200, 3, "60s", 20
		killEvery, kills, stopAt, stopFor, restartAt = 10*time.Second, 12, 3, time.Minute, 6
	} else {
		t.Parallel()
	}
	x := newTroupe(t, fabrics, workers, "--interval", interval)
	t.Logf("all followed %s after the start", x.allFollowed(time.Now(), 2*time.Minute).Round(time.Millisecond))
	c := x.fleet.Churn(t.Context(), rate, nil, lab.Varied)
	var stopped time.Time
	still, last := -1, time.Time{}
	awake := func() {
		if still >= 0 && time.Since(stopped) >= stopFor {
			if err := x.workers[still].Signal(syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
			t.Logf("worker %d goes on after %s", still, time.Since(stopped).Round(time.Millisecond))
			still, last = -1, time.Now()
		}
	}
	for i := range kills {
		pause(t, killEvery)
		awake()
		victim := x.dice.IntN(workers)
		for victim == still {
			victim = x.dice.IntN(workers)
		}
		x.kill(victim)
		last = time.Now()
		x.workers[victim] = x.start(victim)
		if i == stopAt {
			still, stopped = (victim+1)%workers, time.Now()
			if err := x.workers[still].Signal(syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			t.Logf("worker %d stopped", still)
		}
		if i == restartAt {
			crash, begun := x.dice.IntN(2) == 0, time.Now()
			if err := x.pg.Restart(crash); err != nil {
				t.Fatal(err)
			}
			last = time.Now()
			t.Logf("PostgreSQL restarted in %s (crash: %v)", last.Sub(begun).Round(time.Millisecond), crash)
		}
	}
	for still >= 0 {
		pause(t, max(0, time.Until(stopped.Add(stopFor))))
		awake()
	}
	pause(t, 3*time.Second)
	x.churned(c)
	t.Logf("%d kills, %d edits; caught up %s after the last fault", kills, len(x.edits), x.r.catchesUp(t, x.fleet, last, caughtUpWithin).Round(time.Millisecond))
	t.Logf("every pass ended well %s after the last fault", x.settled(last, caughtUpWithin+30*time.Second).Round(time.Millisecond))
	t.Logf("all followed %s after the last fault", x.allFollowed(last, caughtUpWithin+30*time.Second).Round(time.Millisecond))
	t.Logf("badges: %v", x.badges())
	x.stopAll()
	x.told(x.r.whole(t, "after it all", true), false)
	outcomes := x.r.rows(t, `SELECT trigger, outcome, count(*) AS n FROM runs GROUP BY 1, 2 ORDER BY 1, 2`)
	jobs := x.r.rows(t, `SELECT state, count(*) AS n FROM river_job GROUP BY 1`)
	t.Logf("runs:\n%s\njobs:\n%s", strings.Join(outcomes, "\n"), strings.Join(jobs, "\n"))
	x.complaints()
}
