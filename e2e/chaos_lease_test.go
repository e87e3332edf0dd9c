package e2e

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"hedgerow"
	"hedgerow/e2e/lab"
)

// TestChaosLease: who follows a fabric and dies, or stands still for longer
// than the lease, is succeeded within 30 seconds, and the history between is
// neither more nor less than what happened. No pass helps: there is none.
func TestChaosLease(t *testing.T) {
	if !chaosFull() {
		t.Parallel()
	}
	x := newTroupe(t, 4, 2, "--interval", "manual")
	x.h.OK(t, "sync", "--all")
	x.allFollowed(time.Now(), time.Minute)
	const ofPasses = `SELECT id, trigger, actor FROM runs WHERE trigger <> 'follow'`
	passes := x.r.rows(t, ofPasses)
	c := x.fleet.Churn(t.Context(), 40, nil, lab.Varied)
	pause(t, time.Second)

	victim := x.busiest()
	x.kill(victim)
	t.Logf("killed: succeeded after %s", x.allFollowed(time.Now(), hedgerow.Lease, 1-victim).Round(time.Millisecond))

	// Another takes its place, and its share.
	x.workers[victim] = x.start(victim)
	back := time.Now()
	waitFor(t, time.Minute, "the new worker to take its share", func(ctx context.Context) bool {
		by, n, err := x.followedBy(ctx)
		return err == nil && n == x.fleet.Size() && by[victim] == 2
	}, func() string { return strings.Join(x.r.rows(t, `SELECT * FROM followers`), "\n") })
	t.Logf("a new worker had its share after %s", time.Since(back).Round(time.Millisecond))

	x.signal(victim, syscall.SIGSTOP)
	stopped := time.Now()
	// Its lease lasts for 30 seconds, and then it takes a moment.
	t.Logf("stopped: succeeded after %s", x.allFollowed(stopped, hedgerow.Lease+15*time.Second, 1-victim).Round(time.Millisecond))
	pause(t, time.Second)
	x.signal(victim, syscall.SIGCONT)
	pause(t, 2*time.Second)
	x.churned(c)
	ended := time.Now()
	t.Logf("caught up after %s", x.r.catchesUp(t, x.fleet, ended, caughtUpWithin).Round(time.Millisecond))
	x.allFollowed(ended, time.Minute)
	x.stopAll()
	if now := x.r.rows(t, ofPasses); len(now) != len(passes) {
		t.Errorf("passes were made meanwhile: %v", now[len(passes):])
	}
	x.told(x.r.whole(t, "after it all", true), true)
	x.complaints()
}

// TestChaosFence: a process that stands still in the middle of a transaction
// or a pass keeps nobody from following its fabrics for longer than the lease.
// A pass itself is its own until it goes on or dies.
func TestChaosFence(t *testing.T) {
	if !chaosFull() {
		t.Skip("waits for leases to run out: HEDGEROW_CHAOS=full")
	}
	for _, tc := range []struct {
		name, where string
		pass        bool
	}{
		{"in a transaction", `FROM pg_stat_activity WHERE application_name = $1 AND state = 'idle in transaction'`, false},
		{"in what a follower says", `FROM pg_stat_activity a JOIN pg_locks l ON l.pid = a.pid AND l.locktype = 'relation' AND l.relation = 'followers'::regclass
			WHERE a.application_name = $1 AND a.state = 'idle in transaction'`, false},
		{"in a pass", fmt.Sprintf(`FROM pg_stat_activity a JOIN pg_locks l ON l.pid = a.pid AND l.locktype = 'advisory' AND l.classid = %d
			WHERE a.application_name = $1`, 0x48454447), true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			x := newTroupe(t, 8, 2, "--interval", "30s")
			x.allFollowed(time.Now(), time.Minute)
			c := x.fleet.Churn(t.Context(), 60, nil, lab.Varied)
			victim := x.busiest()
			x.haltWhile(victim, tc.where)
			stopped := time.Now()
			t.Logf("succeeded after %s", x.allFollowed(stopped, hedgerow.Lease+15*time.Second, 1-victim).Round(time.Millisecond))
			x.churned(c)
			if !tc.pass {
				t.Logf("caught up %s after the stop", x.r.catchesUp(t, x.fleet, stopped, 100*time.Second).Round(time.Millisecond))
				x.settled(stopped, 100*time.Second)
			}
			x.r.whole(t, "without the stopped worker", false)
			c = x.fleet.Churn(t.Context(), 20, nil, lab.Varied)
			x.signal(victim, syscall.SIGCONT)
			on := time.Now()
			pause(t, 3*time.Second)
			x.churned(c)
			t.Logf("caught up %s after it went on", x.r.catchesUp(t, x.fleet, on, caughtUpWithin).Round(time.Millisecond))
			x.settled(on, caughtUpWithin)
			x.stopAll()
			x.told(x.r.whole(t, "after it all", true), false)
			x.complaints()
		})
	}
}

// haltWhile stops worker i at an instant at which PostgreSQL finds a session of
// it where a query says.
func (x *troupe) haltWhile(i int, where string) {
	x.Helper()
	// A pass takes milliseconds of its half minute, and another worker may make it.
	const most = 3 * time.Minute
	begun := time.Now()
	for n := 1; time.Since(begun) < most; n++ {
		x.signal(i, syscall.SIGSTOP)
		var met int
		if err := x.r.QueryRowContext(x.Context(), `SELECT count(*) `+where, fmt.Sprintf("w%d", i)).Scan(&met); err != nil {
			x.Fatal(err)
		}
		if met > 0 {
			x.Logf("met at try %d", n)
			return
		}
		x.signal(i, syscall.SIGCONT)
		pause(x.T, time.Duration(x.dice.Int64N(int64(3*time.Millisecond))))
	}
	x.Fatalf("worker %d was never met there in %s", i, most)
}

// busiest is the worker that follows the most fabrics.
func (x *troupe) busiest() (most int) {
	x.Helper()
	by, _, err := x.followedBy(x.Context())
	if err != nil {
		x.Fatal(err)
	}
	for i, n := range by {
		if n > by[most] {
			most = i
		}
	}
	if by[most] == 0 {
		x.Fatal("nobody follows anything")
	}
	return most
}

// signal sends worker i a signal.
func (x *troupe) signal(i int, s syscall.Signal) {
	x.Helper()
	if err := x.workers[i].Signal(s); err != nil {
		x.Fatal(err)
	}
}
