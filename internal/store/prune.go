package store

import (
	"context"
	"time"
)

// pruneChunk bounds the runs that one statement deletes.
const pruneChunk = 1000

// Prune forgets runs that ended before a time: of those that changed nothing
// and were complete, quiet, and of all, old. A fabric's newest runs, on which
// its facts stand, stay. What happened to the objects is not forgotten: their
// history keeps the number of the run.
func (db *DB) Prune(ctx context.Context, quiet, old time.Time) (runs int64, err error) {
	for _, which := range []struct {
		where  string
		before time.Time
	}{{`r.outcome = 'complete' AND r.version_after = r.version_before`, quiet}, {`r.outcome <> 'running'`, old}} {
		n, err := db.prune(ctx, which.where, which.before)
		if runs += n; err != nil {
			return runs, failed("prune the runs", err)
		}
	}
	return runs, nil
}

// prune deletes in chunks, so that nobody has to wait for long.
func (db *DB) prune(ctx context.Context, where string, before time.Time) (runs int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, long)
	defer cancel()
	for {
		res, err := db.write.ExecContext(ctx, `DELETE FROM runs WHERE id IN (
			SELECT r.id FROM runs r WHERE r.finished_at < $1 AND `+where+`
				AND r.id <> coalesce((SELECT max(id) FROM runs l WHERE l.fabric_id = r.fabric_id AND l.trigger <> 'follow' AND l.evidence IS NOT NULL), 0)
				AND r.id <> coalesce((SELECT max(id) FROM runs c WHERE c.fabric_id = r.fabric_id AND c.trigger <> 'follow' AND c.outcome = 'complete'), 0)
				AND r.id <> coalesce((SELECT max(id) FROM runs n WHERE n.fabric_id = r.fabric_id AND n.trigger <> 'follow'), 0)
			LIMIT $2)`, micros(before), pruneChunk)
		if err != nil {
			return runs, err
		}
		n, err := res.RowsAffected()
		runs += n
		if err != nil || n < pruneChunk {
			return runs, err
		}
	}
}
