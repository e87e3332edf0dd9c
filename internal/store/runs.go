package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"hedgerow"
)

const runColumns = `id, fabric_id, trigger, actor, started_at, finished_at, outcome, code, message, version_before, version_after, evidence`

func scanRun(scan func(...any) error) (r hedgerow.Run, err error) {
	var started int64
	var finished sql.NullInt64
	var evidence sql.NullString
	err = scan(&r.ID, &r.FabricID, &r.Trigger, &r.Actor, &started, &finished, &r.Outcome, &r.Code, &r.Message, &r.VersionBefore, &r.VersionAfter, &evidence)
	if err != nil {
		return r, err
	}
	r.StartedAt, r.FinishedAt = fromMicros(started), fromNullMicros(finished)
	if evidence.Valid {
		err = json.Unmarshal([]byte(evidence.String), &r.Kinds)
	}
	return r, err
}

// Begin starts a run, or fails with CodeBusy while another is under way, or when
// the newest pass has met what is wanted of this one. A run that a dead process
// left behind is closed as interrupted first.
func (db *DB) Begin(ctx context.Context, o hedgerow.Opening) (_ *hedgerow.Pass, err error) {
	fabric := o.Fabric
	lock, err := db.dialect.lock(ctx, fabricLocks, fabric.ID)
	if err != nil {
		return nil, failed("lock the fabric", err)
	}
	if lock == nil {
		return nil, hedgerow.Errorf(hedgerow.CodeBusy, "another run of fabric %s is under way", fabric.Name).WithHint("Watch it: hedgerow runs -F %s", fabric.Name)
	}
	p := &hedgerow.Pass{End: lock.unlock}
	defer func() {
		if err != nil {
			lock.unlock()
		}
	}()
	r := hedgerow.Run{FabricID: fabric.ID, Trigger: o.Trigger, Actor: o.Actor, Outcome: hedgerow.Running}
	err = db.tx(ctx, "begin a run", func(tx *sql.Tx) error {
		// A follower that is at it commits before this pass begins, or not at
		// all: see Amend.
		var settings int64
		var cluster sql.NullString
		err := tx.QueryRowContext(ctx, `SELECT version, updated_at, cluster FROM fabrics WHERE id = $1`+db.dialect.forUpdate, fabric.ID).Scan(&r.VersionBefore, &settings, &cluster)
		if errors.Is(err, sql.ErrNoRows) {
			return hedgerow.Errorf(hedgerow.CodeNotFound, "fabric %s has been removed", fabric.Name)
		} else if err != nil {
			return err
		}
		p.Settings = hedgerow.Settings{Changed: fromMicros(settings), Cluster: cluster.String}
		if !fabric.UpdatedAt.IsZero() && micros(fabric.UpdatedAt) != settings {
			return hedgerow.Errorf(hedgerow.CodeBusy, "fabric %s was changed just now", fabric.Name).WithHint("Try again.")
		}
		if o.Met != nil {
			newest, err := newestPass(ctx, tx, fabric.ID)
			if err != nil {
				return err
			}
			if o.Met(newest) {
				return hedgerow.Errorf(hedgerow.CodeBusy, "fabric %s was read just now", fabric.Name)
			}
		}
		now := o.Clock()
		r.StartedAt = now
		if err := interrupt(ctx, tx, fabric.ID, now); err != nil {
			return err
		}
		if p.Schedule, err = schedule(ctx, tx, fabric.ID); err != nil {
			return err
		}
		if err := db.announce(ctx, tx, fabric.ID); err != nil {
			return err
		}
		r.VersionAfter = r.VersionBefore
		return tx.QueryRowContext(ctx, `INSERT INTO runs (fabric_id, trigger, actor, started_at, outcome, code, message, version_before, version_after)
			VALUES ($1, $2, $3, $4, $5, '', '', $6, $6) RETURNING id`,
			r.FabricID, r.Trigger, r.Actor, micros(now), r.Outcome, r.VersionBefore).Scan(&r.ID)
	})
	if err != nil {
		return nil, err
	}
	db.tell(fabric.ID)
	p.Run = r
	if p.Before, err = db.Evidence(ctx, fabric.ID); err != nil {
		return nil, err
	}
	return p, nil
}

// interrupt closes the run that a dead process left behind, and makes the
// fabric due: what it was to find out is still not known. The caller holds the
// fabric's lock, so nobody is at it.
func interrupt(ctx context.Context, tx *sql.Tx, fabric int64, now time.Time) error {
	res, err := tx.ExecContext(ctx, `UPDATE runs SET outcome = $1, code = $2, message = $3,
			finished_at = CASE WHEN started_at > $4 THEN started_at ELSE $4 END -- another machine's clock may be behind
		WHERE fabric_id = $5 AND outcome = $6`,
		hedgerow.Interrupted, hedgerow.CodeInterrupted, "the process that did it ended before the run did; nothing of it was recorded",
		micros(now), fabric, hedgerow.Running)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE schedules SET next_run_at = $1 WHERE fabric_id = $2 AND next_run_at > $1`, micros(now), fabric)
	return err
}

// CloseInterrupted closes every run whose process has died.
func (db *DB) CloseInterrupted(ctx context.Context, now time.Time) error {
	var ids []int64
	err := each(ctx, db.read, func(r *sql.Rows) error {
		var id int64
		err := r.Scan(&id)
		ids = append(ids, id)
		return err
	}, `SELECT fabric_id FROM runs WHERE outcome = 'running'`)
	if err != nil {
		return failed("look for interrupted runs", err)
	}
	for _, id := range ids {
		lock, err := db.dialect.lock(ctx, fabricLocks, id)
		if err != nil {
			return failed("lock the fabric", err)
		}
		if lock == nil {
			continue // alive
		}
		err = db.tx(ctx, "close an interrupted run", func(tx *sql.Tx) error {
			if err := interrupt(ctx, tx, id, now); err != nil {
				return err
			}
			return db.announce(ctx, tx, id)
		})
		lock.unlock()
		if err != nil {
			return err
		}
		db.tell(id)
	}
	return nil
}

// finish writes how a run ended. It fails when the run is no longer running,
// as it is when its lock was lost and another process took over: then nothing
// of its transaction may stand.
func finish(ctx context.Context, tx *sql.Tx, r hedgerow.Run) error {
	evidence, err := json.Marshal(r.Kinds)
	if err != nil {
		return err
	}
	res, err := tx.ExecContext(ctx, `UPDATE runs SET finished_at = $1, outcome = $2, code = $3, message = $4, version_after = $5, evidence = $6
		WHERE id = $7 AND outcome = $8`,
		micros(r.FinishedAt), r.Outcome, r.Code, plain(r.Message), r.VersionAfter, string(evidence), r.ID, hedgerow.Running)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		return hedgerow.Errorf(hedgerow.CodeInterrupted, "run %d was taken over by another process", r.ID)
	}
	return nil
}

// plain makes of a sentence, into which a cluster may have had its word, text
// that every engine takes.
func plain(s string) string { return hedgerow.OneLine(strings.ToValidUTF8(s, "\uFFFD")) }

// Runs returns a fabric's runs, newest first, at most limit of them, with ids
// below before (0: the newest); passes only, or also what followers committed
// between them.
func (db *DB) Runs(ctx context.Context, fabric int64, before int64, limit int, follow bool) (all []hedgerow.Run, err error) {
	if before == 0 {
		before = 1 << 62
	}
	which := ` AND trigger <> 'follow'`
	if follow {
		which = ""
	}
	err = each(ctx, db.read, func(r *sql.Rows) error {
		run, err := scanRun(r.Scan)
		all = append(all, run)
		return err
	}, `SELECT `+runColumns+` FROM runs WHERE fabric_id = $1 AND id < $2`+which+` ORDER BY id DESC LIMIT $3`, fabric, before, limit)
	return all, failed("read the runs", err)
}

// Run returns one run.
func (db *DB) Run(ctx context.Context, id int64) (hedgerow.Run, error) {
	r, err := scanRun(db.read.QueryRowContext(ctx, `SELECT `+runColumns+` FROM runs WHERE id = $1`, id).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return r, hedgerow.Errorf(hedgerow.CodeNotFound, "there is no run %d", id).WithHint("List them: hedgerow runs -F FABRIC")
	}
	return r, failed("read the run", err)
}

// Evidence returns what the newest pass that proved anything proved of each
// kind, with the objects that are present now.
func (db *DB) Evidence(ctx context.Context, fabric int64) ([]hedgerow.KindEvidence, error) {
	r, err := scanRun(db.read.QueryRowContext(ctx, `SELECT `+runColumns+` FROM runs
		WHERE fabric_id = $1 AND trigger <> 'follow' AND evidence IS NOT NULL ORDER BY id DESC LIMIT 1`, fabric).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, failed("read the evidence", err)
	}
	present, err := db.Counts(ctx, fabric)
	for i := range r.Kinds {
		r.Kinds[i].Present = present[r.Kinds[i].ID()]
	}
	return r.Kinds, err
}

// Facts returns what the record proves about a fabric, but for its agents.
func (db *DB) Facts(ctx context.Context, f hedgerow.Fabric) (hedgerow.Facts, error) {
	facts := hedgerow.Facts{
		Configured: f.Cluster != nil,
		Suspended:  f.Suspended,
		Insecure:   f.Cluster != nil && !f.Cluster.Trusted(),
		Interval:   f.Policy.Interval,
		Deadline:   f.Policy.PassTimeout + hedgerow.CommitTimeout,
	}
	newest := func(where string, arg any) (*hedgerow.Run, error) {
		r, err := scanRun(db.read.QueryRowContext(ctx, `SELECT `+runColumns+` FROM runs
			WHERE fabric_id = $1 AND trigger <> 'follow' AND `+where+` ORDER BY id DESC LIMIT 1`, f.ID, arg).Scan)
		if errors.Is(err, sql.ErrNoRows) {
			return nil, nil
		}
		return &r, err
	}
	var err error
	if facts.Running, err = newest(`outcome = $2`, hedgerow.Running); err != nil {
		return facts, failed("read the runs", err)
	}
	if facts.Last, err = newest(`outcome <> $2`, hedgerow.Running); err != nil {
		return facts, failed("read the runs", err)
	}
	complete, err := newest(`outcome = $2`, hedgerow.RunComplete)
	if err != nil {
		return facts, failed("read the runs", err)
	}
	if complete != nil {
		facts.LastComplete = complete.FinishedAt
	}
	if facts.Schedule, err = db.Schedule(ctx, f.ID); err != nil {
		return facts, err
	}
	if facts.Follow, err = db.followFacts(ctx, f); err != nil {
		return facts, failed("read the follower", err)
	}
	evidence, err := db.Evidence(ctx, f.ID)
	for _, e := range evidence {
		facts.Objects += e.Present
	}
	return facts, err
}
