package pgtest_test

import (
	"database/sql"
	"testing"

	"hedgerow/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// TestURL: each test gets an empty database of its own.
func TestURL(t *testing.T) {
	var urls []string
	for range 2 {
		url := pgtest.URL(t)
		urls = append(urls, url)
		db, err := sql.Open("pgx", url)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.ExecContext(t.Context(), `CREATE TABLE mine (n INT)`); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
	if urls[0] == urls[1] {
		t.Errorf("two databases at %s", urls[0])
	}
}

// TestRestart: what was committed is there after a restart, and after a crash;
// sessions are not.
func TestRestart(t *testing.T) {
	s := pgtest.Own(t)
	url, err := s.Create()
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(t.Context(), `CREATE TABLE mine (n INT)`); err != nil {
		t.Fatal(err)
	}
	if err := conn.PingContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, crash := range []bool{false, true} {
		if err := s.Restart(crash); err != nil {
			t.Fatal(err)
		}
		if err := conn.PingContext(t.Context()); err == nil {
			t.Error("the session has outlived its server")
		}
		if _, err := db.ExecContext(t.Context(), `INSERT INTO mine VALUES (1)`); err != nil {
			t.Fatal(err)
		}
		var n int
		if err := db.QueryRowContext(t.Context(), `SELECT count(*) FROM mine`).Scan(&n); err != nil || n != i+1 {
			t.Errorf("%d rows, error %v", n, err)
		}
	}
}
