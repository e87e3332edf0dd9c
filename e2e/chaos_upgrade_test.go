package e2e

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pressly/goose/v3"

	"hedgerow/e2e/lab"
)

// TestChaosUpgrade: of several processes that find an empty record, or one of
// the first release, at once, one brings it up to date and all go to work; a
// record of a newer release is refused.
func TestChaosUpgrade(t *testing.T) {
	t.Parallel()
	fleet := lab.NewFleet(t, 2, 48)
	// Fabrics with sealed credentials, to put into a record of the first
	// release: what holds them is the same there.
	donor, from := install(t, "sqlite")
	fleet.Add(t, donor, "--interval", "60s")
	for _, engine := range []string{"sqlite", "postgres"} {
		for _, old := range []bool{false, true} {
			name := engine + " empty"
			if old {
				name = engine + " of the first release"
			}
			t.Run(name, func(t *testing.T) {
				h, r := install(t, engine)
				if old {
					firstRelease(t, r, from)
					copyFile(t, filepath.Join(donor.Dir, "key.json"), filepath.Join(h.Dir, "key.json"))
				}
				const several = 4
				var all []*lab.Process
				for range several {
					all = append(all, lab.Launch(t, h, "serve", "--log-format", "json", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"))
				}
				for _, p := range all {
					p.Await(t, time.Minute, "started", func() bool { return strings.Contains(p.Stderr(), `"msg":"started"`) })
				}
				if twice := r.rows(t, `SELECT version_id, count(*) AS n FROM goose_db_version GROUP BY 1 HAVING count(*) > 1`); len(twice) > 0 {
					t.Errorf("migrated twice: %v", twice)
				}
				if now := r.rows(t, `SELECT version_id FROM goose_db_version WHERE version_id > 1`); len(now) == 0 {
					t.Error("not migrated")
				}
				if !old {
					fleet.Add(t, h, "--interval", "60s")
				}
				var state []string
				waitFor(t, time.Minute, "every process to live and every fabric to be followed", func(context.Context) bool {
					state = append(r.rows(t, `SELECT id, role FROM processes`), r.rows(t, `SELECT * FROM followers WHERE state = 'following'`)...)
					return len(state) == several+fleet.Size()
				}, func() string { return strings.Join(state, "\n") })
				r.catchesUp(t, fleet, time.Now(), caughtUpWithin)
				for _, p := range all {
					if code := p.Stop(t); code != 0 {
						t.Errorf("%s ended with %d", p, code)
					}
				}
				r.whole(t, "after it all", true)

				r.must(t, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, $1)`, true)
				before := r.dump(t)
				for _, role := range []string{"serve", "worker"} {
					res := h.Run(t, role, "--metrics-listen", "127.0.0.1:0")
					if res.Code != 1 || !strings.Contains(res.Stderr, "the record was written by a newer Hedgerow (tables at version 9999; this one knows ") {
						t.Errorf("%s: exit %d: %s", role, res.Code, res.Stderr)
					}
				}
				if d := differs(before, r.dump(t)); len(d) > 0 {
					t.Errorf("what was refused changed %v", d)
				}
			})
		}
	}
}

// must executes a statement.
func (r record) must(t *testing.T, statement string, args ...any) {
	t.Helper()
	if _, err := r.ExecContext(t.Context(), statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// firstRelease makes the tables as the first release had them, with the fabrics
// and secrets of another record.
func firstRelease(t *testing.T, r, from record) {
	t.Helper()
	dialect := goose.DialectSQLite3
	if r.engine == "postgres" {
		dialect = goose.DialectPostgres
	}
	p, err := goose.NewProvider(dialect, r.DB, os.DirFS(filepath.Join("..", "internal", "store", "migrations", r.engine)), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.UpTo(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if r.engine == "sqlite" {
		r.must(t, `PRAGMA journal_mode=WAL`)
	}
	rows, err := from.QueryContext(t.Context(), `SELECT id, name, cluster, policy, created_at FROM fabrics`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id, at int64
		var name, cluster, policy string
		if err := rows.Scan(&id, &name, &cluster, &policy, &at); err != nil {
			t.Fatal(err)
		}
		r.must(t, `INSERT INTO fabrics (id, name, cluster, policy, suspended, version, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, 0, $6, $6)`, id, name, cluster, policy, false, at)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	secrets, err := from.QueryContext(t.Context(), `SELECT name, fabric_id, sealed, updated_at FROM secrets`)
	if err != nil {
		t.Fatal(err)
	}
	defer secrets.Close()
	for secrets.Next() {
		var name string
		var fabric sql.NullInt64
		var sealed []byte
		var at int64
		if err := secrets.Scan(&name, &fabric, &sealed, &at); err != nil {
			t.Fatal(err)
		}
		r.must(t, `INSERT INTO secrets (name, fabric_id, sealed, updated_at) VALUES ($1, $2, $3, $4)`, name, fabric, sealed, at)
	}
	if err := secrets.Err(); err != nil {
		t.Fatal(err)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
