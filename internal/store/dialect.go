package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	_ "modernc.org/sqlite" // driver "sqlite"

	"hedgerow"
)

//go:embed migrations
var migrations embed.FS

// dialect is what differs between the engines beyond their migrations.
type dialect struct {
	name string
	// lock takes a lock without waiting, nil when somebody has it. It is let
	// go when the process dies, however it dies.
	lock func(ctx context.Context, space lockSpace, number int64) (*heldLock, error)
	// forUpdate ends a SELECT whose row must stay as it is until the
	// transaction ends. On SQLite a transaction that writes is alone anyway.
	forUpdate string
	// bind rewrites a statement whose parameters are written "?".
	bind func(query string) string
}

// lockSpace says what a lock's number counts.
type lockSpace int32

const (
	fabricLocks  lockSpace = iota // and 0, which is no fabric, for the tables themselves
	processLocks                  // of running processes
)

// heldLock is a lock that we have.
type heldLock struct {
	unlock func()
	// alive reports whether it is still ours: a database that was restarted
	// has forgotten it.
	alive func(context.Context) bool
}

func (db *DB) openSQLite(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return hedgerow.Errorf(hedgerow.CodeStore, "the data folder: %w", err)
	}
	// The file holds the names and addresses of a whole network: it is made
	// for its owner only.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return hedgerow.Errorf(hedgerow.CodeStore, "the record: %w", err)
	}
	if err := f.Close(); err != nil {
		return err
	}
	db.path = path
	if db.write, err = sql.Open("sqlite", sqliteDSN(path)); err != nil {
		return err
	}
	db.write.SetMaxOpenConns(1)
	if db.read, err = sql.Open("sqlite", sqliteDSN(path, "query_only(1)", "cache_size(-4000)")); err != nil {
		return err
	}
	// Each has a cache of its own, which fills with the record; the system has
	// one for all. One connection is taken by Listen.
	db.read.SetMaxOpenConns(6)
	locks := path + ".locks"
	db.dialect = dialect{name: "sqlite", bind: func(q string) string { return q }, lock: func(_ context.Context, space lockSpace, number int64) (*heldLock, error) {
		if space != processLocks {
			return lockFile(filepath.Join(locks, fmt.Sprint(number)))
		}
		path := filepath.Join(locks, fmt.Sprint("process-", number))
		l, err := lockFile(path)
		if l != nil {
			unlock := l.unlock
			l.unlock = func() {
				_ = os.Remove(path) // no process will have that number again
				unlock()
			}
		}
		return l, err
	}}
	return nil
}

func sqliteDSN(path string, more ...string) string {
	q := url.Values{"_pragma": {"busy_timeout(15000)", "page_size(8192)", "journal_mode(WAL)", "synchronous(NORMAL)", "foreign_keys(1)", "case_sensitive_like(1)", "cache_size(-16000)", "wal_autocheckpoint(2000)"}}
	q["_pragma"] = append(q["_pragma"], more...)
	q.Set("_txlock", "immediate")
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode()
}

func (db *DB) openPostgres(where string) error {
	conf, err := pgx.ParseConfig(where)
	if err != nil { // which may quote the password
		return hedgerow.Errorf(hedgerow.CodeInvalid, "the database URL is not valid; it should look like postgres://user:password@host:5432/name")
	}
	if conf.ConnectTimeout == 0 {
		conf.ConnectTimeout = 5 * time.Second
	}
	for name, value := range sessionDefaults {
		if conf.RuntimeParams[name] == "" {
			conf.RuntimeParams[name] = value
		}
	}
	db.write = stdlib.OpenDB(*conf)
	db.write.SetConnMaxIdleTime(5 * time.Minute)
	db.SetPasses(4, 0)
	db.read = db.write
	db.conf = conf
	db.dialect = dialect{name: "postgres", bind: numbered, lock: db.lockPostgres, forUpdate: " FOR UPDATE"}
	return nil
}

// sessionDefaults are the parameters of our sessions on PostgreSQL that the URL
// does not set. A process that stands still in the middle of a transaction, or
// whose machine is gone, would keep its locks, and with them the others from
// taking over its fabrics; so the server ends its sessions before its lease
// does.
var sessionDefaults = map[string]string{
	"application_name":                    "hedgerow",
	"idle_in_transaction_session_timeout": "15s",
	"tcp_keepalives_idle":                 "10",
	"tcp_keepalives_interval":             "5",
	"tcp_keepalives_count":                "3",
}

// SetPasses says how many passes will be made at a time, and how many more will
// wait for their clusters: on PostgreSQL each holds one connection for its
// lock, and one that is busy needs another.
func (db *DB) SetPasses(busy, waiting int) {
	if db.dialect.name != "sqlite" {
		db.write.SetMaxOpenConns(2*busy + waiting + 12)
		db.write.SetMaxIdleConns(busy + 4)
	}
}

// waitLock takes a lock that others hold for moments only; no fabric has the
// number 0, which is that of the tables themselves.
func (db *DB) waitLock(ctx context.Context, number int64) (unlock func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		l, err := db.dialect.lock(ctx, fabricLocks, number)
		if err != nil {
			return nil, err
		}
		if l != nil {
			return l.unlock, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
		}
	}
}

// advisory is the space of our PostgreSQL advisory locks: "HEDG" as a number.
const advisory = 0x48454447

// lockPostgres takes an advisory lock, which PostgreSQL drops with the
// connection that took it.
func (db *DB) lockPostgres(ctx context.Context, space lockSpace, number int64) (*heldLock, error) {
	ctx, cancel := context.WithTimeout(ctx, brief)
	defer cancel()
	conn, err := db.write.Conn(ctx)
	if err != nil {
		return nil, err
	}
	key := advisory + int32(space)
	var ok bool
	if err := conn.QueryRowContext(ctx, `SELECT pg_try_advisory_lock($1, $2)`, key, int32(number)).Scan(&ok); err != nil || !ok {
		_ = conn.Close()
		return nil, err
	}
	return &heldLock{
		unlock: func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			// Should this fail, the connection is lost and the lock with it.
			_, _ = conn.ExecContext(ctx, `SELECT pg_advisory_unlock($1, $2)`, key, int32(number))
			_ = conn.Close()
		},
		alive: func(ctx context.Context) bool {
			ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
			defer cancel()
			return conn.PingContext(ctx) == nil
		},
	}, nil
}

// alone keeps other transactions from writing a table until tx ends. On SQLite
// a transaction that writes is alone anyway.
func (db *DB) alone(ctx context.Context, tx *sql.Tx, table string) error {
	if db.dialect.name != "postgres" {
		return nil
	}
	_, err := tx.ExecContext(ctx, `LOCK TABLE `+table+` IN SHARE ROW EXCLUSIVE MODE`)
	return err
}

// migrate brings the tables up to date.
func (db *DB) migrate(ctx context.Context) error {
	dir, err := fs.Sub(migrations, "migrations/"+db.dialect.name)
	if err != nil {
		return err
	}
	opts := []goose.ProviderOption{goose.WithDisableGlobalRegistry(true)}
	dialect := goose.DialectSQLite3
	if db.dialect.name == "postgres" {
		dialect = goose.DialectPostgres
		locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300)) // seconds, times
		if err != nil {
			return err
		}
		opts = append(opts, goose.WithSessionLocker(locker))
	}
	p, err := goose.NewProvider(dialect, db.write, dir, opts...)
	if err != nil {
		return err
	}
	// On PostgreSQL goose takes a lock of its own.
	if db.dialect.name == "sqlite" {
		unlock, err := db.waitLock(ctx, 0)
		if err != nil {
			return err
		}
		defer unlock()
	}
	have, want, err := p.GetVersions(ctx)
	if err != nil {
		return err
	}
	if have > want {
		return hedgerow.Errorf(hedgerow.CodeStore, "the record was written by a newer Hedgerow (tables at version %d; this one knows %d)", have, want).
			WithHint("Run the newer Hedgerow, or restore a backup made before the upgrade.")
	}
	if have == want {
		return nil
	}
	_, err = p.Up(ctx)
	return err
}
