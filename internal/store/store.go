// Package store is the record: what was observed of every fabric, when, and
// how each run went, in SQLite or PostgreSQL.
//
// One text of SQL serves both engines; what differs is in dialect.go and in
// the two folders of migrations. Time is passed in, never taken from a clock
// here or in SQL. Every change of a fabric's data and the run that made it are
// one transaction. The package knows nothing of clusters: it stores what it is
// given, and has no siblings.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"hedgerow"
)

// DB is an open record. It is safe for concurrent use.
type DB struct {
	write   *sql.DB // SQLite: one connection
	read    *sql.DB
	dialect dialect
	keys    *keyring
	log     *slog.Logger
	now     func() time.Time
	conf    *pgx.ConnConfig // PostgreSQL only
	path    string          // SQLite only
	moved   func(fabric int64)
}

// Options say how to open a record.
type Options struct {
	KeyFile string // made when it is missing and nothing has been sealed yet
	Log     *slog.Logger
	// Now is by what running processes judge each other, where the database
	// has no clock of its own. Default: the system's.
	Now func() time.Time
	// Moved, when set, is called after every commit that moved a fabric on.
	Moved func(fabric int64)
}

// Open opens the record at a path (SQLite) or a postgres:// URL, and brings
// its tables up to date. It refuses a record that a newer Hedgerow has
// written.
func Open(ctx context.Context, where string, opt Options) (*DB, error) {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	db := &DB{keys: &keyring{file: opt.KeyFile}, log: opt.Log, now: opt.Now, moved: opt.Moved}
	var err error
	if strings.HasPrefix(where, "postgres://") || strings.HasPrefix(where, "postgresql://") {
		err = db.openPostgres(where)
	} else {
		err = db.openSQLite(where)
	}
	if err == nil {
		err = db.migrate(ctx)
	}
	if err != nil {
		_ = db.Close() // the first error is the one that matters
		return nil, failed("open the record", err)
	}
	return db, nil
}

// Close closes the record.
func (db *DB) Close() error {
	var errs []error
	for _, d := range []*sql.DB{db.read, db.write} {
		if d != nil {
			errs = append(errs, d.Close())
		}
	}
	return errors.Join(errs...)
}

// Engine names the database: "sqlite" or "postgres".
func (db *DB) Engine() string { return db.dialect.name }

// failed gives an error of the database the code that it has for users.
func failed(op string, err error) error {
	var e *hedgerow.Error
	if err == nil || errors.As(err, &e) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	// Drivers write errors of several lines.
	return &hedgerow.Error{Code: hedgerow.CodeStore, Message: op + ": " + strings.Join(strings.Fields(err.Error()), " "), Err: err}
}

const (
	// brief bounds what touches a few rows. Those who wait for it hold leases.
	brief = 20 * time.Second
	// long bounds what may touch a whole fabric.
	long = 2 * time.Minute
)

// tx runs fn, which touches a few rows, in one transaction of the writer.
func (db *DB) tx(ctx context.Context, op string, fn func(*sql.Tx) error) error {
	return db.txWithin(ctx, brief, op, fn)
}

func (db *DB) txWithin(ctx context.Context, d time.Duration, op string, fn func(*sql.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	tx, err := db.write.BeginTx(ctx, nil)
	if err != nil {
		return failed(op, err)
	}
	if err := fn(tx); err != nil {
		_ = tx.Rollback() // the first error is the one that matters
		return failed(op, err)
	}
	return failed(op, tx.Commit())
}

// querier is what *sql.DB and *sql.Tx have in common.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// each calls fn for every one of a few rows.
func each(ctx context.Context, q querier, fn func(*sql.Rows) error, query string, args ...any) error {
	return eachWithin(ctx, brief, q, fn, query, args...)
}

func eachWithin(ctx context.Context, d time.Duration, q querier, fn func(*sql.Rows) error, query string, args ...any) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := fn(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

func micros(t time.Time) int64 { return t.UnixMicro() }

func fromMicros(us int64) time.Time { return time.UnixMicro(us).UTC() }

func fromNullMicros(us sql.NullInt64) time.Time {
	if !us.Valid {
		return time.Time{}
	}
	return fromMicros(us.Int64)
}

// digestOf scans a digest.
type digestOf struct{ d *hedgerow.Digest }

func (s digestOf) Scan(v any) error {
	b, ok := v.([]byte)
	if !ok || len(b) != len(s.d) {
		return fmt.Errorf("a digest has %d bytes", len(b))
	}
	copy(s.d[:], b)
	return nil
}
