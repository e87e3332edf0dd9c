package auth_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"hedgerow"
	"hedgerow/internal/auth"
	"hedgerow/internal/pgtest"
	"hedgerow/internal/store"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// lobby is a desk on a record of its own, under a clock that the test sets.
type lobby struct {
	*testing.T
	*auth.Desk
	db  *store.DB
	now time.Time
	log bytes.Buffer
}

const password = "ada's, quite long"

// onBoth runs a test on every engine, with a user ada.
func onBoth(t *testing.T, test func(l *lobby)) {
	t.Helper()
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			where := filepath.Join(t.TempDir(), "hedgerow.db")
			if engine == "postgres" {
				where = pgtest.URL(t)
			}
			db, err := store.Open(t.Context(), where, store.Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { db.Close() })
			l := &lobby{T: t, db: db, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
			if l.Desk, err = auth.NewDesk(db, func() time.Time { return l.now }, slog.New(slog.NewTextHandler(&l.log, nil))); err != nil {
				t.Fatal(err)
			}
			hash, err := auth.Hash(password)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := db.AddUser(t.Context(), hedgerow.User{Name: "ada", Role: hedgerow.Admin}, hash, l.now); err != nil {
				t.Fatal(err)
			}
			test(l)
		})
	}
}

func (l *lobby) signIn(name, password string, want hedgerow.Code) string {
	l.Helper()
	token, err := l.SignIn(l.Context(), name, password)
	if hedgerow.CodeOf(err) != want || (err == nil) != (token != "") {
		l.Errorf("%s signs in: %v, want %q", name, err, want)
	}
	return token
}

func (l *lobby) is(what, token string, want hedgerow.Code) {
	l.Helper()
	u, err := l.User(l.Context(), token, true)
	if hedgerow.CodeOf(err) != want || err == nil && (u.Name != "ada" || u.Role != hedgerow.Admin) {
		l.Errorf("%s: %+v, %v", what, u, err)
	}
}

// TestSessions: how they begin and end (S22), and that nothing of a secret is
// logged (S5).
func TestSessions(t *testing.T) {
	onBoth(t, func(l *lobby) {
		first, second := l.signIn("ada", password, ""), l.signIn("ada", password, "")
		if first == second || len(first) < 40 {
			t.Errorf("tokens %q and %q", first, second)
		}
		l.is("signed in", first, "")
		for what, token := range map[string]string{"nothing": "", "another": "x" + first, "cut": first[1:]} {
			l.is(what, token, hedgerow.CodeUnauthorized)
		}
		if err := l.SignOut(l.Context(), first); err != nil {
			t.Fatal(err)
		}
		l.is("signed out", first, hedgerow.CodeUnauthorized)
		l.is("the other session", second, "")
		// In use, it goes on; but not for ever.
		begun := l.now
		for l.now.Sub(begun) < auth.Longest {
			l.is("in use", second, "")
			l.now = l.now.Add(auth.Idle - time.Minute)
		}
		l.is("too long", second, hedgerow.CodeUnauthorized)
		idle := l.signIn("ada", password, "")
		l.now = l.now.Add(auth.Idle + time.Second)
		l.is("idle", idle, hedgerow.CodeUnauthorized)
		// Another password ends all of them.
		third := l.signIn("ada", password, "")
		hash, err := auth.Hash("another, long too")
		if err != nil {
			t.Fatal(err)
		}
		if err := l.db.SetPassword(l.Context(), "ada", hash); err != nil {
			t.Fatal(err)
		}
		l.is("after another password", third, hedgerow.CodeUnauthorized)
		l.signIn("ada", password, hedgerow.CodeUnauthorized)
		fourth := l.signIn("ada", "another, long too", "")
		if err := l.db.RemoveUser(l.Context(), "ada"); err != nil {
			t.Fatal(err)
		}
		l.is("after the user was removed", fourth, hedgerow.CodeUnauthorized)
		for _, secret := range []string{password, "another, long too", first, second, third, fourth, hash} {
			if strings.Contains(l.log.String(), secret) {
				t.Errorf("the log holds %q", secret)
			}
		}
	})
}

// TestThrottle: after a few failures each try has to wait longer, whoever else is
// tried in between and however many try at once (S23); nobody is told (S19).
func TestThrottle(t *testing.T) {
	onBoth(t, func(l *lobby) {
		for range 5 {
			l.signIn("ada", "wrong", hedgerow.CodeUnauthorized)
		}
		for i := range 20 {
			l.signIn(fmt.Sprint("nobody", i), "wrong", hedgerow.CodeUnauthorized)
		}
		l.signIn("no\x00name", "wrong", hedgerow.CodeUnauthorized)
		l.signIn("ada", password, hedgerow.CodeUnauthorized)
		wait := time.Second
		for range 10 {
			l.now = l.now.Add(wait - time.Millisecond)
			l.signIn("ada", password, hedgerow.CodeUnauthorized)
			l.now = l.now.Add(time.Millisecond)
			l.signIn("ada", "wrong", hedgerow.CodeUnauthorized)
			wait = min(2*wait, 5*time.Minute)
		}
		l.now = l.now.Add(5 * time.Minute)
		l.signIn("ada", password, "")
		l.signIn("ada", "wrong", hedgerow.CodeUnauthorized)
		l.signIn("ada", password, "")
		if strings.Contains(l.log.String(), "nobody7") {
			t.Error("the log holds a name that is no user's: it may be a password")
		}
	})
}

// TestThrottleAtOnce: of many tries at the same time no more count than of as
// many one after another.
func TestThrottleAtOnce(t *testing.T) {
	onBoth(t, func(l *lobby) {
		for range 4 {
			l.signIn("ada", "wrong", hedgerow.CodeUnauthorized)
		}
		var mu sync.Mutex
		got := map[hedgerow.Code]int{}
		var wg sync.WaitGroup
		for range 12 {
			wg.Go(func() {
				_, err := l.SignIn(l.Context(), "ada", "wrong")
				mu.Lock()
				defer mu.Unlock()
				got[hedgerow.CodeOf(err)]++
			})
		}
		wg.Wait()
		if got[""] > 0 {
			t.Errorf("%v", got)
		}
		// One of them was the fifth failure; had the others counted as tries, the
		// wait would be longer than a second.
		l.now = l.now.Add(time.Second)
		l.signIn("ada", password, "")
	})
}

func TestHash(t *testing.T) {
	a, errA := auth.Hash(password)
	b, errB := auth.Hash(password)
	if errA != nil || errB != nil || a == b || !strings.HasPrefix(a, "$argon2id$v=19$m=65536,t=3,p=4$") {
		t.Errorf("%s and %s, %v, %v", a, b, errA, errB)
	}
	if _, err := auth.Hash("1234567"); hedgerow.CodeOf(err) != hedgerow.CodeInvalid {
		t.Errorf("a short one: %v", err)
	}
}
