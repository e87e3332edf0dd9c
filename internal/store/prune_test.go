package store

import (
	"database/sql"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"hedgerow"
)

// TestPrune: runs go when their time is over, but for those on which the facts
// stand: of each fabric the newest pass, the newest complete one and the newest
// that proved anything.
func TestPrune(t *testing.T) {
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			r := newRecord(t, engine)
			n := 0
			rapid.Check(t, func(rt *rapid.T) {
				n++
				prune(rt, r, n)
			})
		})
	}
}

func prune(t *rapid.T, r *record, n int) {
	r.execute(t, `DELETE FROM runs`)
	quiet, old := time.UnixMicro(1000), time.UnixMicro(500)
	var want []int64
	for i := range rapid.IntRange(1, 2).Draw(t, "fabrics") {
		f := r.fabric(t, fmt.Sprintf("f-%d-%d", n, i))
		type row struct {
			hedgerow.Run
			evidence any
			finished int64
		}
		var rows []row
		for range rapid.IntRange(0, 8).Draw(t, "runs") {
			one := row{finished: rapid.SampledFrom([]int64{400, 499, 500, 501, 999, 1000, 1001}).Draw(t, "finished")}
			one.Trigger = rapid.SampledFrom([]string{"manual", "schedule", "follow"}).Draw(t, "trigger")
			one.Outcome = rapid.SampledFrom([]hedgerow.Outcome{hedgerow.RunComplete, hedgerow.RunComplete, hedgerow.RunPartial, hedgerow.RunFailed, hedgerow.Interrupted}).Draw(t, "outcome")
			if one.Trigger == "follow" {
				one.Outcome = hedgerow.RunComplete
			}
			if one.Outcome != hedgerow.Interrupted {
				one.evidence = "[]"
			}
			one.VersionAfter = int64(rapid.IntRange(0, 1).Draw(t, "changed"))
			rows = append(rows, one)
		}
		for i := range rows {
			o := &rows[i]
			if err := r.write.QueryRowContext(t.Context(), `INSERT INTO runs (fabric_id, trigger, actor, started_at, finished_at, outcome, code, message, version_before, version_after, evidence)
				VALUES ($1, $2, '', 1, $3, $4, '', '', 0, $5, $6) RETURNING id`, f.ID, o.Trigger, o.finished, o.Outcome, o.VersionAfter, o.evidence).Scan(&o.ID); err != nil {
				t.Fatal(err)
			}
		}
		// What stands whatever its age, counted from the newest on.
		stands := map[string]int64{}
		for _, o := range slices.Backward(rows) {
			if o.Trigger == "follow" {
				continue
			}
			for what, is := range map[string]bool{"newest": true, "complete": o.Outcome == hedgerow.RunComplete, "evidence": o.evidence != nil} {
				if is && stands[what] == 0 {
					stands[what] = o.ID
				}
			}
		}
		for _, o := range rows {
			over := o.finished < old.UnixMicro() || o.finished < quiet.UnixMicro() && o.Outcome == hedgerow.RunComplete && o.VersionAfter == 0
			if !over || o.ID == stands["newest"] || o.ID == stands["complete"] || o.ID == stands["evidence"] {
				want = append(want, o.ID)
			}
		}
	}
	all := r.count(t, `runs`)
	gone, err := r.Prune(t.Context(), quiet, old)
	if err != nil {
		t.Fatal(err)
	}
	if int(gone) != all-len(want) {
		t.Errorf("%d of %d are gone, %d should stay", gone, all, len(want))
	}
	var got []int64
	err = each(t.Context(), r.read, func(rows *sql.Rows) error {
		var id int64
		err := rows.Scan(&id)
		got = append(got, id)
		return err
	}, `SELECT id FROM runs ORDER BY id`)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "runs", want, got)
}

// TestPruneMany: more runs than one statement deletes, and facts and history
// that stand as before.
func TestPruneMany(t *testing.T) {
	onBoth(t, func(t *testing.T, r *record) {
		f := r.fabric(t, "lab")
		made := r.pass(t, f, both, firstSeen(widgets, widget("a", "u1", "1", "x")))
		const quiet = 2*pruneChunk + 300
		r.execute(t, `INSERT INTO runs (fabric_id, trigger, actor, started_at, finished_at, outcome, code, message, version_before, version_after, evidence)
			WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2300)
			SELECT 1, 'schedule', '', i, i, 'complete', '', '', 1, 1, '[]' FROM n`)
		last := r.pass(t, f, nil)
		p := r.begin(t, f) // a run under way is nobody's to forget
		defer p.End()
		facts := func() hedgerow.Facts {
			t.Helper()
			facts, err := r.Facts(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			return facts
		}
		before, events := facts(), r.events(t, f, hedgerow.HistoryQuery{})
		n, err := r.Prune(t.Context(), made.FinishedAt, time.UnixMicro(0))
		if err != nil || n != quiet {
			t.Errorf("%d gone, error %v", n, err)
		}
		if n, err = r.Prune(t.Context(), r.tick().Add(time.Hour), r.tick().Add(time.Hour)); err != nil || n != 1 {
			t.Errorf("%d gone, error %v", n, err) // the one that made the object
		}
		same(t, "facts", before, facts())
		same(t, "history", events, r.events(t, f, hedgerow.HistoryQuery{}))
		if _, err := r.Run(t.Context(), last.ID); err != nil {
			t.Error(err)
		}
	})
}
