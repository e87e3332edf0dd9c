package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"

	"hedgerow"
)

// History returns what happened to the objects of a fabric, newest first.
func (db *DB) History(ctx context.Context, fabric int64, q hedgerow.HistoryQuery) ([]hedgerow.Event, error) {
	if q.Limit <= 0 {
		q.Limit = 100
	}
	where, args := `p.fabric_id = $1`, []any{fabric}
	add := func(format string, v any) {
		args = append(args, v)
		where += fmt.Sprintf(" AND "+format, len(args))
	}
	if q.Kind != (hedgerow.KindID{}) {
		add(`k.grp = $%d`, q.Kind.Group)
		add(`k.kind = $%d`, q.Kind.Kind)
	}
	if q.Namespace != "" {
		add(`p.namespace = $%d`, q.Namespace)
	}
	if q.Name != "" {
		add(`p.name = $%d`, q.Name)
	}
	// An event is where a period begins or ends, so each of the two tables is
	// asked twice, newest first, and the four answers are merged. The period
	// that an update began is the one in which another ended as replaced: it
	// would be the same event twice, so only beginnings tell of updates.
	var all []hedgerow.Event
	ask := func(table, run, at, what, when string) error {
		cond, a := where, args
		if !q.Since.IsZero() {
			a = append(a[:len(a):len(a)], micros(q.Since))
			cond += fmt.Sprintf(" AND p.%s >= $%d", at, len(a))
		}
		if q.Changes && what == "p.began" {
			cond += ` AND p.began <> 'first seen'`
		}
		if q.Run != 0 {
			a = append(a[:len(a):len(a)], q.Run)
			cond += fmt.Sprintf(" AND p.%s = $%d", run, len(a))
		}
		return each(ctx, db.read, func(r *sql.Rows) error {
			var e hedgerow.Event
			var at int64
			var d hedgerow.Digest
			if err := r.Scan(&e.Group, &e.Kind, &e.Namespace, &e.Name, &e.UID, &at, &e.Run, &e.What, digestOf{&d}); err != nil {
				return err
			}
			e.At = fromMicros(at)
			if e.What == string(hedgerow.Deleted) {
				e.Before = &d
			} else {
				e.After = &d
			}
			all = append(all, e)
			return nil
		}, fmt.Sprintf(`SELECT k.grp, k.kind, p.namespace, p.name, p.uid, p.%s, p.%s, %s, p.digest FROM %s p JOIN kinds k ON k.id = p.kind_id
			WHERE %s AND %s ORDER BY p.%s DESC, k.kind, k.grp, p.namespace, p.name LIMIT %d`, at, run, what, table, cond, when, run, q.Limit), a...)
	}
	err := cmp.Or(
		ask("objects", "since_run", "since", "p.began", "1 = 1"),
		ask("history", "since_run", "since", "p.began", "1 = 1"),
		ask("objects", "until_run", "until", "'deleted'", "p.until IS NOT NULL"),
		ask("history", "until_run", "until", "'deleted'", "p.ended = 'deleted'"),
	)
	if err != nil {
		return nil, failed("read the history", err)
	}
	// Of one run, a deletion comes before the making of the same name again.
	slices.SortStableFunc(all, func(a, b hedgerow.Event) int {
		return cmp.Or(cmp.Compare(b.Run, a.Run), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Group, b.Group), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name),
			cmp.Compare(rank(a), rank(b)))
	})
	if len(all) > q.Limit {
		all = all[:q.Limit]
	}
	for i := range all {
		if all[i].What == string(hedgerow.Updated) {
			if err := db.predecessor(ctx, fabric, &all[i]); err != nil {
				return nil, failed("read the history", err)
			}
		}
	}
	return all, nil
}

// rank orders the events of one object in one run, newest first.
func rank(e hedgerow.Event) int {
	if e.What == string(hedgerow.Deleted) {
		return 1
	}
	return 0
}

// predecessor finds the content that an update replaced.
func (db *DB) predecessor(ctx context.Context, fabric int64, e *hedgerow.Event) error {
	var d hedgerow.Digest
	err := db.read.QueryRowContext(ctx, `SELECT h.digest FROM history h JOIN kinds k ON k.id = h.kind_id
		WHERE k.fabric_id = $1 AND k.grp = $2 AND k.kind = $3 AND h.namespace = $4 AND h.name = $5 AND h.until_run = $6 AND h.ended = 'replaced'`,
		fabric, e.Group, e.Kind, e.Namespace, e.Name, e.Run).Scan(digestOf{&d})
	if err == sql.ErrNoRows {
		return nil
	}
	e.Before = &d
	return err
}
