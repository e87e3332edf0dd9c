// Package pgtest gives tests a real PostgreSQL: one server for a test process,
// started when the first test asks for it, and a fresh database for each test.
//
// It uses the PostgreSQL that is installed and knows nothing of what the tests
// store in it.
package pgtest

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // driver "pgx"
)

// Require is the variable that, set to 1, makes tests fail instead of skip
// where PostgreSQL is not installed.
const Require = "HEDGEROW_TEST_REQUIRE_POSTGRES"

// shared is the server of this process.
var shared struct {
	start   sync.Once
	server  *server
	err     error
	created atomic.Int64
}

// Main runs the tests of a package, stops the server if they started one, and
// ends the process. Call it from TestMain.
func Main(m *testing.M) {
	code := m.Run()
	if shared.server != nil {
		if err := shared.server.stop(); err != nil {
			fmt.Fprintln(os.Stderr, "pgtest:", err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

// URL returns the postgres:// URL of a new, empty database, which is dropped
// when the test ends. Without an installed PostgreSQL it skips the test, or
// fails it where the variable [Require] is 1.
func URL(tb testing.TB) string {
	tb.Helper()
	bin := installed(tb)
	shared.start.Do(func() { shared.server, shared.err = start(bin) })
	if shared.err != nil {
		tb.Fatalf("pgtest: %v", shared.err)
	}
	name := fmt.Sprintf("test%d", shared.created.Add(1))
	if err := shared.server.exec("CREATE DATABASE " + name + " TEMPLATE template0"); err != nil {
		tb.Fatalf("pgtest: %v", err)
	}
	tb.Cleanup(func() {
		if err := shared.server.exec("DROP DATABASE " + name + " WITH (FORCE)"); err != nil {
			tb.Errorf("pgtest: %v", err)
		}
	})
	return shared.server.url(name)
}

// Own returns a server of the test's own, which it may restart: what was
// committed outlives that, though not the machine. It is stopped when the test
// ends.
func Own(tb testing.TB) *Server {
	tb.Helper()
	s, err := start(installed(tb), "-c", "synchronous_commit=on")
	if err != nil {
		tb.Fatalf("pgtest: %v", err)
	}
	tb.Cleanup(func() {
		if err := s.stop(); err != nil {
			tb.Errorf("pgtest: %v", err)
		}
	})
	return &Server{server: s}
}

// installed is the folder of PostgreSQL's programs. Without them the test is
// skipped, or fails where the variable [Require] is 1.
func installed(tb testing.TB) string {
	tb.Helper()
	bin, ok := find()
	if !ok {
		const missing = "PostgreSQL is not installed (no initdb in PATH or /usr/lib/postgresql/*/bin)"
		if os.Getenv(Require) == "1" {
			tb.Fatalf("%s, and %s=1", missing, Require)
		}
		tb.Skip(missing)
	}
	return bin
}

// url addresses a database of the server through its socket.
func (s *server) url(database string) string {
	q := url.Values{"host": {s.dir}, "user": {user}}
	return "postgres:///" + database + "?" + q.Encode()
}

// exec runs one statement as the administrator.
func (s *server) exec(statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	db, err := sql.Open("pgx", s.url("postgres"))
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.ExecContext(ctx, statement)
	return err
}
