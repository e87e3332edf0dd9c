package store

import (
	"os"
	"path/filepath"
	"testing"

	"hedgerow"
)

// TestMigrate: an empty database gets its tables, and opening it again changes
// nothing.
func TestMigrate(t *testing.T) {
	onBoth(t, func(t *testing.T, r *record) {
		f := r.fabric(t, "lab")
		r.pass(t, f, both, firstSeen(widgets, widget("a", "u1", "1", "x")))
		before, applied := r.everything(t), r.count(t, "goose_db_version")
		r.open(t)
		same(t, "tables after opening again", before, r.everything(t))
		if n := r.count(t, "goose_db_version"); n != applied {
			t.Errorf("%d migrations recorded after opening again, %d before", n, applied)
		}
	})
}

// TestNewerRecord: a record that a newer Hedgerow wrote is not touched.
func TestNewerRecord(t *testing.T) {
	onBoth(t, func(t *testing.T, r *record) {
		if r.Engine() == "sqlite" {
			r.execute(t, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)`)
		} else {
			r.execute(t, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, true)`)
		}
		before := r.everything(t)
		_, err := Open(t.Context(), r.where, Options{KeyFile: r.key})
		refused(t, err, hedgerow.CodeStore, "newer Hedgerow")
		if hedgerow.HintOf(err) == "" {
			t.Error("the refusal has no hint")
		}
		same(t, "tables", before, r.everything(t))
	})
}

// TestRecordFile: nobody else may read the record, and a path with characters
// that mean something in a URL is a path.
func TestRecordFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "a b%20?#&.db")
	db, err := Open(t.Context(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, suffix := range []string{"", "-wal", "-shm"} {
		st, err := os.Stat(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if st.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %04o", path+suffix, st.Mode().Perm())
		}
	}
}

// TestNotARecord: what is no database is an error with a code, and stays.
func TestNotARecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notes.txt")
	text := []byte("these are my notes, and they are longer than the header of a database file is: keep them, please, all of them")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), path, Options{})
	refused(t, err, hedgerow.CodeStore, "open the record")
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "the file", string(text), string(got))
}

// TestUnreachable: PostgreSQL that is not there is an error with a code that
// does not show the password.
func TestUnreachable(t *testing.T) {
	_, err := Open(t.Context(), "postgres://u:hunter22@127.0.0.1:1/none?connect_timeout=2", Options{})
	refused(t, err, hedgerow.CodeStore, "open the record")
	_, err = Open(t.Context(), "postgres://u:hunter22@%zz/none", Options{})
	refused(t, err, hedgerow.CodeInvalid, "not valid")
}
