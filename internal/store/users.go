package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"hedgerow"
)

// AddUser records a new user, with the hash of a password and roles in single
// fabrics, and returns it with its id.
func (db *DB) AddUser(ctx context.Context, u hedgerow.User, hash string, now time.Time) (hedgerow.User, error) {
	if err := hedgerow.ValidUserName(u.Name); err != nil {
		return u, err
	}
	u.CreatedAt = now
	err := db.tx(ctx, "add user "+u.Name, func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, `INSERT INTO users (name, password, role, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT (name) DO NOTHING RETURNING id`,
			u.Name, hash, u.Role, micros(now)).Scan(&u.ID)
		if errors.Is(err, sql.ErrNoRows) {
			return hedgerow.Errorf(hedgerow.CodeExists, "there is a user %q already", u.Name).WithHint("Give them another password: hedgerow user password %s", u.Name)
		}
		for fabric, role := range u.Fabrics {
			if err != nil {
				return err
			}
			_, err = tx.ExecContext(ctx, `INSERT INTO grants (user_id, fabric_id, role) VALUES ($1, $2, $3)`, u.ID, fabric, role)
		}
		return err
	})
	return u, err
}

// SetPassword gives a user another password, and ends their sessions.
func (db *DB) SetPassword(ctx context.Context, name, hash string) error {
	return db.tx(ctx, "set the password", func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `UPDATE users SET password = $1, failures = 0 WHERE name = $2`, hash, name)
		if err == nil {
			err = oneUser(res, name)
		}
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM sessions WHERE user_id = (SELECT id FROM users WHERE name = $1)`, name)
		return err
	})
}

// RemoveUser forgets a user and ends their sessions.
func (db *DB) RemoveUser(ctx context.Context, name string) error {
	return db.tx(ctx, "remove the user", func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `DELETE FROM users WHERE name = $1`, name)
		if err != nil {
			return err
		}
		return oneUser(res, name)
	})
}

// oneUser fails unless a statement reached the one user of a name.
func oneUser(res sql.Result, name string) error {
	if n, err := res.RowsAffected(); err != nil || n == 1 {
		return err
	}
	return hedgerow.Errorf(hedgerow.CodeNotFound, "there is no user %q", hedgerow.OneLine(name)).WithHint("See who there is: hedgerow user list")
}

// Users returns every user, by name.
func (db *DB) Users(ctx context.Context) (all []hedgerow.User, err error) {
	err = each(ctx, db.read, func(r *sql.Rows) error {
		u, err := scanUser(r.Scan)
		all = append(all, u)
		return err
	}, `SELECT `+userColumns+` FROM users u ORDER BY name`)
	for i := range all {
		if err == nil {
			err = db.grants(ctx, &all[i])
		}
	}
	return all, failed("read the users", err)
}

const userColumns = `u.id, u.name, u.role, u.created_at`

func scanUser(scan func(...any) error, more ...any) (u hedgerow.User, err error) {
	var created int64
	err = scan(append([]any{&u.ID, &u.Name, &u.Role, &created}, more...)...)
	u.CreatedAt = fromMicros(created)
	return u, err
}

func (db *DB) grants(ctx context.Context, u *hedgerow.User) error {
	return each(ctx, db.read, func(r *sql.Rows) error {
		var fabric int64
		var role hedgerow.Role
		if err := r.Scan(&fabric, &role); err != nil {
			return err
		}
		if u.Fabrics == nil {
			u.Fabrics = map[int64]hedgerow.Role{}
		}
		u.Fabrics[fabric] = role
		return nil
	}, `SELECT fabric_id, role FROM grants WHERE user_id = $1`, u.ID)
}

// Attempt takes one try at a user's password, which counts as failed until
// AddSession says otherwise, and returns the hash to try it against. It fails
// with CodeNotFound when there is no such user, and with CodeThrottled when
// pause says that after so many failures in a row it is too soon. However many
// try at once, each takes a try of its own.
func (db *DB) Attempt(ctx context.Context, name string, now time.Time, pause func(failures int) time.Duration) (user int64, hash string, err error) {
	err = db.tx(ctx, "note a sign-in", func(tx *sql.Tx) error {
		var failures int
		var at int64
		err := tx.QueryRowContext(ctx, `SELECT id, password, failures, failed_at FROM users WHERE name = $1`+db.dialect.forUpdate, name).Scan(&user, &hash, &failures, &at)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return hedgerow.Errorf(hedgerow.CodeNotFound, "there is no such user")
		case err != nil:
			return err
		case now.Sub(fromMicros(at)) < pause(failures):
			return hedgerow.Errorf(hedgerow.CodeThrottled, "too many sign-ins failed")
		}
		_, err = tx.ExecContext(ctx, `UPDATE users SET failures = failures + 1, failed_at = $1 WHERE id = $2`, micros(now), user)
		return err
	})
	return user, hash, err
}

// AddSession records that a user has signed in with the password of a hash;
// token is the hash of what the browser holds. Sessions that began or were used
// before the other two moments are forgotten on the way. It fails with
// CodeUnauthorized when the password was changed meanwhile.
func (db *DB) AddSession(ctx context.Context, user int64, hash string, token []byte, now, began, used time.Time) error {
	return db.tx(ctx, "record the session", func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM sessions WHERE created_at < $1 OR used_at < $2`, micros(began), micros(used)); err != nil {
			return err
		}
		res, err := tx.ExecContext(ctx, `UPDATE users SET failures = 0 WHERE id = $1 AND password = $2`, user, hash)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n != 1 {
			return hedgerow.Errorf(hedgerow.CodeUnauthorized, "the password has been changed")
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO sessions (token, user_id, created_at, used_at) VALUES ($1, $2, $3, $3)`, token, user, micros(now))
		return err
	})
}

// Session returns the user of a session that began and was used since the two
// moments, as they are now, and when it was last used; CodeUnauthorized when
// there is none.
func (db *DB) Session(ctx context.Context, token []byte, began, used time.Time) (u hedgerow.User, last time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, brief)
	defer cancel()
	var at int64
	u, err = scanUser(db.read.QueryRowContext(ctx, `SELECT `+userColumns+`, s.used_at FROM sessions s JOIN users u ON u.id = s.user_id
		WHERE s.token = $1 AND s.created_at >= $2 AND s.used_at >= $3`, token, micros(began), micros(used)).Scan, &at)
	if errors.Is(err, sql.ErrNoRows) {
		return u, last, hedgerow.Errorf(hedgerow.CodeUnauthorized, "the session has ended")
	}
	if err == nil {
		err = db.grants(ctx, &u)
	}
	return u, fromMicros(at), failed("read the session", err)
}

// UseSession notes that a session is in use.
func (db *DB) UseSession(ctx context.Context, token []byte, now time.Time) error {
	return db.tx(ctx, "note the session", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE sessions SET used_at = $1 WHERE token = $2`, micros(now), token)
		return err
	})
}

// EndSession signs a session out.
func (db *DB) EndSession(ctx context.Context, token []byte) error {
	return db.tx(ctx, "end the session", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM sessions WHERE token = $1`, token)
		return err
	})
}
