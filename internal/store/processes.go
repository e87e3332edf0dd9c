package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"hedgerow"
)

// A Session is a process that has made itself known. Its lock tells others
// that it lives: the system drops it with the process.
type Session struct {
	db     *DB
	number int64
	lock   *heldLock
}

// Join makes a process known and returns its session; p.ID is filled in.
func (db *DB) Join(ctx context.Context, p *hedgerow.Process) (*Session, error) {
	for {
		s := &Session{db: db, number: 1 + rand.Int64N(1<<31-2)}
		var err error
		if s.lock, err = db.dialect.lock(ctx, processLocks, s.number); err != nil {
			return nil, failed("lock the process", err)
		}
		if s.lock == nil {
			continue // the number is taken
		}
		p.ID = fmt.Sprintf("%08x", s.number)
		if err := s.Beat(ctx, p); err != nil {
			s.lock.unlock()
			return nil, err
		}
		return s, nil
	}
}

// Beat reports that the process lives, and how it is; p.BeatAt is filled in.
// The times of processes are compared with each other, so they are those of
// the database's clock where it has one.
func (s *Session) Beat(ctx context.Context, p *hedgerow.Process) error {
	if !s.lock.alive(ctx) { // the database was restarted
		l, err := s.db.dialect.lock(ctx, processLocks, s.number)
		if err != nil || l == nil {
			return failed("lock the process", errors.Join(err, errors.New("its lock was lost")))
		}
		s.lock.unlock()
		s.lock = l
	}
	if p.Problems == nil {
		p.Problems = []hedgerow.Problem{}
	}
	problems, err := json.Marshal(p.Problems)
	if err != nil {
		return err
	}
	return s.db.tx(ctx, "report the process", func(tx *sql.Tx) error {
		if p.BeatAt, err = s.db.clock(ctx, tx); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO processes (id, number, host, pid, role, release, workers, started_at, beat_at, ticked_at, problems)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
			ON CONFLICT (id) DO UPDATE SET workers = excluded.workers, beat_at = excluded.beat_at, ticked_at = excluded.ticked_at, problems = excluded.problems`,
			p.ID, s.number, p.Host, p.PID, p.Role, p.Release, p.Workers, micros(p.StartedAt), micros(p.BeatAt), nullMicros(p.TickedAt), string(problems))
		return err
	})
}

// Leave ends the session: others may take over at once what the process did.
func (s *Session) Leave(ctx context.Context, id string) error {
	err := s.db.tx(ctx, "take leave", func(tx *sql.Tx) error { return forget(ctx, tx, id) })
	s.lock.unlock()
	return err
}

// forget removes a process and what it followed.
func forget(ctx context.Context, tx *sql.Tx, id string) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM processes WHERE id = $1`, id); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `DELETE FROM followers WHERE process_id = $1`, id)
	return err
}

// Processes returns every process that has made itself known and not taken
// leave, with whether it has died since.
func (db *DB) Processes(ctx context.Context) (all []hedgerow.Process, err error) {
	known, err := db.processes(ctx)
	if err != nil {
		return nil, failed("read the processes", err)
	}
	now, err := db.clock(ctx, db.read)
	if err != nil {
		return nil, failed("read the clock", err)
	}
	for _, p := range known {
		if p.Gone, err = db.gone(ctx, p, now); err != nil {
			return nil, failed("look whether a process lives", err)
		}
		all = append(all, p.Process)
	}
	return all, nil
}

// numberedProcess is a process and the number of its lock.
type numberedProcess struct {
	hedgerow.Process
	number int64
}

func (db *DB) processes(ctx context.Context) (all []numberedProcess, err error) {
	err = each(ctx, db.read, func(r *sql.Rows) error {
		var p numberedProcess
		var started, beat int64
		var ticked sql.NullInt64
		var problems string
		if err := r.Scan(&p.ID, &p.number, &p.Host, &p.PID, &p.Role, &p.Release, &p.Workers, &started, &beat, &ticked, &problems); err != nil {
			return err
		}
		p.StartedAt, p.BeatAt, p.TickedAt = fromMicros(started), fromMicros(beat), fromNullMicros(ticked)
		if err := json.Unmarshal([]byte(problems), &p.Problems); err != nil {
			return err
		}
		all = append(all, p)
		return nil
	}, `SELECT id, number, host, pid, role, release, workers, started_at, beat_at, ticked_at, problems FROM processes ORDER BY started_at, id`)
	return all, err
}

// gone reports whether a process has died: it has not reported for a lease, or
// its lock is free. A restart of PostgreSQL frees the locks of the living,
// which take them again with the next beat.
func (db *DB) gone(ctx context.Context, p numberedProcess, now time.Time) (bool, error) {
	silent := now.Sub(p.BeatAt)
	if silent > hedgerow.Lease {
		return true, nil
	}
	if db.dialect.name == "postgres" && silent <= 2*hedgerow.Beat {
		return false, nil
	}
	l, err := db.dialect.lock(ctx, processLocks, p.number)
	if err != nil || l == nil {
		return false, err
	}
	l.unlock()
	return true, nil
}

// Reap forgets every process that has died, and returns how many. The process
// me is spared.
func (db *DB) Reap(ctx context.Context, me string) (dead int, err error) {
	all, err := db.Processes(ctx)
	if err != nil {
		return 0, err
	}
	for _, p := range all {
		if !p.Gone || p.ID == me {
			continue
		}
		if err := db.tx(ctx, "forget a dead process", func(tx *sql.Tx) error { return forget(ctx, tx, p.ID) }); err != nil {
			return dead, err
		}
		dead++
	}
	return dead, nil
}

// Clock is the time by which processes judge each other.
func (db *DB) Clock(ctx context.Context) (time.Time, error) {
	t, err := db.clock(ctx, db.read)
	return t, failed("read the clock", err)
}

func (db *DB) clock(ctx context.Context, q querier) (time.Time, error) {
	if db.dialect.name == "sqlite" {
		return db.now(), nil // a file's users share a machine
	}
	ctx, cancel := context.WithTimeout(ctx, brief)
	defer cancel()
	var us int64
	err := q.QueryRowContext(ctx, `SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint`).Scan(&us)
	return fromMicros(us), err
}
