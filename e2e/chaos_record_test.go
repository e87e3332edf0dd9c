package e2e

import (
	"cmp"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// chronicle is what a record tells of its runs and objects at one moment,
// read past Hedgerow.
type chronicle struct {
	fabrics map[int64]chronicledFabric
	runs    []chronicledRun // by id
	periods []period        // by object, then by beginning
	kinds   map[int64]chronicledKind
}

type chronicledFabric struct {
	name    string
	version int64
}

type chronicledKind struct {
	name    string // kind.group
	present int
}

type chronicledRun struct {
	id, fabric        int64
	trigger           string
	started, finished int64 // microseconds; finished 0: it has not
	outcome, message  string
	before, after     int64 // versions
	counts            countsDoc
}

// period is a span of an object's life, from both of the tables.
type period struct {
	fabric, kind    int64
	namespace, name string
	uid, began      string
	since, sinceRun int64
	until, untilRun int64 // 0: it lasts
	ended           string
	description     string // spec.description of its content
	content         bool   // it is there
}

func (r chronicledRun) pass() bool { return r.trigger != "follow" }

// proved reports whether the run read anything of the cluster into the record.
func (r chronicledRun) proved() bool { return r.outcome == "complete" || r.outcome == "partial" }

func (r chronicledRun) String() string {
	return fmt.Sprintf("run %d (fabric %d, %s, %s, %s to %s, version %d to %d) %s", r.id, r.fabric, r.trigger, r.outcome, clock(r.started), clock(r.finished), r.before, r.after, r.message)
}

func (p period) String() string {
	return fmt.Sprintf("%d/%s %s (%s in run %d at %s, %q in run %d at %s)", p.fabric, p.name, p.description, p.began, p.sinceRun, clock(p.since), p.ended, p.untilRun, clock(p.until))
}

func clock(us int64) string {
	if us == 0 {
		return "-"
	}
	return time.UnixMicro(us).Format("15:04:05.000000")
}

// chronicle reads everything in one transaction, that is at one moment.
func (r record) chronicle(t *testing.T) *chronicle {
	t.Helper()
	opt := &sql.TxOptions{}
	if r.engine == "postgres" {
		opt.Isolation, opt.ReadOnly = sql.LevelRepeatableRead, true
	}
	tx, err := r.BeginTx(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }() // nothing was written
	c := &chronicle{fabrics: map[int64]chronicledFabric{}, kinds: map[int64]chronicledKind{}}
	each := func(query string, row func(scan func(...any) error) error) {
		t.Helper()
		rows, err := tx.QueryContext(t.Context(), query)
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		defer rows.Close()
		for rows.Next() {
			if err := row(rows.Scan); err != nil {
				t.Fatalf("%s: %v", query, err)
			}
		}
		if err := rows.Err(); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
	}
	each(`SELECT id, name, version FROM fabrics`, func(scan func(...any) error) error {
		var id int64
		var f chronicledFabric
		err := scan(&id, &f.name, &f.version)
		c.fabrics[id] = f
		return err
	})
	each(`SELECT id, kind || '.' || grp, present FROM kinds`, func(scan func(...any) error) error {
		var id int64
		var k chronicledKind
		err := scan(&id, &k.name, &k.present)
		c.kinds[id] = k
		return err
	})
	each(`SELECT id, fabric_id, trigger, started_at, coalesce(finished_at, 0), outcome, message, version_before, version_after, coalesce(evidence, '[]') FROM runs ORDER BY id`, func(scan func(...any) error) error {
		var x chronicledRun
		var evidence []byte
		if err := scan(&x.id, &x.fabric, &x.trigger, &x.started, &x.finished, &x.outcome, &x.message, &x.before, &x.after, &evidence); err != nil {
			return err
		}
		var kinds []countsDoc
		err := json.Unmarshal(evidence, &kinds)
		for _, k := range kinds {
			x.counts.Created += k.Created
			x.counts.Updated += k.Updated
			x.counts.Deleted += k.Deleted
		}
		c.runs = append(c.runs, x)
		return err
	})
	each(`SELECT p.fabric_id, p.kind_id, p.namespace, p.name, p.uid, p.began, p.since, p.since_run, p.until, p.until_run, p.ended, c.body FROM (
			SELECT fabric_id, kind_id, namespace, name, uid, began, since, since_run, until, until_run, ended, digest FROM history
			UNION ALL SELECT fabric_id, kind_id, namespace, name, uid, began, since, since_run, coalesce(until, 0), coalesce(until_run, 0),
				CASE WHEN until IS NULL THEN '' ELSE 'deleted' END, digest FROM objects) p
		LEFT JOIN contents c ON c.digest = p.digest`, func(scan func(...any) error) error {
		var p period
		var body sql.NullString
		if err := scan(&p.fabric, &p.kind, &p.namespace, &p.name, &p.uid, &p.began, &p.since, &p.sinceRun, &p.until, &p.untilRun, &p.ended, &body); err != nil {
			return err
		}
		if p.content = body.Valid; p.content {
			var o struct{ Spec struct{ Description string } }
			_ = json.Unmarshal([]byte(body.String), &o) // not every kind has one, or a text for it
			p.description = o.Spec.Description
		}
		c.periods = append(c.periods, p)
		return nil
	})
	slices.SortFunc(c.periods, func(a, b period) int {
		return cmp.Or(a.object(b), cmp.Compare(a.sinceRun, b.sinceRun))
	})
	return c
}

// object orders periods by their object; those of one are equal.
func (p period) object(q period) int {
	return cmp.Or(cmp.Compare(p.fabric, q.fabric), cmp.Compare(p.kind, q.kind), strings.Compare(p.namespace, q.namespace), strings.Compare(p.name, q.name))
}

// violations collects what must not be, a few of each sort.
type violations map[string][]string

func (v violations) add(sort, format string, args ...any) {
	v[sort] = append(v[sort], fmt.Sprintf(format, args...))
}

func (v violations) String() string {
	var b strings.Builder
	for sort, all := range v {
		fmt.Fprintf(&b, "%s: %d\n", sort, len(all))
		for _, s := range all[:min(len(all), 4)] {
			fmt.Fprintf(&b, "    %s\n", s)
		}
	}
	return b.String()
}

// invariants are what holds of every record at every moment; of a settled one
// also that no run is under way.
func (c *chronicle) invariants(settled bool) violations {
	v := violations{}
	byFabric := map[int64][]chronicledRun{}
	known := map[int64]chronicledRun{}
	for _, r := range c.runs {
		byFabric[r.fabric] = append(byFabric[r.fabric], r)
		known[r.id] = r
	}
	for id, runs := range byFabric {
		c.runsOf(v, id, runs, settled)
	}
	c.life(v, known)
	c.numbers(v)
	return v
}

// runsOf wants the runs of a fabric, by id, to have happened one after the
// other, each on what the one before it left.
func (c *chronicle) runsOf(v violations, fabric int64, runs []chronicledRun, settled bool) {
	var last, pass chronicledRun
	var version int64
	for i, r := range runs {
		switch {
		case r.outcome == "running" && settled:
			v.add("never ended", "%s", r)
		case r.outcome == "running" && slices.ContainsFunc(runs[i+1:], chronicledRun.pass):
			v.add("never ended, and another pass begun", "%s", r)
		case r.outcome != "running" && r.finished < r.started:
			v.add("ended before it began", "%s", r)
		}
		if i > 0 && r.before != version {
			v.add("version chain broken", "%s after %s", r, last)
		}
		if n := r.after - r.before; n != 0 && n != 1 || n == 1 && !r.proved() || n == 0 && !r.pass() {
			v.add("version not raised by one for a change", "%s", r)
		}
		switch {
		case r.pass() && pass.id != 0 && r.started < pass.finished:
			v.add("overlapping passes", "by %s: %s and %s", time.Duration(pass.finished-r.started)*time.Microsecond, pass, r)
		case !r.pass() && pass.id != 0 && pass.finished == 0:
			v.add("followed during a pass", "%s in %s", r, pass)
		case !r.pass() && r.finished < pass.finished:
			v.add("followed during a pass", "by %s: %s in %s", time.Duration(pass.finished-r.finished)*time.Microsecond, r, pass)
		case r.pass() && !last.pass() && last.id != 0 && r.started < last.finished:
			v.add("pass begun before a follower's commit ended", "by %s: %s and %s", time.Duration(last.finished-r.started)*time.Microsecond, last, r)
		}
		if r.pass() {
			pass = r
		}
		last, version = r, r.after
	}
	if f := c.fabrics[fabric]; f.version != version && last.outcome != "running" {
		v.add("version chain broken", "fabric %s is at version %d after %s", f.name, f.version, last)
	}
}

// life wants the periods of every object to follow each other.
func (c *chronicle) life(v violations, known map[int64]chronicledRun) {
	for i, p := range c.periods {
		for _, id := range []int64{p.sinceRun, p.untilRun} {
			if r, ok := known[id]; id != 0 && (!ok || r.fabric != p.fabric || !r.proved() || r.after != r.before+1) {
				v.add("a period of a run that changed nothing", "%s: %s", p, r)
			}
		}
		if at := known[p.sinceRun].finished; at != p.since {
			v.add("a period that begins at another time than its run", "%s: run %d at %s", p, p.sinceRun, clock(at))
		}
		switch {
		case !p.content:
			v.add("content lost", "%s", p)
		case p.until == 0 != (p.untilRun == 0) || p.until == 0 != (p.ended == ""):
			v.add("half ended", "%s", p)
		case p.until != 0 && (p.until < p.since || p.untilRun <= p.sinceRun):
			v.add("ended before it began", "%s", p)
		}
		if i == 0 || c.periods[i-1].object(p) != 0 {
			if p.began == "updated" {
				v.add("updated out of nothing", "%s", p)
			}
			continue
		}
		switch q := c.periods[i-1]; {
		case q.until == 0 || q.until > p.since || q.untilRun > p.sinceRun:
			v.add("overlapping periods", "%s and %s", q, p)
		case (q.ended == "replaced") != (p.began == "updated"), q.ended == "replaced" && (q.untilRun != p.sinceRun || q.until != p.since || q.uid != p.uid):
			v.add("torn periods", "%s and %s", q, p)
		case q.ended == "replaced" && q.description == p.description && q.description != "":
			v.add("a change that is none", "%s and %s", q, p)
		}
	}
}

// numbers wants what is counted to be what there is: in each run's evidence,
// and of each kind.
func (c *chronicle) numbers(v violations) {
	present, did := map[int64]int{}, map[int64]*countsDoc{}
	of := func(run int64) *countsDoc {
		if did[run] == nil {
			did[run] = &countsDoc{}
		}
		return did[run]
	}
	for _, p := range c.periods {
		if p.until == 0 {
			present[p.kind]++
		}
		if p.began == "updated" {
			of(p.sinceRun).Updated++
		} else {
			of(p.sinceRun).Created++
		}
		if p.ended == "deleted" {
			of(p.untilRun).Deleted++
		}
	}
	for id, k := range c.kinds {
		if k.present != present[id] {
			v.add("kinds.present", "%s: %d, and there are %d", k.name, k.present, present[id])
		}
	}
	for _, r := range c.runs {
		if got, want := *of(r.id), r.counts; (r.proved() || got.Changed()) && got != want {
			v.add("a run's numbers", "%s: it says %+v, and did %+v", r, want, got)
		}
	}
}

// whole fails the test when the record violates an invariant.
func (r record) whole(t *testing.T, when string, settled bool) *chronicle {
	t.Helper()
	c := r.chronicle(t)
	if v := c.invariants(settled); len(v) > 0 {
		t.Errorf("%s, the record violates what always holds:\n%s", when, v)
	}
	if r.engine != "sqlite" {
		return c
	}
	if got := r.rows(t, `PRAGMA integrity_check`); !slices.Equal(got, []string{"integrity_check=ok "}) {
		t.Errorf("%s, integrity check: %v", when, got)
	}
	if got := r.rows(t, `PRAGMA foreign_key_check`); len(got) > 0 {
		t.Errorf("%s, foreign key check: %v", when, got)
	}
	return c
}
