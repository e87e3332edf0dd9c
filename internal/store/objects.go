package store

import (
	"context"
	"database/sql"
	"errors"

	"hedgerow"
)

// Marks returns, for each kind of a fabric, what is recorded of its present
// objects, without their contents.
func (db *DB) Marks(ctx context.Context, fabric int64) (map[hedgerow.KindID][]hedgerow.Mark, error) {
	ids, err := kindIDs(ctx, db.read, fabric)
	if err != nil {
		return nil, failed("read the kinds", err)
	}
	kinds := make(map[int64]hedgerow.KindID, len(ids))
	for k, id := range ids {
		kinds[id] = k
	}
	// An object that was read again without being changed has its newest
	// resourceVersion there.
	type key struct {
		kind int64
		ref
	}
	seen := map[key]string{}
	err = eachWithin(ctx, long, db.read, func(r *sql.Rows) error {
		var k key
		var rv string
		err := r.Scan(&k.kind, &k.namespace, &k.name, &rv)
		seen[k] = rv
		return err
	}, `SELECT kind_id, namespace, name, resource_version FROM vitals WHERE kind_id IN (SELECT id FROM kinds WHERE fabric_id = $1)`, fabric)
	if err != nil {
		return nil, failed("read the vitals", err)
	}
	all := make(map[hedgerow.KindID][]hedgerow.Mark, len(ids))
	var id int64
	var namespace string // one string for all objects of a namespace
	err = eachWithin(ctx, long, db.read, func(r *sql.Rows) error {
		var m hedgerow.Mark
		if err := r.Scan(&id, &m.Namespace, &m.Name, &m.UID, &m.ResourceVersion, digestOf{&m.Digest}); err != nil {
			return err
		}
		k := kinds[id]
		m.Group, m.Kind = k.Group, k.Kind
		if m.Namespace != namespace {
			namespace = m.Namespace
		}
		m.Namespace = namespace
		if len(seen) > 0 {
			if rv, ok := seen[key{id, ref{m.Namespace, m.Name}}]; ok {
				m.ResourceVersion = rv
			}
		}
		all[k] = append(all[k], m)
		return nil
	}, `SELECT kind_id, namespace, name, uid, resource_version, digest FROM objects
		WHERE kind_id IN (SELECT id FROM kinds WHERE fabric_id = $1) AND until IS NULL`, fabric)
	return all, failed("read the objects", err)
}

const recordedQuery = `SELECT o.namespace, o.name, o.uid, coalesce(v.resource_version, o.resource_version), o.generation, o.created_at,
		o.digest, o.since, o.since_run, o.began, c.body, v.at, v.body
	FROM objects o JOIN kinds k ON k.id = o.kind_id JOIN contents c ON c.digest = o.digest
	LEFT JOIN vitals v ON v.kind_id = o.kind_id AND v.namespace = o.namespace AND v.name = o.name
	WHERE k.fabric_id = $1 AND k.grp = $2 AND k.kind = $3 AND o.until IS NULL`

func scanRecorded(scan func(...any) error, id hedgerow.KindID) (o hedgerow.Recorded, err error) {
	var created, since int64
	var body string
	var at sql.NullInt64
	var vitals sql.NullString
	err = scan(&o.Namespace, &o.Name, &o.UID, &o.ResourceVersion, &o.Generation, &created, digestOf{&o.Digest}, &since, &o.SinceRun, &o.Began, &body, &at, &vitals)
	o.Group, o.Kind = id.Group, id.Kind
	o.CreatedAt, o.Since, o.VitalsAt = fromMicros(created), fromMicros(since), fromNullMicros(at)
	o.Content = []byte(body)
	if vitals.Valid {
		o.Vitals = []byte(vitals.String)
	}
	return o, err
}

// EachObject calls fn with every present object of a kind, by namespace and
// name.
func (db *DB) EachObject(ctx context.Context, fabric int64, id hedgerow.KindID, fn func(hedgerow.Recorded) error) error {
	return failed("read the objects", eachWithin(ctx, long, db.read, func(r *sql.Rows) error {
		o, err := scanRecorded(r.Scan, id)
		if err != nil {
			return err
		}
		return fn(o)
	}, recordedQuery+` ORDER BY o.namespace, o.name`, fabric, id.Group, id.Kind))
}

// Named returns the present objects of a kind with that name, one for each
// namespace that has it.
func (db *DB) Named(ctx context.Context, fabric int64, id hedgerow.KindID, name string) (all []hedgerow.Recorded, err error) {
	err = eachWithin(ctx, long, db.read, func(r *sql.Rows) error {
		o, err := scanRecorded(r.Scan, id)
		all = append(all, o)
		return err
	}, recordedQuery+` AND o.name = $4 ORDER BY o.namespace`, fabric, id.Group, id.Kind, name)
	return all, failed("read the object", err)
}

// Mentioning calls fn with every present object of a kind whose content holds
// text anywhere.
func (db *DB) Mentioning(ctx context.Context, fabric int64, id hedgerow.KindID, text string, fn func(hedgerow.Recorded) error) error {
	return failed("read the objects", eachWithin(ctx, long, db.read, func(r *sql.Rows) error {
		o, err := scanRecorded(r.Scan, id)
		if err != nil {
			return err
		}
		return fn(o)
	}, recordedQuery+` AND c.body LIKE $4 ESCAPE '\' ORDER BY o.namespace, o.name`, fabric, id.Group, id.Kind, "%"+escapeLike(text)+"%"))
}

func escapeLike(s string) string {
	out := make([]byte, 0, len(s))
	for i := range len(s) {
		if s[i] == '%' || s[i] == '_' || s[i] == '\\' {
			out = append(out, '\\')
		}
		out = append(out, s[i])
	}
	return string(out)
}

// Content returns the content with that digest.
func (db *DB) Content(ctx context.Context, d hedgerow.Digest) ([]byte, error) {
	var body string
	err := db.read.QueryRowContext(ctx, `SELECT body FROM contents WHERE digest = $1`, d[:]).Scan(&body)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, hedgerow.Errorf(hedgerow.CodeNotFound, "there is no content %s", d)
	}
	return []byte(body), failed("read the content", err)
}

// Counts returns the number of present objects of each kind of a fabric.
func (db *DB) Counts(ctx context.Context, fabric int64) (map[hedgerow.KindID]int, error) {
	n := map[hedgerow.KindID]int{}
	err := eachWithin(ctx, long, db.read, func(r *sql.Rows) error {
		var k hedgerow.KindID
		var c int
		err := r.Scan(&k.Group, &k.Kind, &c)
		n[k] = c
		return err
	}, `SELECT grp, kind, present FROM kinds WHERE fabric_id = $1 AND present > 0`, fabric)
	return n, failed("count the objects", err)
}

// EachAgent calls fn with what is recorded of every present object of a kind.
func (db *DB) EachAgent(ctx context.Context, fabric int64, kind hedgerow.KindID, fn func(generation int64, content, vitals []byte) error) error {
	return db.EachObject(ctx, fabric, kind, func(o hedgerow.Recorded) error { return fn(o.Generation, o.Content, o.Vitals) })
}
