package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"hedgerow"
)

// Amend commits what a follower saw happen between passes, in one transaction.
//
// It does so only while the follower is the fabric's, no pass is under way and
// the newest pass is the one that the follower knows of; else the result says
// what to do first. The function decides what the sightings mean, given what
// is recorded of their objects at that moment; without changes nothing is
// written.
func (db *DB) Amend(ctx context.Context, a hedgerow.Amendment, decide func(map[hedgerow.Ref]hedgerow.Mark) []hedgerow.Move) (out hedgerow.Amended, err error) {
	err = db.tx(ctx, "record what changed", func(tx *sql.Tx) error {
		out = hedgerow.Amended{}
		var version int64
		err := tx.QueryRowContext(ctx, `SELECT version FROM fabrics WHERE id = $1`+db.dialect.forUpdate, a.Fabric).Scan(&version)
		if errors.Is(err, sql.ErrNoRows) { // removed
			out.Lost = true
			return nil
		}
		if err != nil {
			return err
		}
		// Not before the row is ours: until then a pass may begin.
		var mine, pass int64
		var running bool
		err = tx.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM followers JOIN processes ON id = process_id WHERE fabric_id = $1 AND process_id = $2),
			coalesce(max(id), 0), coalesce(max(CASE WHEN outcome = 'running' THEN 1 END), 0) = 1
			FROM runs WHERE id = (SELECT max(id) FROM runs WHERE fabric_id = $1 AND trigger <> 'follow')`, a.Fabric, a.Process).Scan(&mine, &pass, &running)
		if err != nil {
			return err
		}
		out.Lost, out.Busy, out.Moved = mine == 0, running, pass != a.Basis
		if out.Lost || out.Busy || out.Moved {
			return nil
		}
		ids, err := kindIDs(ctx, tx, a.Fabric)
		if err != nil {
			return err
		}
		marks, err := db.marksOf(ctx, tx, ids, a.Sightings)
		if err != nil {
			return err
		}
		moves := decide(marks)
		if len(moves) == 0 {
			return nil
		}
		return db.amend(ctx, tx, a, version, ids, moves, &out)
	})
	if err == nil && out.Run.ID != 0 {
		db.tell(a.Fabric)
	}
	return out, err
}

func (db *DB) amend(ctx context.Context, tx *sql.Tx, a hedgerow.Amendment, version int64, ids map[hedgerow.KindID]int64, moves []hedgerow.Move, out *hedgerow.Amended) error {
	r := hedgerow.Run{
		FabricID: a.Fabric, Trigger: hedgerow.TriggerFollow, Actor: a.Actor, Outcome: hedgerow.RunComplete,
		StartedAt: a.At, FinishedAt: a.Now(), VersionBefore: version, VersionAfter: version + 1, Kinds: a.Evidence(moves),
	}
	evidence, err := json.Marshal(r.Kinds)
	if err != nil {
		return err
	}
	err = tx.QueryRowContext(ctx, `INSERT INTO runs (fabric_id, trigger, actor, started_at, finished_at, outcome, code, message, version_before, version_after, evidence)
		VALUES ($1, 'follow', $2, $3, $4, $5, '', '', $6, $7, $8) RETURNING id`,
		r.FabricID, r.Actor, micros(r.StartedAt), micros(r.FinishedAt), r.Outcome, r.VersionBefore, r.VersionAfter, string(evidence)).Scan(&r.ID)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `UPDATE fabrics SET version = $1 WHERE id = $2`, r.VersionAfter, r.FabricID); err != nil {
		return err
	}
	if err := db.writeMoves(ctx, tx, r, ids, moves); err != nil {
		return err
	}
	for k, revision := range a.Revisions {
		if _, err := tx.ExecContext(ctx, `UPDATE kinds SET revision = $1 WHERE id = $2`, revision, ids[k]); err != nil {
			return err
		}
	}
	out.Run = r
	return db.announce(ctx, tx, r.FabricID)
}

// marksOf returns what is recorded of the objects that were seen.
func (db *DB) marksOf(ctx context.Context, tx *sql.Tx, ids map[hedgerow.KindID]int64, seen []hedgerow.Sighting) (map[hedgerow.Ref]hedgerow.Mark, error) {
	marks := make(map[hedgerow.Ref]hedgerow.Mark, len(seen))
	args := map[hedgerow.KindID][]any{}
	for _, s := range seen {
		k := hedgerow.KindID{Group: s.Group, Kind: s.Kind}
		if args[k] == nil {
			args[k] = []any{ids[k]}
		}
		args[k] = append(args[k], s.Namespace, s.Name)
	}
	for k, list := range args {
		err := each(ctx, tx, func(r *sql.Rows) error {
			m := hedgerow.Mark{Ref: hedgerow.Ref{Group: k.Group, Kind: k.Kind}}
			err := r.Scan(&m.Namespace, &m.Name, &m.UID, &m.ResourceVersion, digestOf{&m.Digest})
			marks[m.Ref] = m
			return err
		}, db.dialect.bind(`SELECT o.namespace, o.name, o.uid, coalesce(v.resource_version, o.resource_version), o.digest FROM objects o
			LEFT JOIN vitals v ON v.kind_id = o.kind_id AND v.namespace = o.namespace AND v.name = o.name
			WHERE o.kind_id = ? AND o.until IS NULL AND (o.namespace, o.name) IN (VALUES `+placeholders(len(list)/2, 2)+`)`), list...)
		if err != nil {
			return nil, err
		}
	}
	return marks, nil
}

// Revisions returns up to which resourceVersion each kind of a fabric has been
// followed, where it has been since it was last read.
func (db *DB) Revisions(ctx context.Context, fabric int64) (map[hedgerow.KindID]string, error) {
	all := map[hedgerow.KindID]string{}
	err := each(ctx, db.read, func(r *sql.Rows) error {
		var k hedgerow.KindID
		var revision string
		err := r.Scan(&k.Group, &k.Kind, &revision)
		all[k] = revision
		return err
	}, `SELECT grp, kind, revision FROM kinds WHERE fabric_id = $1 AND revision <> ''`, fabric)
	return all, failed("read the revisions", err)
}

// Claims returns the fabrics that should be followed, and by whom they are.
func (db *DB) Claims(ctx context.Context) (all []hedgerow.Claim, err error) {
	err = each(ctx, db.read, func(r *sql.Rows) error {
		var c hedgerow.Claim
		f, err := scanFabric(func(into ...any) error { return r.Scan(append(into, &c.Process)...) })
		if f.Policy.Mode == hedgerow.Watch && f.Cluster != nil && !f.Suspended {
			c.Fabric = f
			all = append(all, c)
		}
		return err
	}, `SELECT f.id, f.name, f.cluster, f.policy, f.suspended, f.version, f.created_at, f.updated_at, coalesce(p.id, '') FROM fabrics f
		LEFT JOIN followers w ON w.fabric_id = f.id LEFT JOIN processes p ON p.id = w.process_id ORDER BY f.id`)
	return all, failed("read who follows", err)
}

// Claim makes a process the follower of a fabric, unless another that lives
// is, and reports whether it did.
func (db *DB) Claim(ctx context.Context, fabric int64, process string, now time.Time) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, brief)
	defer cancel()
	res, err := db.write.ExecContext(ctx, `INSERT INTO followers (fabric_id, process_id, state, message, since)
		SELECT f.id, CAST($2 AS TEXT), CAST($3 AS TEXT), '', CAST($4 AS BIGINT) FROM fabrics f WHERE f.id = $1
		ON CONFLICT (fabric_id) DO UPDATE SET process_id = excluded.process_id, state = excluded.state, message = '', since = excluded.since
		WHERE followers.process_id NOT IN (SELECT id FROM processes)`, fabric, process, hedgerow.Starting, micros(now))
	if err != nil {
		return false, failed("claim the fabric", err)
	}
	n, err := res.RowsAffected()
	return n == 1, failed("claim the fabric", err)
}

// Release ends a process's claim to follow a fabric.
func (db *DB) Release(ctx context.Context, fabric int64, process string) error {
	ctx, cancel := context.WithTimeout(ctx, brief)
	defer cancel()
	_, err := db.write.ExecContext(ctx, `DELETE FROM followers WHERE fabric_id = $1 AND process_id = $2`, fabric, process)
	return failed("release the fabric", err)
}

// SetFollow records how far a follower has come, and reports whether it still
// is the fabric's.
func (db *DB) SetFollow(ctx context.Context, fabric int64, process string, state hedgerow.FollowState, message string, now time.Time) (mine bool, err error) {
	err = db.tx(ctx, "record the follower", func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `UPDATE followers SET state = $1, message = $2, since = $3 WHERE fabric_id = $4 AND process_id = $5`,
			state, plain(message), micros(now), fabric, process)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		if mine = n == 1; err != nil || !mine {
			return err
		}
		return db.announce(ctx, tx, fabric)
	})
	if mine {
		db.tell(fabric)
	}
	return mine, err
}

// followFacts returns how far a fabric's follower has come.
func (db *DB) followFacts(ctx context.Context, f hedgerow.Fabric) (w hedgerow.FollowFacts, err error) {
	w.Wanted = f.Policy.Mode == hedgerow.Watch
	var since int64
	err = db.read.QueryRowContext(ctx, `SELECT state, message, since, process_id FROM followers WHERE fabric_id = $1`, f.ID).
		Scan(&w.State, &w.Message, &since, &w.Process)
	if errors.Is(err, sql.ErrNoRows) {
		return w, nil
	}
	w.Since = fromMicros(since)
	return w, err
}
