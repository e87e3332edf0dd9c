// Package auth decides who somebody is: passwords, sign-in, sessions. What a
// user may do follows from their roles, which are the vocabulary's, and is
// enforced where the record is read.
//
// It keeps no state of its own and knows no HTTP: where sessions are recorded
// is behind an interface, and what a browser holds is a token to it.
package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"log/slog"
	"time"

	"github.com/alexedwards/argon2id"

	"hedgerow"
)

// The life of a session.
const (
	// Idle ends a session that nobody has used for so long.
	Idle = 12 * time.Hour
	// Longest ends it however much it is used.
	Longest = 7 * 24 * time.Hour
	// noted is how exactly its use is recorded.
	noted = time.Minute
)

// Throttling of one user's sign-ins, as NIST SP 800-63B section 5.2.2 asks for:
// the first are free, and then each has to wait twice as long as the one
// before.
const (
	free        = 5
	longestWait = 5 * time.Minute
)

// Store is where users and sessions are recorded.
type Store interface {
	Attempt(ctx context.Context, name string, now time.Time, pause func(failures int) time.Duration) (user int64, hash string, err error)
	AddSession(ctx context.Context, user int64, hash string, token []byte, now, began, used time.Time) error
	Session(ctx context.Context, token []byte, began, used time.Time) (hedgerow.User, time.Time, error)
	UseSession(ctx context.Context, token []byte, now time.Time) error
	EndSession(ctx context.Context, token []byte) error
}

// A Desk signs people in and out, and knows them again. It is safe for
// concurrent use.
type Desk struct {
	store   Store
	now     func() time.Time
	log     *slog.Logger
	waiting chan struct{} // holds something for each sign-in under way
	hashing chan struct{} // and for each hash being made: they take 64 MiB each
	nobody  string        // the hash of a password that nobody has
}

// hashesAtOnce bounds the memory that strangers can make us take, and signingIn
// how long those who belong here wait behind them.
const (
	hashesAtOnce = 2
	signingIn    = 16
)

// NewDesk returns a desk.
func NewDesk(store Store, now func() time.Time, log *slog.Logger) (*Desk, error) {
	nobody, err := Hash(rand.Text())
	return &Desk{store: store, now: now, log: log, waiting: make(chan struct{}, signingIn), hashing: make(chan struct{}, hashesAtOnce), nobody: nobody}, err
}

// parameters of argon2id: those of RFC 9106 section 4 for little memory.
var parameters = &argon2id.Params{Memory: 64 << 10, Iterations: 3, Parallelism: 4, SaltLength: 16, KeyLength: 32}

// shortest is the least length of a password, as NIST SP 800-63B-4 has it for
// one that is not the only factor and is throttled.
const shortest = 8

// Hash returns what is recorded of a password.
func Hash(password string) (string, error) {
	if len(password) < shortest {
		return "", hedgerow.Errorf(hedgerow.CodeInvalid, "a password has at least %d characters", shortest)
	}
	return argon2id.CreateHash(password, parameters)
}

// errRefused is what a sign-in that fails is told, whatever the reason (S19).
var errRefused = hedgerow.Errorf(hedgerow.CodeUnauthorized, "that is not a user's name and password, or too many sign-ins failed; after some that did, each has to wait, five minutes at most")

// SignIn checks a password, begins a session and returns the token to it,
// which is recorded nowhere. It fails in the same words and after the same work
// whether there is no such user, the password is another, or it is too soon
// after others that failed; or with CodeThrottled when too many people try at
// the same time.
func (d *Desk) SignIn(ctx context.Context, name, password string) (token string, err error) {
	select {
	case d.waiting <- struct{}{}:
		defer func() { <-d.waiting }()
	default:
		return "", hedgerow.Errorf(hedgerow.CodeThrottled, "too many people sign in at this moment; try again")
	}
	now := d.now()
	var user int64
	var hash string
	if err = hedgerow.ValidUserName(name); err == nil {
		user, hash, err = d.store.Attempt(ctx, name, now, pause)
	}
	switch hedgerow.CodeOf(err) {
	case hedgerow.CodeOK:
	case hedgerow.CodeNotFound, hedgerow.CodeThrottled, hedgerow.CodeInvalid:
		hash = d.nobody
	default:
		return "", err
	}
	right, failed := d.compare(ctx, password, hash)
	switch {
	case failed != nil:
		return "", failed
	case hedgerow.CodeOf(err) == hedgerow.CodeThrottled:
		d.log.Warn("sign-in refused: too many failed", "user", name)
		return "", errRefused
	case err != nil: // what was typed may be a password in the wrong field
		d.log.Warn("sign-in failed: no such user")
		return "", errRefused
	case !right:
		d.log.Warn("sign-in failed", "user", name)
		return "", errRefused
	}
	raw := make([]byte, 32)
	_, _ = rand.Read(raw) // it never fails
	token = base64.RawURLEncoding.EncodeToString(raw)
	if err := d.store.AddSession(ctx, user, hash, fingerprint(token), now, now.Add(-Longest), now.Add(-Idle)); err != nil {
		if hedgerow.CodeOf(err) == hedgerow.CodeUnauthorized {
			return "", errRefused
		}
		return "", err
	}
	d.log.Info("signed in", "user", name)
	return token, nil
}

// pause is how long after a failed sign-in the next has to wait.
func pause(failures int) time.Duration {
	if failures < free {
		return 0
	}
	return min(time.Second<<min(failures-free, 20), longestWait)
}

func (d *Desk) compare(ctx context.Context, password, hash string) (bool, error) {
	select {
	case d.hashing <- struct{}{}:
		defer func() { <-d.hashing }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	return argon2id.ComparePasswordAndHash(password, hash)
}

// User returns who holds a token, with the roles that they have now;
// CodeUnauthorized when the session has ended. What a page does by itself is no
// use of the session by its user.
func (d *Desk) User(ctx context.Context, token string, used bool) (hedgerow.User, error) {
	now := d.now()
	key := fingerprint(token)
	u, last, err := d.store.Session(ctx, key, now.Add(-Longest), now.Add(-Idle))
	if err != nil || !used || now.Sub(last) <= noted {
		return u, err
	}
	// Nobody waits for that while the record is being written.
	ctx, cancel := context.WithTimeout(ctx, noteWait)
	defer cancel()
	if err := d.store.UseSession(ctx, key, now); err != nil {
		d.log.Debug("session not noted", "error", err.Error()) // the next request will
	}
	return u, nil
}

// noteWait bounds the noting of a session's use.
const noteWait = 200 * time.Millisecond

// SignOut ends the session of a token.
func (d *Desk) SignOut(ctx context.Context, token string) error {
	return d.store.EndSession(ctx, fingerprint(token))
}

// fingerprint is what is recorded of a token: it has 256 random bits, so one
// round of a plain hash is enough.
func fingerprint(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}
