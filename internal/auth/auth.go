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
	Password(ctx context.Context, name string) (user int64, hash string, failures int, failedAt time.Time, err error)
	SignInFailed(ctx context.Context, user int64, now time.Time) error
	AddSession(ctx context.Context, user int64, token []byte, now, began, used time.Time) error
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
	hashing chan struct{} // holds something for each hash being made: they take 64 MiB each
	nobody  string        // the hash of a password that nobody has
}

// hashesAtOnce bounds the memory that strangers can make us take.
const hashesAtOnce = 2

// NewDesk returns a desk.
func NewDesk(store Store, now func() time.Time, log *slog.Logger) (*Desk, error) {
	nobody, err := Hash(rand.Text())
	return &Desk{store: store, now: now, log: log, hashing: make(chan struct{}, hashesAtOnce), nobody: nobody}, err
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

// SignIn checks a password, begins a session and returns the token to it,
// which is recorded nowhere. It fails with CodeUnauthorized in the same words
// and after the same work whether there is no such user or the password is
// another; or with CodeThrottled.
func (d *Desk) SignIn(ctx context.Context, name, password string) (token string, err error) {
	user, hash, failures, failedAt, err := d.store.Password(ctx, name)
	known := err == nil
	if !known {
		if hedgerow.CodeOf(err) != hedgerow.CodeNotFound {
			return "", err
		}
		hash = d.nobody
	}
	now := d.now()
	if wait := pause(failures) - now.Sub(failedAt); failures >= free && wait > 0 {
		d.log.Warn("sign-in refused: too many failed", "user", hedgerow.OneLine(name), "failures", failures)
		return "", hedgerow.Errorf(hedgerow.CodeThrottled, "too many sign-ins failed; try again in %s", hedgerow.Age(wait+time.Second))
	}
	right, err := d.compare(ctx, password, hash)
	if err != nil {
		return "", err
	}
	if !known || !right {
		if known {
			if err := d.store.SignInFailed(ctx, user, now); err != nil {
				return "", err
			}
		}
		d.log.Warn("sign-in failed", "user", hedgerow.OneLine(name), "known", known)
		return "", hedgerow.Errorf(hedgerow.CodeUnauthorized, "that is not a user's name and password")
	}
	raw := make([]byte, 32)
	_, _ = rand.Read(raw) // it never fails
	token = base64.RawURLEncoding.EncodeToString(raw)
	if err := d.store.AddSession(ctx, user, fingerprint(token), now, now.Add(-Longest), now.Add(-Idle)); err != nil {
		return "", err
	}
	d.log.Info("signed in", "user", hedgerow.OneLine(name))
	return token, nil
}

func pause(failures int) time.Duration {
	return min(time.Second<<min(max(failures-free, 0), 20), longestWait)
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
// CodeUnauthorized when the session has ended.
func (d *Desk) User(ctx context.Context, token string) (hedgerow.User, error) {
	now := d.now()
	key := fingerprint(token)
	u, used, err := d.store.Session(ctx, key, now.Add(-Longest), now.Add(-Idle))
	if err != nil {
		return u, err
	}
	if now.Sub(used) > noted {
		if err := d.store.UseSession(ctx, key, now); err != nil {
			d.log.Warn("session not noted", "error", err.Error()) // it only ends sooner
		}
	}
	return u, nil
}

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
