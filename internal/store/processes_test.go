package store

import (
	"testing"
	"time"

	"hedgerow"
)

// join makes a process known.
func join(t *testing.T, db *DB, host string) (*Session, *hedgerow.Process) {
	t.Helper()
	p := &hedgerow.Process{Host: host, PID: 7, Role: "serve", Release: "v1", Workers: 4, StartedAt: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)}
	s, err := db.Join(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.lock.unlock) // the tests let some go themselves
	return s, p
}

func beat(t *testing.T, s *Session, p *hedgerow.Process) {
	t.Helper()
	if err := s.Beat(t.Context(), p); err != nil {
		t.Fatal(err)
	}
}

func (r *record) reap(t *testing.T, db *DB, me string, want int) {
	t.Helper()
	dead, err := db.Reap(t.Context(), me)
	if err != nil {
		t.Fatal(err)
	}
	if dead != want {
		t.Errorf("%d processes were dead, want %d", dead, want)
	}
}

// elapse lets time go by for processes: by the tests' clock on SQLite, and on
// PostgreSQL, which has its own, by what is recorded.
func (r *record) elapse(t *testing.T, wall *time.Time, d time.Duration) {
	t.Helper()
	*wall = wall.Add(d)
	if r.Engine() == "postgres" {
		r.execute(t, `UPDATE processes SET beat_at = beat_at - $1`, d.Microseconds())
	}
}

// hosts are those of all processes that are known, with who is dead.
func (r *record) hosts(t *testing.T) (all []string) {
	t.Helper()
	ps, err := r.Processes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range ps {
		if p.Gone {
			p.Host += " gone"
		}
		all = append(all, p.Host)
	}
	return sorted(all)
}

func TestProcess(t *testing.T) {
	onBoth(t, func(t *testing.T, r *record) {
		ctx := t.Context()
		wall := r.clock
		r.now = func() time.Time { return wall }
		s, p := join(t, r.DB, "a")
		if p.ID == "" || p.BeatAt.IsZero() {
			t.Errorf("joined as %+v", p)
		}
		get := func() hedgerow.Process {
			t.Helper()
			all, err := r.Processes(ctx)
			if err != nil || len(all) != 1 {
				t.Fatalf("processes %v, error %v", all, err)
			}
			return all[0]
		}
		same(t, "the process", *p, get())
		first := p.BeatAt
		wall = wall.Add(5 * time.Second)
		p.TickedAt = r.tick()
		p.Problems = []hedgerow.Problem{{Reason: "DiskFull", Message: "only 3 MiB", Since: r.tick()}}
		beat(t, s, p)
		if !p.BeatAt.After(first) {
			t.Errorf("beat at %s after %s", p.BeatAt, first)
		}
		same(t, "after a beat", *p, get())
		p.Problems = nil
		beat(t, s, p)
		same(t, "without problems", *p, get())
		if at, err := r.Clock(ctx); err != nil || at.Before(p.BeatAt) {
			t.Errorf("clock %s, error %v", at, err)
		}

		_, q := join(t, r.open(t), "b")
		if q.ID == p.ID {
			t.Errorf("two processes are %s", p.ID)
		}
		f := r.fabric(t, "lab")
		if ok, err := r.Claim(ctx, f.ID, p.ID, r.tick()); !ok || err != nil {
			t.Fatalf("claimed %t, error %v", ok, err)
		}
		if err := s.Leave(ctx, p.ID); err != nil {
			t.Fatal(err)
		}
		same(t, "who is left", []string{"b"}, r.hosts(t))
		same(t, "followers", []string{}, r.table(t, "followers"))
		l, err := r.dialect.lock(ctx, processLocks, s.number)
		if err != nil || l == nil {
			t.Fatalf("its lock is not free: %v", err)
		}
		l.unlock()
	})
}

// TestReap: one whose lock is free is dead, on PostgreSQL after two beats only,
// for a restart frees it too; one that has it is dead after a lease. Whoever
// looks is spared, and what the dead followed is nobody's.
func TestReap(t *testing.T) {
	onBoth(t, func(t *testing.T, r *record) {
		ctx := t.Context()
		other := r.open(t)
		wall := r.clock
		r.now = func() time.Time { return wall }
		other.now = r.now
		sa, a := join(t, r.DB, "a")
		sb, b := join(t, other, "b")
		f := r.fabric(t, "lab")
		r.claim(t, other, f, b.ID, true)
		step := func(d time.Duration, want int, hosts ...string) {
			t.Helper()
			r.elapse(t, &wall, d)
			beat(t, sa, a)
			same(t, "who is there", hosts, r.hosts(t))
			r.reap(t, r.DB, a.ID, want)
		}
		step(6*time.Second, 0, "a", "b")
		step(5*time.Second, 0, "a", "b") // 11 seconds, but it has its lock
		step(10*time.Second, 0, "a", "b")
		beat(t, sb, b)
		step(21*time.Second, 0, "a", "b") // it was alive
		same(t, "followers", 1, r.count(t, "followers"))
		step(10*time.Second, 1, "a", "b gone") // stopped for 31 seconds: not dead, but as good as
		same(t, "followers", 0, r.count(t, "followers"))
		step(time.Second, 0, "a")

		beat(t, sb, b) // it goes on, and finds that it follows nothing
		if mine, err := other.SetFollow(ctx, f.ID, b.ID, hedgerow.Following, "", r.tick()); mine || err != nil {
			t.Errorf("still the follower: %t, error %v", mine, err)
		}
		step(6*time.Second, 0, "a", "b")
		sb.lock.unlock() // it dies
		if r.Engine() == "postgres" {
			step(time.Second, 0, "a", "b")
		}
		step(5*time.Second, 1, "a", "b gone")
		step(time.Second, 0, "a")

		// Who was stopped does not forget itself when it goes on.
		r.elapse(t, &wall, time.Hour)
		r.reap(t, r.DB, a.ID, 0)
		r.reap(t, other, "somebody", 1)
	})
}

// TestLease is the moment itself, by a clock that stands still.
func TestLease(t *testing.T) {
	r := newRecord(t, "sqlite")
	wall := r.clock
	r.now = func() time.Time { return wall }
	_, p := join(t, r.DB, "stopped")
	wall = p.BeatAt.Add(hedgerow.Lease)
	r.reap(t, r.DB, "me", 0)
	wall = wall.Add(time.Microsecond)
	r.reap(t, r.DB, "me", 1)
}

// TestLockLost: a database that was restarted has forgotten who lives; the
// next beat says so again.
func TestLockLost(t *testing.T) {
	r := newRecord(t, "postgres")
	other := r.open(t)
	s, p := join(t, r.DB, "a")
	var ended bool
	if err := other.read.QueryRowContext(t.Context(), `SELECT bool_and(pg_terminate_backend(pid, 30000)) FROM pg_locks
		WHERE locktype = 'advisory' AND objid = $1 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`, s.number).Scan(&ended); err != nil || !ended {
		t.Fatalf("ended: %t, error %v", ended, err)
	}
	free, err := other.dialect.lock(t.Context(), processLocks, s.number)
	if err != nil || free == nil {
		t.Fatalf("the lock was not lost: %v", err)
	}
	free.unlock()
	beat(t, s, p)
	again, err := other.dialect.lock(t.Context(), processLocks, s.number)
	if err != nil || again != nil {
		t.Errorf("the lock was not taken again: %v", err)
	}
	// While another has it, which looks whether it lives, the beat fails.
	s.lock.unlock()
	held, err := other.dialect.lock(t.Context(), processLocks, s.number)
	if err != nil || held == nil {
		t.Fatalf("not locked: %v", err)
	}
	refused(t, s.Beat(t.Context(), p), hedgerow.CodeStore, "its lock was lost")
	held.unlock()
	beat(t, s, p)
}
