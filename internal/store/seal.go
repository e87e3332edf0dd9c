package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"hedgerow"
)

// keyring seals and opens secrets with the keys of a key file: a Tink keyset,
// in which every key has an id and one is primary. The file is read each time,
// for another process may have rotated it.
type keyring struct{ file string }

// load reads the key file, or makes it if it may and there is none.
func (k *keyring) load(mayMake bool) (tink.AEAD, error) {
	h, err := k.read()
	if errors.Is(err, os.ErrNotExist) && mayMake {
		if h, err = keyset.NewHandle(aead.AES256GCMKeyTemplate()); err == nil {
			err = k.save(h, os.O_EXCL)
		}
		if errors.Is(err, os.ErrExist) { // another process was quicker
			h, err = k.read()
		}
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil, hedgerow.Errorf(hedgerow.CodeKey, "the key file %s is missing, and credentials have been sealed with it", k.file).
			WithHint("Put it back from your backup, or name another place with --key-file. If it is lost for good: hedgerow key reset --yes, and give the credentials anew.")
	}
	if err != nil {
		return nil, err
	}
	a, err := aead.New(h)
	if err != nil {
		return nil, k.damaged()
	}
	return a, nil
}

func (k *keyring) damaged() error {
	return hedgerow.Errorf(hedgerow.CodeKey, "the key file %s is not a Hedgerow key file", k.file)
}

func (k *keyring) read() (*keyset.Handle, error) {
	b, err := os.ReadFile(k.file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, err
	} else if err != nil {
		return nil, hedgerow.Errorf(hedgerow.CodeKey, "the key file: %w", err)
	}
	if st, err := os.Stat(k.file); err == nil && st.Mode().Perm()&0o077 != 0 {
		return nil, hedgerow.Errorf(hedgerow.CodeKey, "the key file %s may be read by others (mode %04o)", k.file, st.Mode().Perm()).
			WithHint("chmod 600 %s; if anybody else could have read it, rotate it with hedgerow key rotate.", k.file)
	}
	h, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(b)))
	if err != nil {
		return nil, k.damaged()
	}
	return h, nil
}

// save writes the keyset so that a crash leaves the old file or the new one.
// With os.O_EXCL an existing file is an error.
func (k *keyring) save(h *keyset.Handle, excl int) error {
	if err := os.MkdirAll(filepath.Dir(k.file), 0o700); err != nil {
		return hedgerow.Errorf(hedgerow.CodeKey, "the key file: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(k.file), ".key-*") // mode 0600
	if err != nil {
		return hedgerow.Errorf(hedgerow.CodeKey, "the key file: %w", err)
	}
	defer os.Remove(tmp.Name())
	err = insecurecleartextkeyset.Write(h, keyset.NewJSONWriter(tmp))
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return hedgerow.Errorf(hedgerow.CodeKey, "the key file: %w", err)
	}
	if excl != 0 {
		return os.Link(tmp.Name(), k.file)
	}
	return os.Rename(tmp.Name(), k.file)
}

// sealable says whether a key file may be made: only while nothing is sealed.
func sealable(ctx context.Context, q querier) (bool, error) {
	var n int
	err := q.QueryRowContext(ctx, `SELECT count(*) FROM secrets`).Scan(&n)
	return n == 0, err
}

func (db *DB) seal(ctx context.Context, tx *sql.Tx, name string, fabric sql.NullInt64, s hedgerow.Secret, now time.Time) error {
	// From here to the end of tx no rotation drops the key that is used.
	if err := db.alone(ctx, tx, "secrets"); err != nil {
		return err
	}
	first, err := sealable(ctx, tx)
	if err != nil {
		return err
	}
	a, err := db.keys.load(first)
	if err != nil {
		return err
	}
	sealed, err := a.Encrypt(s.Reveal(), []byte(name))
	if err != nil {
		return hedgerow.Errorf(hedgerow.CodeKey, "sealing failed")
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO secrets (name, fabric_id, sealed, updated_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed, updated_at = excluded.updated_at`, name, fabric, sealed, micros(now))
	return err
}

// unseal returns the secret of that name; the second result tells whether
// there is one.
func (db *DB) unseal(ctx context.Context, q querier, name string) (hedgerow.Secret, bool, error) {
	var sealed []byte
	err := q.QueryRowContext(ctx, `SELECT sealed FROM secrets WHERE name = $1`, name).Scan(&sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return hedgerow.Secret{}, false, nil
	} else if err != nil {
		return hedgerow.Secret{}, false, err
	}
	a, err := db.keys.load(false)
	if err != nil {
		return hedgerow.Secret{}, false, err
	}
	text, err := a.Decrypt(sealed, []byte(name))
	if err != nil {
		return hedgerow.Secret{}, false, hedgerow.Errorf(hedgerow.CodeKey, "the key file %s is not the one that this record was sealed with", db.keys.file).
			WithHint("Put the right key file back from your backup, or give the credentials anew with hedgerow fabric edit.")
	}
	return hedgerow.NewSecret(text), true, nil
}

// maskSecret names the key of the marks that stand for text not stored.
const maskSecret = "mask"

// MaskKey returns the record's own random key for masking, made on first use.
func (db *DB) MaskKey(ctx context.Context, now time.Time) (hedgerow.Secret, error) {
	s, ok, err := db.unseal(ctx, db.read, maskSecret)
	if ok || err != nil {
		return s, failed("read the mask key", err)
	}
	err = db.tx(ctx, "make the mask key", func(tx *sql.Tx) error {
		if err := db.alone(ctx, tx, "secrets"); err != nil {
			return err
		}
		if s, ok, err = db.unseal(ctx, tx, maskSecret); ok || err != nil {
			return err
		}
		key := make([]byte, 32)
		if _, err := io.ReadFull(rand.Reader, key); err != nil {
			return err
		}
		s = hedgerow.NewSecret(key)
		return db.seal(ctx, tx, maskSecret, sql.NullInt64{}, s, now)
	})
	return s, err
}

// ResetKey begins with a new key file and forgets every secret, for when the
// old file is lost. It returns how many were forgotten. An old key file is
// kept beside the new one, with ".old" added to its name.
func (db *DB) ResetKey(ctx context.Context) (n int64, err error) {
	if err := os.Rename(db.keys.file, db.keys.file+".old"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, hedgerow.Errorf(hedgerow.CodeKey, "the key file: %w", err)
	}
	err = db.tx(ctx, "forget the secrets", func(tx *sql.Tx) error {
		if err := db.alone(ctx, tx, "secrets"); err != nil {
			return err
		}
		res, err := tx.ExecContext(ctx, `DELETE FROM secrets`)
		if err != nil {
			return err
		}
		n, err = res.RowsAffected()
		return err
	})
	return n, err
}

// RotateKey adds a new primary key to the key file, seals every secret anew
// with it, and then drops the older keys. It returns how many were sealed.
func (db *DB) RotateKey(ctx context.Context, now time.Time) (n int, err error) {
	lock, err := lockFile(db.keys.file + ".lock")
	if err != nil {
		return 0, hedgerow.Errorf(hedgerow.CodeKey, "the key file: %w", err)
	}
	if lock == nil {
		return 0, hedgerow.Errorf(hedgerow.CodeBusy, "the key file %s is being rotated already", db.keys.file)
	}
	defer lock.unlock()
	first, err := sealable(ctx, db.read)
	if err != nil {
		return 0, failed("count the secrets", err)
	}
	if _, err := db.keys.load(first); err != nil {
		return 0, err
	}
	h, err := db.keys.read()
	if err != nil {
		return 0, err
	}
	m := keyset.NewManagerFromHandle(h)
	id, err := m.Add(aead.AES256GCMKeyTemplate())
	if err == nil {
		err = m.SetPrimary(id)
	}
	if err == nil {
		h, err = m.Handle()
	}
	if err != nil {
		return 0, hedgerow.Errorf(hedgerow.CodeKey, "making a key failed: %w", err)
	}
	// The file holds old and new keys before anything is sealed with the new,
	// so that a crash at any point leaves everything readable.
	if err := db.keys.save(h, 0); err != nil {
		return 0, err
	}
	keys, err := aead.New(h)
	if err != nil {
		return 0, db.keys.damaged()
	}
	err = db.tx(ctx, "seal the credentials anew", func(tx *sql.Tx) error {
		if err := db.alone(ctx, tx, "secrets"); err != nil {
			return err
		}
		all := map[string][]byte{}
		err := each(ctx, tx, func(r *sql.Rows) error {
			var name string
			var sealed []byte
			if err := r.Scan(&name, &sealed); err != nil {
				return err
			}
			text, err := keys.Decrypt(sealed, []byte(name))
			if err != nil {
				return hedgerow.Errorf(hedgerow.CodeKey, "the secret %s was sealed with another key file", name)
			}
			all[name], err = keys.Encrypt(text, []byte(name))
			return err
		}, `SELECT name, sealed FROM secrets`)
		if err != nil {
			return err
		}
		for name, sealed := range all {
			if _, err := tx.ExecContext(ctx, `UPDATE secrets SET sealed = $1, updated_at = $2 WHERE name = $3`, sealed, micros(now), name); err != nil {
				return err
			}
		}
		n = len(all)
		return nil
	})
	if err != nil {
		return 0, err
	}
	m = keyset.NewManagerFromHandle(h)
	for _, e := range entries(h) {
		if e != id {
			if err := m.Delete(e); err != nil {
				return n, hedgerow.Errorf(hedgerow.CodeKey, "dropping key %d: %w", e, err)
			}
		}
	}
	if h, err = m.Handle(); err != nil {
		return n, hedgerow.Errorf(hedgerow.CodeKey, "dropping old keys: %w", err)
	}
	return n, db.keys.save(h, 0)
}

func entries(h *keyset.Handle) (ids []uint32) {
	for i := range h.Len() {
		if e, err := h.Entry(i); err == nil {
			ids = append(ids, e.KeyID())
		}
	}
	return ids
}

func clusterSecret(fabric int64) string { return fmt.Sprintf("fabric/%d/cluster", fabric) }
