package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"hedgerow"
)

// channel is where PostgreSQL tells every process that a fabric moved on.
const channel = "hedgerow_moved"

// announce tells other processes, once tx is committed, that a fabric moved
// on. On SQLite they see it by the file itself.
func (db *DB) announce(ctx context.Context, tx *sql.Tx, fabric int64) error {
	if db.dialect.name != "postgres" {
		return nil
	}
	_, err := tx.ExecContext(ctx, `SELECT pg_notify('`+channel+`', $1)`, strconv.FormatInt(fabric, 10))
	return err
}

// tell tells this process that a fabric moved on.
func (db *DB) tell(fabric int64) {
	if db.moved != nil {
		db.moved(fabric)
	}
}

// Moments says where every fabric is.
func (db *DB) Moments(ctx context.Context) (map[int64]hedgerow.Moment, error) {
	all := map[int64]hedgerow.Moment{}
	err := each(ctx, db.read, func(r *sql.Rows) error {
		var id int64
		var m hedgerow.Moment
		err := r.Scan(&id, &m.Version, &m.Changed, &m.Pass, &m.Running, &m.Followed, &m.Due)
		all[id] = m
		return err
	}, `SELECT f.id, f.version, f.updated_at, coalesce(p.id, 0), p.outcome IS NOT NULL AND p.outcome = 'running', coalesce(w.state || ' ' || w.since || ' ' || w.message, ''), coalesce(s.next_run_at, 0)
		FROM fabrics f LEFT JOIN followers w ON w.fabric_id = f.id LEFT JOIN schedules s ON s.fabric_id = f.id
		LEFT JOIN runs p ON p.id = (SELECT max(id) FROM runs WHERE fabric_id = f.id AND trigger <> 'follow')`)
	return all, failed("read where the fabrics are", err)
}

// Listen calls fn whenever a fabric has moved on by another process's doing,
// with 0 when it may have been any. It returns when ctx is done or the
// database cannot be listened to any more; what happened while nobody listened
// is for the caller to find out.
func (db *DB) Listen(ctx context.Context, fn func(fabric int64)) error {
	if db.dialect.name == "postgres" {
		return db.listenPostgres(ctx, fn)
	}
	return db.listenSQLite(ctx, fn)
}

func (db *DB) listenPostgres(ctx context.Context, fn func(int64)) error {
	conn, err := pgx.ConnectConfig(ctx, db.conf)
	if err != nil {
		return failed("listen to the database", err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(ctx) // nothing is lost with it
	}()
	if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
		return failed("listen to the database", err)
	}
	fn(0) // what happened before is not told
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return failed("listen to the database", err)
		}
		id, err := strconv.ParseInt(n.Payload, 10, 64)
		if err != nil {
			id = 0
		}
		fn(id)
	}
}

// glance is how often we look whether another process has written the file.
const glance = 50 * time.Millisecond

func (db *DB) listenSQLite(ctx context.Context, fn func(int64)) error {
	// The number says whether others have written, and only on a connection
	// that stays the same.
	conn, err := db.read.Conn(ctx)
	if err != nil {
		return failed("listen to the database", err)
	}
	defer conn.Close() //nolint:errcheck // it goes back to the pool
	tick := time.NewTicker(glance)
	defer tick.Stop()
	last := int64(-1)
	for {
		var version int64
		if err := conn.QueryRowContext(ctx, `PRAGMA data_version`).Scan(&version); err != nil {
			return failed("listen to the database", err)
		}
		if version != last {
			fn(0)
		}
		last = version
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// Queue is a connection to the record for the queue, which keeps its own
// tables beside ours: one of SQLite and Postgres is set.
type Queue struct {
	SQLite   *sql.DB
	Postgres *PostgresPool
	// Alone keeps other processes from changing any tables until the function
	// that it returns is called.
	Alone func(context.Context) (func(), error)
}

// Close closes the connection, if it is the queue's own.
func (q *Queue) Close() {
	if q.Postgres != nil {
		q.Postgres.Close()
	}
}

// Queue returns a connection for the queue. On SQLite it is our own writing
// one: two that write the same file would wait for each other by trying again
// and again, in no order, and under load the queue could wait for long.
func (db *DB) Queue(ctx context.Context) (*Queue, error) {
	alone := func(ctx context.Context) (func(), error) { return db.waitLock(ctx, 0) }
	if db.dialect.name == "sqlite" {
		return &Queue{SQLite: db.write, Alone: alone}, nil
	}
	pool, err := openPool(ctx, db.conf)
	if err != nil {
		return nil, failed("open the queue", err)
	}
	return &Queue{Postgres: pool, Alone: alone}, nil
}

// spaceLow is the free space, in bytes, below which a disk counts as full.
const spaceLow = 64 << 20

// Space is a problem when the disk of the record is about full, nil when it is
// not, or not ours to know.
func (db *DB) Space() error {
	if db.dialect.name != "sqlite" {
		return nil
	}
	free, err := freeSpace(db.path)
	switch {
	case err != nil:
		return failed("measure the free space", err)
	case free < spaceLow:
		return hedgerow.Errorf(hedgerow.CodeStore, "only %d MiB are free on the disk of the record, %s", free>>20, db.path).WithHint("%s", fmt.Sprintf("Free at least %d MiB, or nothing more will be recorded.", spaceLow>>20))
	}
	return nil
}

// Full reports whether an error came from a disk without space.
func Full(err error) bool {
	var e interface{ SQLState() string }
	if errors.As(err, &e) {
		return e.SQLState() == "53100" // disk_full
	}
	var code interface{ Code() int }
	const sqliteFull = 13
	return errors.As(err, &code) && code.Code()&0xff == sqliteFull
}
