package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"hedgerow"
)

// Commit writes a run and what it changed in one transaction, and returns the
// fabric's version after it. A run that changed nothing writes its own row and
// no other. A reading of a fabric that was given another cluster meanwhile
// is refused.
func (db *DB) Commit(ctx context.Context, c hedgerow.Commit) (version int64, err error) {
	r := c.Run
	err = db.txWithin(ctx, long, "commit the run", func(tx *sql.Tx) error {
		same, sameCluster, err := db.current(ctx, tx, c)
		if err != nil {
			return err
		}
		if proves := slices.ContainsFunc(r.Kinds, func(e hedgerow.KindEvidence) bool { return e.CompleteRun == r.ID }); proves && !sameCluster {
			return hedgerow.Errorf(hedgerow.CodeInterrupted, "the fabric was given another cluster while this one was read")
		}
		changed, err := db.saveKinds(ctx, tx, r.FabricID, c.Kinds, c.Known)
		if err != nil {
			return err
		}
		for _, m := range c.Moves {
			changed = changed || m.Changes()
		}
		r.VersionAfter = r.VersionBefore
		if changed {
			if err := tx.QueryRowContext(ctx, `UPDATE fabrics SET version = version + 1 WHERE id = $1 RETURNING version`, r.FabricID).Scan(&r.VersionAfter); err != nil {
				return err
			}
		}
		if len(c.Moves) > 0 {
			ids, err := kindIDs(ctx, tx, r.FabricID)
			if err != nil {
				return err
			}
			if err := db.writeMoves(ctx, tx, r, ids, c.Moves); err != nil {
				return err
			}
		}
		if err := db.reread(ctx, tx, r); err != nil {
			return err
		}
		switch {
		case !same:
			// A change has set a schedule of its own: due at once. Whoever took that
			// up found this pass under way, which shows nothing of the change.
			_, err = tx.ExecContext(ctx, `UPDATE schedules SET next_run_at = $1 WHERE fabric_id = $2 AND next_run_at > $1`, micros(r.FinishedAt), r.FabricID)
		case c.Schedule != nil:
			err = saveSchedule(ctx, tx, r.FabricID, *c.Schedule)
		}
		if err != nil {
			return err
		}
		if err := db.announce(ctx, tx, r.FabricID); err != nil {
			return err
		}
		return finish(ctx, tx, r)
	})
	if err == nil {
		db.tell(r.FabricID)
	}
	return r.VersionAfter, err
}

// reread forgets how far the kinds that a pass read whole had been followed
// before: they are followed from that reading on. A cluster that was restored
// from a backup counts its revisions from further back.
func (db *DB) reread(ctx context.Context, tx *sql.Tx, r hedgerow.Run) error {
	var read []hedgerow.KindEvidence
	for _, e := range r.Kinds {
		if e.CompleteRun == r.ID {
			read = append(read, e)
		}
	}
	w := writer{ctx: ctx, tx: tx, bind: db.dialect.bind}
	return w.rows(`UPDATE kinds SET revision = '' WHERE fabric_id = ? AND revision <> '' AND (grp, kind) IN (VALUES %s)`, []any{r.FabricID}, len(read), 2, func(i int, args []any) []any {
		return append(args, read[i].Group, read[i].Kind)
	})
}

// current reports whether the fabric, and whether its cluster, is still what a
// pass began with.
func (db *DB) current(ctx context.Context, tx *sql.Tx, c hedgerow.Commit) (fabric, cluster bool, err error) {
	if c.Settings.Changed.IsZero() {
		return true, true, nil
	}
	var updated int64
	var at sql.NullString
	err = tx.QueryRowContext(ctx, `SELECT updated_at, cluster FROM fabrics WHERE id = $1`+db.dialect.forUpdate, c.Run.FabricID).Scan(&updated, &at)
	return updated == micros(c.Settings.Changed), at.String == c.Settings.Cluster, err
}

// writeMoves writes what a run changes of each kind.
func (db *DB) writeMoves(ctx context.Context, tx *sql.Tx, r hedgerow.Run, ids map[hedgerow.KindID]int64, moves []hedgerow.Move) error {
	w := writer{ctx: ctx, tx: tx, run: r, now: r.FinishedAt, bind: db.dialect.bind}
	for _, m := range moves {
		if w.kind = ids[m.Kind]; w.kind == 0 {
			return fmt.Errorf("kind %s is not recorded", m.Kind)
		}
		if err := w.move(m); err != nil {
			return fmt.Errorf("%s: %w", m.Kind, err)
		}
	}
	return nil
}

// writer writes the moves of one kind after another.
type writer struct {
	ctx  context.Context
	tx   *sql.Tx
	run  hedgerow.Run
	now  time.Time
	kind int64
	bind func(query string) string // "?" to what the engine wants
}

func (w writer) move(m hedgerow.Move) error {
	if err := w.contents(m.Created, m.Updated, m.Renewed); err != nil {
		return err
	}
	// Whatever is overwritten goes to history first.
	if err := w.archive(refs(m.Updated), string(hedgerow.Replaced)); err != nil {
		return err
	}
	if err := w.archive(refs(m.Renewed), string(hedgerow.Deleted)); err != nil {
		return err
	}
	if len(m.Created) > 0 {
		var tombstones int
		if err := w.tx.QueryRowContext(w.ctx, `SELECT count(*) FROM objects WHERE kind_id = $1 AND until IS NOT NULL`, w.kind).Scan(&tombstones); err != nil {
			return err
		}
		if tombstones > 0 {
			if err := w.archive(refs(m.Created), string(hedgerow.Deleted)); err != nil {
				return err
			}
		}
	}
	if err := w.objects(m.Created, m.Began); err != nil {
		return err
	}
	if err := w.objects(m.Updated, hedgerow.Updated); err != nil {
		return err
	}
	if err := w.objects(m.Renewed, hedgerow.Created); err != nil {
		return err
	}
	if err := w.bury(m.Deleted); err != nil {
		return err
	}
	if more := len(m.Created) - len(m.Deleted); more != 0 {
		if _, err := w.tx.ExecContext(w.ctx, `UPDATE kinds SET present = present + $1 WHERE id = $2`, more, w.kind); err != nil {
			return err
		}
	}
	return w.vitals(m)
}

type ref struct{ namespace, name string }

func refs(os []hedgerow.Object) []ref {
	rs := make([]ref, len(os))
	for i, o := range os {
		rs[i] = ref{o.Namespace, o.Name}
	}
	return rs
}

// chunk is how many rows one statement carries; 400 rows of 12 parameters stay
// far below the 32,766 that SQLite allows.
const chunk = 400

// rows executes query once for every chunk of n rows, with "%s" replaced by
// their placeholders; row appends the arguments of row i after those of fixed.
//
// Unlike all other SQL of this package these statements are written with "?":
// SQLite looks up each named parameter such as $7 in a list, which for
// thousands of them takes four times as long as the rest of the insert.
func (w writer) rows(query string, fixed []any, n, width int, row func(i int, args []any) []any) error {
	var full *sql.Stmt // for whole chunks, when there are several
	args := make([]any, 0, len(fixed)+min(n, chunk)*width)
	for from := 0; from < n; from += chunk {
		to := min(from+chunk, n)
		args = append(args[:0], fixed...)
		for i := from; i < to; i++ {
			args = row(i, args)
		}
		text := func() string { return w.bind(fmt.Sprintf(query, placeholders(to-from, width))) }
		if n < 2*chunk || to-from < chunk { // preparing takes two more round trips
			if _, err := w.tx.ExecContext(w.ctx, text(), args...); err != nil {
				return err
			}
			continue
		}
		if full == nil {
			var err error
			if full, err = w.tx.PrepareContext(w.ctx, text()); err != nil {
				return err
			}
			defer full.Close()
		}
		if _, err := full.ExecContext(w.ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

// placeholders is (?,?),(?,?),… for n rows.
func placeholders(n, width int) string {
	row := "(" + strings.Repeat(",?", width)[1:] + ")"
	return strings.Repeat(","+row, n)[1:]
}

// numbered turns the "?" of a statement into $1, $2, … as PostgreSQL wants
// them. The statements of this file hold no "?" in a text.
func numbered(query string) string {
	var b strings.Builder
	n := 0
	for {
		before, after, found := strings.Cut(query, "?")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		n++
		b.WriteByte('$')
		b.WriteString(strconv.Itoa(n))
		query = after
	}
}

// contents writes every content that is not there yet, in the order of the
// digests, which is that of the table.
func (w writer) contents(lists ...[]hedgerow.Object) error {
	var all []*hedgerow.Object
	for _, l := range lists {
		for i := range l {
			if l[i].Content != nil {
				all = append(all, &l[i])
			}
		}
	}
	slices.SortFunc(all, func(a, b *hedgerow.Object) int { return slices.Compare(a.Digest[:], b.Digest[:]) })
	return w.rows(`INSERT INTO contents (digest, body) VALUES %s ON CONFLICT (digest) DO NOTHING`, nil, len(all), 2, func(i int, args []any) []any {
		return append(args, all[i].Digest[:], string(all[i].Content))
	})
}

// archive copies the latest periods of objects to history before they are
// overwritten. A tombstone keeps the end it has; a period that still holds
// ends now, and so.
func (w writer) archive(rs []ref, ended string) error {
	return w.rows(`INSERT INTO history (kind_id, namespace, name, since_run, fabric_id, uid, generation, digest, since, began, until, until_run, ended)
		SELECT o.kind_id, o.namespace, o.name, o.since_run, o.fabric_id, o.uid, o.generation, o.digest, o.since, o.began,
			coalesce(o.until, ?), coalesce(o.until_run, ?), CASE WHEN o.until IS NULL THEN ? ELSE 'deleted' END
		FROM objects o WHERE o.kind_id = ? AND (o.namespace, o.name) IN (VALUES %s)`,
		[]any{micros(w.now), w.run.ID, ended, w.kind}, len(rs), 2, func(i int, args []any) []any {
			return append(args, rs[i].namespace, rs[i].name)
		})
}

// objects writes the latest period of each object.
func (w writer) objects(os []hedgerow.Object, began hedgerow.Began) error {
	now := micros(w.now)
	return w.rows(`INSERT INTO objects (kind_id, namespace, name, fabric_id, uid, resource_version, generation, created_at, digest, since, since_run, began) VALUES %s
		ON CONFLICT (kind_id, namespace, name) DO UPDATE SET uid = excluded.uid, resource_version = excluded.resource_version,
			generation = excluded.generation, created_at = excluded.created_at, digest = excluded.digest, since = excluded.since,
			since_run = excluded.since_run, began = excluded.began, until = NULL, until_run = NULL`,
		nil, len(os), 12, func(i int, args []any) []any {
			o := &os[i]
			return append(args, w.kind, o.Namespace, o.Name, w.run.FabricID, o.UID, o.ResourceVersion, o.Generation, micros(o.CreatedAt), o.Digest[:], now, w.run.ID, string(began))
		})
}

// bury leaves a tombstone for each object.
func (w writer) bury(ms []hedgerow.Mark) error {
	return w.rows(`UPDATE objects SET until = ?, until_run = ? WHERE kind_id = ? AND until IS NULL AND (namespace, name) IN (VALUES %s)`,
		[]any{micros(w.now), w.run.ID, w.kind}, len(ms), 2, func(i int, args []any) []any {
			return append(args, ms[i].Namespace, ms[i].Name)
		})
}

// vitals writes the last reading of objects that have one, and the
// resourceVersion of those whose content did not move with it.
func (w writer) vitals(m hedgerow.Move) error {
	var all []*hedgerow.Object
	for _, l := range [][]hedgerow.Object{m.Created, m.Updated, m.Renewed} {
		for i := range l {
			if l[i].Vitals != nil {
				all = append(all, &l[i])
			}
		}
	}
	for i := range m.Touched {
		all = append(all, &m.Touched[i])
	}
	err := w.rows(`INSERT INTO vitals (kind_id, namespace, name, resource_version, at, body) VALUES %s
		ON CONFLICT (kind_id, namespace, name) DO UPDATE SET resource_version = excluded.resource_version, at = excluded.at, body = excluded.body`,
		nil, len(all), 6, func(i int, args []any) []any {
			o := all[i]
			body := sql.NullString{String: string(o.Vitals), Valid: o.Vitals != nil}
			return append(args, w.kind, o.Namespace, o.Name, o.ResourceVersion, micros(w.now), body)
		})
	if err != nil {
		return err
	}
	// A content that moved carries its own resourceVersion again.
	var moved []ref
	for _, l := range [][]hedgerow.Object{m.Updated, m.Renewed} {
		for _, o := range l {
			if o.Vitals == nil {
				moved = append(moved, ref{o.Namespace, o.Name})
			}
		}
	}
	for _, d := range m.Deleted {
		moved = append(moved, ref{d.Namespace, d.Name})
	}
	return w.rows(`DELETE FROM vitals WHERE kind_id = ? AND (namespace, name) IN (VALUES %s)`, []any{w.kind}, len(moved), 2, func(i int, args []any) []any {
		return append(args, moved[i].namespace, moved[i].name)
	})
}
