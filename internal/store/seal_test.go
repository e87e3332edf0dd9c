package store

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hedgerow"
)

const canary = "canary-5e0f9c71-token"

// sealed is a record with two fabrics that have credentials, and a mask key.
func sealed(t *testing.T, r *record) (lab, other hedgerow.Fabric, mask string) {
	t.Helper()
	for name, into := range map[string]*hedgerow.Fabric{"lab": &lab, "other": &other} {
		f, err := r.AddFabric(t.Context(), hedgerow.Fabric{Name: name}, hedgerow.NewSecret([]byte(canary+" of "+name)), r.tick())
		if err != nil {
			t.Fatal(err)
		}
		*into = f
	}
	key, err := r.MaskKey(t.Context(), r.tick())
	if err != nil {
		t.Fatal(err)
	}
	return lab, other, string(key.Reveal())
}

// readable wants every secret to be there.
func readable(t *testing.T, db *DB, lab, other hedgerow.Fabric, mask string) {
	t.Helper()
	for _, f := range []hedgerow.Fabric{lab, other} {
		s, err := db.Credential(t.Context(), f.ID)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := string(s.Reveal()), canary+" of "+f.Name; got != want {
			t.Errorf("credential of %s is %q, want %q", f.Name, got, want)
		}
	}
	if key, err := db.MaskKey(t.Context(), time.Now()); err != nil || string(key.Reveal()) != mask {
		t.Errorf("mask key %x, error %v; want %x", key.Reveal(), err, mask)
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func writeFile(t *testing.T, path string, b []byte, mode fs.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, b, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// TestSealed: secrets come back, and are in clear nowhere.
func TestSealed(t *testing.T) {
	onBoth(t, func(t *testing.T, r *record) {
		lab, other, mask := sealed(t, r)
		if len(mask) != 32 {
			t.Errorf("a mask key of %d bytes", len(mask))
		}
		readable(t, r.DB, lab, other, mask)
		readable(t, r.open(t), lab, other, mask)
		if st, err := os.Stat(r.key); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("key file %v, error %v", st.Mode(), err)
		}
		for table, rows := range r.everything(t) {
			for _, row := range rows {
				// Blobs are dumped in hexadecimal.
				if strings.Contains(row, canary) || strings.Contains(row, "63616e6172792d") {
					t.Errorf("%s holds the secret: %s", table, row)
				}
			}
		}
		err := filepath.WalkDir(filepath.Dir(r.key), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			if b := readFile(t, path); bytes.Contains(b, []byte(canary)) || len(mask) > 0 && bytes.Contains(b, []byte(mask)) {
				t.Errorf("%s holds a secret", path)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// TestSwapped: a sealed secret belongs to its name, so one fabric cannot be
// given the credential of another by whoever can write the database.
func TestSwapped(t *testing.T) {
	onBoth(t, func(t *testing.T, r *record) {
		lab, other, _ := sealed(t, r)
		r.execute(t, `UPDATE secrets SET sealed = (SELECT s.sealed FROM secrets s WHERE s.name = $1) WHERE name = $2`, clusterSecret(other.ID), clusterSecret(lab.ID))
		_, err := r.Credential(t.Context(), lab.ID)
		refused(t, err, hedgerow.CodeKey, "not the one that this record was sealed with")
	})
}

// TestKeyFile: a key file that is not right has its own sentence each, and is
// left as it is.
func TestKeyFile(t *testing.T) {
	onBoth(t, func(t *testing.T, r *record) {
		lab, _, mask := sealed(t, r)
		right := readFile(t, r.key)
		_, wrong, err := func() (*record, []byte, error) {
			o := newRecord(t, "sqlite")
			_, err := o.MaskKey(t.Context(), o.tick())
			return o, readFile(t, o.key), err
		}()
		if err != nil {
			t.Fatal(err)
		}
		for name, c := range map[string]struct {
			file []byte // nil: none
			mode fs.FileMode
			text string
		}{
			"missing":  {nil, 0, "is missing, and credentials have been sealed with it"},
			"wrong":    {wrong, 0o600, "not the one that this record was sealed with"},
			"damaged":  {right[:len(right)/2], 0o600, "is not a Hedgerow key file"},
			"empty":    {[]byte{}, 0o600, "is not a Hedgerow key file"},
			"readable": {right, 0o644, "may be read by others (mode 0644)"},
		} {
			if err := os.Remove(r.key); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
			if c.file != nil {
				writeFile(t, r.key, c.file, c.mode)
			}
			db := r.open(t)
			before := r.everything(t)
			ctx, secret := t.Context(), hedgerow.NewSecret([]byte(canary))
			for what, try := range map[string]func() error{
				"credential": func() error { _, err := db.Credential(ctx, lab.ID); return err },
				"mask key":   func() error { _, err := db.MaskKey(ctx, r.clock); return err },
				"rotate":     func() error { _, err := db.RotateKey(ctx, r.clock); return err },
			} {
				err := try()
				if c := hedgerow.CodeOf(err); c != hedgerow.CodeKey {
					t.Errorf("%s key file, %s: code %q, error %v", name, what, c, err)
				}
				if err != nil && (strings.Contains(err.Error(), canary) || strings.Contains(err.Error(), "keyData")) {
					t.Errorf("%s key file, %s: the error tells: %v", name, what, err)
				}
				if what != "rotate" && err != nil && !strings.Contains(err.Error(), c.text) {
					t.Errorf("%s key file, %s: %q does not say %q", name, what, err, c.text)
				}
			}
			if name != "wrong" { // with a wrong key one can go on: give the credentials anew
				if _, err := db.AddFabric(ctx, hedgerow.Fabric{Name: "new"}, secret, r.clock); hedgerow.CodeOf(err) != hedgerow.CodeKey {
					t.Errorf("%s key file, add: %v", name, err)
				}
			}
			same(t, name+": tables", before, r.everything(t))
			if c.file == nil {
				if _, err := os.Stat(r.key); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("missing key file: one was made; %v", err)
				}
			}
		}
		writeFile(t, r.key, right, 0o600)
		if key, err := r.open(t).MaskKey(t.Context(), r.clock); err != nil || string(key.Reveal()) != mask {
			t.Errorf("after putting the key file back: %v", err)
		}
	})
}

// TestRotate, with a crash at every point: whatever of key file and record has
// been written, everything is readable, and a second rotation completes.
func TestRotate(t *testing.T) {
	onBoth(t, func(t *testing.T, r *record) {
		ctx := t.Context()
		lab, other, mask := sealed(t, r)
		old := readFile(t, r.key)
		rows := r.everything(t)["secrets"]

		// Hold the rotation where it has written the key file and not yet the
		// record.
		hold, err := r.open(t).write.BeginTx(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		if r.Engine() == "postgres" {
			if _, err := hold.ExecContext(ctx, `LOCK TABLE secrets IN ROW EXCLUSIVE MODE`); err != nil {
				t.Fatal(err)
			}
		}
		type result struct {
			n   int
			err error
		}
		done := make(chan result, 1)
		go func() {
			n, err := r.RotateKey(ctx, r.clock)
			done <- result{n, err}
		}()
		both := old
		deadline := time.After(10 * time.Second)
		for poll := time.NewTicker(time.Millisecond); bytes.Equal(both, old); {
			select {
			case <-poll.C:
				both = readFile(t, r.key)
			case <-deadline:
				t.Fatal("the rotation wrote no key file")
			}
		}
		if _, err := r.open(t).RotateKey(ctx, r.clock); hedgerow.CodeOf(err) != hedgerow.CodeBusy {
			t.Errorf("a second rotation at the same time: %v", err)
		}
		// A crash here: both keys, old seals.
		same(t, "seals before the record is written", rows, r.everything(t)["secrets"])
		readable(t, r.open(t), lab, other, mask)
		if err := hold.Rollback(); err != nil {
			t.Fatal(err)
		}
		if got := <-done; got.err != nil || got.n != 3 {
			t.Fatalf("rotation sealed %d, error %v; want 3", got.n, got.err)
		}
		fresh := readFile(t, r.key)
		readable(t, r.DB, lab, other, mask)
		readable(t, r.open(t), lab, other, mask)

		// A crash before the old key was dropped: both keys, new seals.
		writeFile(t, r.key, both, 0o600)
		readable(t, r.open(t), lab, other, mask)
		if n, err := r.open(t).RotateKey(ctx, r.tick()); n != 3 || err != nil {
			t.Errorf("rotation after a crash sealed %d, error %v", n, err)
		}
		readable(t, r.open(t), lab, other, mask)

		// The old keys open nothing any more.
		for name, file := range map[string][]byte{"first": old, "second": fresh} {
			writeFile(t, r.key, file, 0o600)
			_, err := r.open(t).Credential(ctx, lab.ID)
			if hedgerow.CodeOf(err) != hedgerow.CodeKey {
				t.Errorf("the %s key file still opens: %v", name, err)
			}
		}
	})
}

// TestRotateElsewhere: a process that runs on while another rotates the key
// reads and seals with the new one.
func TestRotateElsewhere(t *testing.T) {
	onBoth(t, func(t *testing.T, r *record) {
		lab, other, mask := sealed(t, r)
		if _, err := r.open(t).RotateKey(t.Context(), r.tick()); err != nil {
			t.Fatal(err)
		}
		readable(t, r.DB, lab, other, mask)
		s := hedgerow.NewSecret([]byte(canary + " of lab"))
		if err := r.UpdateFabric(t.Context(), lab, &s, r.tick()); err != nil {
			t.Fatal(err)
		}
		readable(t, r.open(t), lab, other, mask)
	})
}

// TestMaskKeyOnce: however many ask first, there is one mask key.
func TestMaskKeyOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, r *record) {
		const askers = 4
		keys := make(chan string, askers)
		for range askers {
			db := r.open(t)
			go func() {
				k, err := db.MaskKey(t.Context(), r.clock)
				if err != nil {
					keys <- err.Error()
					return
				}
				keys <- string(k.Reveal())
			}()
		}
		first := <-keys
		for range askers - 1 {
			if k := <-keys; k != first {
				t.Errorf("mask keys %x and %x", k, first)
			}
		}
	})
}
