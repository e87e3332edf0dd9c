package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"hedgerow"
)

const scheduleColumns = `next_run_at, failures, open_since, probed_at, probe_error`

func scanSchedule(scan func(...any) error, more ...any) (s hedgerow.Schedule, err error) {
	var next, open, probed sql.NullInt64
	err = scan(append([]any{&next, &s.Failures, &open, &probed, &s.ProbeError}, more...)...)
	s.Next, s.OpenSince, s.ProbedAt = fromNullMicros(next), fromNullMicros(open), fromNullMicros(probed)
	return s, err
}

func nullMicros(t time.Time) sql.NullInt64 {
	return sql.NullInt64{Int64: t.UnixMicro(), Valid: !t.IsZero()}
}

func schedule(ctx context.Context, q querier, fabric int64) (hedgerow.Schedule, error) {
	s, err := scanSchedule(q.QueryRowContext(ctx, `SELECT `+scheduleColumns+` FROM schedules WHERE fabric_id = $1`, fabric).Scan)
	if errors.Is(err, sql.ErrNoRows) { // removed
		return s, nil
	}
	return s, err
}

func saveSchedule(ctx context.Context, q querier, fabric int64, s hedgerow.Schedule) error {
	_, err := q.ExecContext(ctx, `INSERT INTO schedules (fabric_id, next_run_at, failures, open_since, probed_at, probe_error) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (fabric_id) DO UPDATE SET next_run_at = excluded.next_run_at, failures = excluded.failures, open_since = excluded.open_since,
			probed_at = excluded.probed_at, probe_error = excluded.probe_error`,
		fabric, nullMicros(s.Next), s.Failures, nullMicros(s.OpenSince), nullMicros(s.ProbedAt), plain(s.ProbeError))
	return err
}

// Schedule returns a fabric's schedule.
func (db *DB) Schedule(ctx context.Context, fabric int64) (hedgerow.Schedule, error) {
	ctx, cancel := context.WithTimeout(ctx, brief)
	defer cancel()
	s, err := schedule(ctx, db.read, fabric)
	return s, failed("read the schedule", err)
}

// Probed records a fabric's schedule after a probe in vain, unless the breaker
// that was open before has been closed meanwhile.
func (db *DB) Probed(ctx context.Context, fabric int64, before, after hedgerow.Schedule) error {
	return db.tx(ctx, "record the probe", func(tx *sql.Tx) error {
		now, err := schedule(ctx, tx, fabric)
		if err != nil || !now.OpenSince.Equal(before.OpenSince) {
			return err
		}
		if err := saveSchedule(ctx, tx, fabric, after); err != nil {
			return err
		}
		return db.announce(ctx, tx, fabric)
	})
}

// Due returns the fabrics that were to be read by now, the longest due first,
// at most limit of them. Suspended fabrics and those without a cluster are
// never due.
func (db *DB) Due(ctx context.Context, now time.Time, limit int) (all []hedgerow.Due, err error) {
	err = each(ctx, db.read, func(r *sql.Rows) error {
		var at int64
		f, err := scanFabric(func(into ...any) error { return r.Scan(append(into, &at)...) })
		all = append(all, hedgerow.Due{Fabric: f.ID, Name: f.Name, At: fromMicros(at), Interval: f.Policy.Interval})
		return err
	}, `SELECT `+fabricColumns+`, next_run_at FROM schedules JOIN fabrics ON id = fabric_id
		WHERE next_run_at <= $1 AND NOT suspended AND cluster IS NOT NULL ORDER BY next_run_at LIMIT $2`, micros(now), limit)
	return all, failed("look for due fabrics", err)
}

// Advance moves a due fabric on to its next moment, unless somebody has moved
// it since.
func (db *DB) Advance(ctx context.Context, d hedgerow.Due, next time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, brief)
	defer cancel()
	_, err := db.write.ExecContext(ctx, `UPDATE schedules SET next_run_at = $1 WHERE fabric_id = $2 AND next_run_at = $3`, nullMicros(next), d.Fabric, micros(d.At))
	return failed("record the schedule", err)
}

// NewestPass returns the newest pass of a fabric, without its evidence; its ID
// is 0 when there has been none.
func (db *DB) NewestPass(ctx context.Context, fabric int64) (hedgerow.Run, error) {
	ctx, cancel := context.WithTimeout(ctx, brief)
	defer cancel()
	r, err := newestPass(ctx, db.read, fabric)
	return r, failed("read the runs", err)
}

func newestPass(ctx context.Context, q querier, fabric int64) (r hedgerow.Run, err error) {
	var started int64
	var finished sql.NullInt64
	err = q.QueryRowContext(ctx, `SELECT id, trigger, actor, started_at, finished_at, outcome, code, message FROM runs
		WHERE fabric_id = $1 AND trigger <> 'follow' ORDER BY id DESC LIMIT 1`, fabric).
		Scan(&r.ID, &r.Trigger, &r.Actor, &started, &finished, &r.Outcome, &r.Code, &r.Message)
	if errors.Is(err, sql.ErrNoRows) {
		return r, nil
	}
	r.FabricID, r.StartedAt, r.FinishedAt = fabric, fromMicros(started), fromNullMicros(finished)
	return r, err
}
