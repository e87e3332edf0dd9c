package store

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"hedgerow"
)

// TestFull: a commit that the disk has no room for fails as a whole, is known
// for what it is, and succeeds when there is room again.
func TestFull(t *testing.T) {
	r := newRecord(t, "sqlite")
	ctx := t.Context()
	f := r.fabric(t, "lab")
	r.pass(t, f, both, firstSeen(widgets, widget("a", "u1", "1", "x")))
	p := r.begin(t, f)
	defer p.End()
	var pages int
	if err := r.write.QueryRowContext(ctx, `PRAGMA page_count`).Scan(&pages); err != nil {
		t.Fatal(err)
	}
	limit := func(n int) {
		t.Helper()
		var got int
		if err := r.write.QueryRowContext(ctx, fmt.Sprintf(`PRAGMA max_page_count = %d`, n)).Scan(&got); err != nil || got != n {
			t.Fatalf("%d pages at most, error %v", got, err)
		}
	}
	limit(pages + 3)
	before := r.everything(t)
	commit := hedgerow.Commit{Run: ended(p.Run, r.tick()), Kinds: both, Known: both, Moves: []hedgerow.Move{created(widgets, generation(2000, 1)...)}}
	_, err := r.Commit(ctx, commit)
	refused(t, err, hedgerow.CodeStore, "full")
	if !Full(err) || !Full(fmt.Errorf("pass: %w", err)) {
		t.Errorf("not known for what it is: %v", err)
	}
	same(t, "tables", before, r.everything(t))
	limit(1 << 30)
	if _, err := r.Commit(ctx, commit); err != nil {
		t.Fatal(err)
	}
	if n := len(r.objects(t, f, widgets)); n != 2001 {
		t.Errorf("%d objects", n)
	}
	var verdict string
	if err := r.read.QueryRowContext(ctx, `PRAGMA integrity_check`).Scan(&verdict); err != nil || verdict != "ok" {
		t.Errorf("integrity: %s, error %v", verdict, err)
	}
}

// TestFullPostgres: the server's word for it is known too.
func TestFullPostgres(t *testing.T) {
	r := newRecord(t, "postgres")
	raise := func(state string) error {
		_, err := r.write.ExecContext(t.Context(), `DO $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '`+state+`'; END $$`)
		return failed("commit the run", err)
	}
	if err := raise("53100"); !Full(err) {
		t.Errorf("not known: %v", err)
	}
	if err := raise("53200"); err == nil || Full(err) { // out of memory
		t.Errorf("taken for full: %v", err)
	}
	if err := r.Space(); err != nil {
		t.Errorf("a server's disk is not ours to know: %v", err)
	}
}

func TestNotFull(t *testing.T) {
	r := newRecord(t, "sqlite")
	r.fabric(t, "lab")
	_, err := r.write.ExecContext(t.Context(), `INSERT INTO fabrics (id, name, policy, suspended, version, created_at, updated_at) VALUES (1, 'lab', '', 0, 0, 0, 0)`)
	if err == nil {
		t.Fatal("a fabric was added twice")
	}
	for _, err := range []error{nil, io.EOF, err, failed("add", err), hedgerow.Errorf(hedgerow.CodeStore, "x"), errors.Join(io.EOF, io.ErrUnexpectedEOF)} {
		if Full(err) {
			t.Errorf("taken for full: %v", err)
		}
	}
	free, err := freeSpace(r.where)
	if err != nil || free <= 0 {
		t.Fatalf("%d bytes free, error %v", free, err)
	}
	if err := r.Space(); (err != nil) != (free < spaceLow) {
		t.Errorf("with %d bytes free: %v", free, err)
	}
	if _, err := freeSpace("/nonexistent/hedgerow.db"); err == nil {
		t.Error("a disk that is not there has space")
	}
}
