package store

import (
	"crypto/sha256"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/pressly/goose/v3"
	"golang.org/x/sync/errgroup"

	"hedgerow"
	"hedgerow/internal/pgtest"
)

// versionOne is a record as the first release left it: three fabrics, of which
// one is manual, and a kind with three objects and a tombstone.
func versionOne(t *testing.T, engine string) *record {
	t.Helper()
	dir := t.TempDir()
	r := &record{where: filepath.Join(dir, "hedgerow.db"), key: filepath.Join(dir, "key.json"), clock: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	db := &DB{keys: &keyring{file: r.key}, log: slog.New(slog.DiscardHandler), now: time.Now}
	r.DB = db
	dialect, open := goose.DialectSQLite3, db.openSQLite
	if engine == "postgres" {
		r.where, dialect, open = pgtest.URL(t), goose.DialectPostgres, db.openPostgres
	}
	if err := open(r.where); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() }) // closed by whoever opens the record again
	sub, err := fs.Sub(migrations, "migrations/"+engine)
	if err != nil {
		t.Fatal(err)
	}
	p, err := goose.NewProvider(dialect, db.write, sub, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.UpTo(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	for i, policy := range []string{`{}`, `{"interval":-1}`, `{"interval":60000000000,"qps":7}`} {
		r.execute(t, `INSERT INTO fabrics (id, name, cluster, policy, suspended, version, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, 4, 1, 1)`,
			i+1, []string{"default", "manual", "minute"}[i], `{"Server":"https://x"}`, policy, false)
	}
	for id, k := range []hedgerow.Kind{widgets, probes} {
		r.execute(t, `INSERT INTO kinds (id, fabric_id, grp, kind, version, plural, singular, short_names, categories, namespaced, columns, columns_from, fingerprint)
			VALUES ($1, 1, $2, $3, $4, $5, $6, '[]', '[]', $7, '[]', '', '')`, id+1, k.Group, k.Kind, k.Version, k.Plural, k.Singular, true)
	}
	body := `{"kind":"Widget"}`
	digest := sha256.Sum256([]byte(body))
	r.execute(t, `INSERT INTO contents (digest, body) VALUES ($1, $2)`, digest[:], body)
	r.execute(t, `INSERT INTO runs (id, fabric_id, trigger, actor, started_at, finished_at, outcome, code, message, version_before, version_after, evidence)
		VALUES (1, 1, 'manual', 'tester', 1, 2, 'complete', '', '', 3, 4, $1)`,
		`[{"group":"`+widgets.Group+`","kind":"Widget","plural":"widgets","verdict":"complete","revision":"9","completeRun":1,"present":3}]`)
	for _, name := range []string{"a", "b", "c", "gone"} {
		r.execute(t, `INSERT INTO objects (kind_id, namespace, name, fabric_id, uid, resource_version, generation, created_at, digest, since, since_run, began)
			VALUES (1, 'default', $1, 1, $2, '1', 1, 1, $3, 2, 1, 'first seen')`, name, "u-"+name, digest[:])
	}
	r.execute(t, `UPDATE objects SET until = 2, until_run = 1 WHERE name = 'gone'`)
	if engine == "postgres" { // as if they had been numbered by it
		for _, table := range []string{"fabrics", "kinds", "runs"} {
			r.execute(t, `SELECT setval(pg_get_serial_sequence('`+table+`', 'id'), 100)`)
		}
	}
	return r
}

// TestUpgrade: a record of the first release is brought up to date with what
// it holds, and works.
func TestUpgrade(t *testing.T) {
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			r := versionOne(t, engine)
			before := map[string][]string{}
			for _, table := range []string{"fabrics", "contents", "runs", "objects", "history"} {
				before[table] = r.table(t, table)
			}
			r.DB = r.open(t)
			for table, rows := range before {
				same(t, table, rows, r.table(t, table))
			}
			same(t, "schedules", []string{
				"fabric_id=1 next_run_at=0 failures=0 open_since=<nil> probed_at=<nil> probe_error= ",
				"fabric_id=2 next_run_at=<nil> failures=0 open_since=<nil> probed_at=<nil> probe_error= ",
				"fabric_id=3 next_run_at=0 failures=0 open_since=<nil> probed_at=<nil> probe_error= ",
			}, r.table(t, "schedules"))
			if n := r.count(t, `kinds WHERE kind = 'Widget' AND present = 3 AND revision = ''`) + r.count(t, `kinds WHERE kind = 'Probe' AND present = 0`); n != 2 {
				t.Errorf("kinds: %v", r.table(t, "kinds"))
			}
			due, err := r.Due(t.Context(), r.tick(), 10)
			if err != nil || len(due) != 2 {
				t.Errorf("due: %v, error %v", due, err)
			}
			f, err := r.Fabric(t.Context(), "default")
			if err != nil {
				t.Fatal(err)
			}
			if f.Policy.Mode != hedgerow.Watch {
				t.Errorf("mode %q", f.Policy.Mode)
			}
			r.pass(t, f, both, deleted(widgets, widget("a", "u-a", "1", "")))
			counts, err := r.Counts(t.Context(), f.ID)
			if err != nil {
				t.Fatal(err)
			}
			same(t, "objects", map[hedgerow.KindID]int{widgets.ID(): 2}, counts)
			if es := r.evidence(t, f); len(es) != 0 { // of the pass above, which proved nothing
				t.Errorf("evidence: %v", es)
			}
		})
	}
}

// TestOpenAtOnce: several processes that find an empty record, or an old one,
// in the same moment all end up with one that is up to date.
func TestOpenAtOnce(t *testing.T) {
	for _, engine := range []string{"sqlite", "postgres"} {
		for name, where := range map[string]func(t *testing.T) string{
			"empty": func(t *testing.T) string {
				if engine == "postgres" {
					return pgtest.URL(t)
				}
				return filepath.Join(t.TempDir(), "new", "hedgerow.db")
			},
			"old": func(t *testing.T) string {
				r := versionOne(t, engine)
				if err := r.Close(); err != nil {
					t.Fatal(err)
				}
				return r.where
			},
		} {
			t.Run(engine+" "+name, func(t *testing.T) {
				const processes = 6
				path := where(t)
				var eg errgroup.Group
				start := make(chan struct{})
				for range processes {
					eg.Go(func() error {
						<-start
						db, err := Open(t.Context(), path, Options{})
						if err != nil {
							return err
						}
						if _, err := db.Moments(t.Context()); err != nil {
							_ = db.Close()
							return err
						}
						return db.Close()
					})
				}
				close(start)
				if err := eg.Wait(); err != nil {
					t.Fatal(err)
				}
				r := &record{where: path}
				r.DB = r.open(t)
				if n := r.count(t, `goose_db_version WHERE version_id = 2`); n != 1 {
					t.Errorf("the second migration is recorded %d times", n)
				}
			})
		}
	}
}

// TestMigrate: an empty database gets its tables, and opening it again changes
// nothing.
func TestMigrate(t *testing.T) {
	onBoth(t, func(t *testing.T, r *record) {
		f := r.fabric(t, "lab")
		r.pass(t, f, both, firstSeen(widgets, widget("a", "u1", "1", "x")))
		before, applied := r.everything(t), r.count(t, "goose_db_version")
		r.open(t)
		same(t, "tables after opening again", before, r.everything(t))
		if n := r.count(t, "goose_db_version"); n != applied {
			t.Errorf("%d migrations recorded after opening again, %d before", n, applied)
		}
	})
}

// TestNewerRecord: a record that a newer Hedgerow wrote is not touched.
func TestNewerRecord(t *testing.T) {
	onBoth(t, func(t *testing.T, r *record) {
		if r.Engine() == "sqlite" {
			r.execute(t, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)`)
		} else {
			r.execute(t, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, true)`)
		}
		before := r.everything(t)
		_, err := Open(t.Context(), r.where, Options{KeyFile: r.key})
		refused(t, err, hedgerow.CodeStore, "newer Hedgerow")
		if hedgerow.HintOf(err) == "" {
			t.Error("the refusal has no hint")
		}
		same(t, "tables", before, r.everything(t))
	})
}

// TestRecordFile: nobody else may read the record, and a path with characters
// that mean something in a URL is a path.
func TestRecordFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "a b%20?#&.db")
	db, err := Open(t.Context(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, suffix := range []string{"", "-wal", "-shm"} {
		st, err := os.Stat(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if st.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %04o", path+suffix, st.Mode().Perm())
		}
	}
}

// TestNotARecord: what is no database is an error with a code, and stays.
func TestNotARecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notes.txt")
	text := []byte("these are my notes, and they are longer than the header of a database file is: keep them, please, all of them")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), path, Options{})
	refused(t, err, hedgerow.CodeStore, "open the record")
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "the file", string(text), string(got))
}

// TestUnreachable: PostgreSQL that is not there is an error with a code that
// does not show the password.
func TestUnreachable(t *testing.T) {
	_, err := Open(t.Context(), "postgres://u:hunter22@127.0.0.1:1/none?connect_timeout=2", Options{})
	refused(t, err, hedgerow.CodeStore, "open the record")
	_, err = Open(t.Context(), "postgres://u:hunter22@%zz/none", Options{})
	refused(t, err, hedgerow.CodeInvalid, "not valid")
}
