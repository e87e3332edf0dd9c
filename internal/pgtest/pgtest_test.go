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
