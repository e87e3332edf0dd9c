package store

import (
	"context"
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"hedgerow"
	"hedgerow/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// tester is what *testing.T and *rapid.T have in common.
type tester interface {
	Helper()
	Context() context.Context
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// record is one record under test, and where to open it again.
type record struct {
	*DB
	where, key string
	clock      time.Time
}

// onBoth runs a test on every engine.
func onBoth(t *testing.T, test func(t *testing.T, r *record)) {
	t.Helper()
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) { test(t, newRecord(t, engine)) })
	}
}

func newRecord(t testing.TB, engine string) *record {
	t.Helper()
	dir := t.TempDir()
	r := &record{where: filepath.Join(dir, "hedgerow.db"), key: filepath.Join(dir, "key.json"), clock: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	if engine == "postgres" {
		r.where = pgtest.URL(t)
	}
	r.DB = r.open(t)
	return r
}

// open opens the record once more, as another process would.
func (r *record) open(t testing.TB) *DB {
	t.Helper()
	db, err := Open(t.Context(), r.where, Options{KeyFile: r.key})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return db
}

// tick is the next second of the test's own clock.
func (r *record) tick() time.Time {
	r.clock = r.clock.Add(time.Second)
	return r.clock
}

func (r *record) fabric(t tester, name string) hedgerow.Fabric {
	t.Helper()
	f, err := r.AddFabric(t.Context(), hedgerow.Fabric{Name: name, Cluster: &hedgerow.Cluster{Server: "https://" + name}, Policy: hedgerow.DefaultPolicy}, hedgerow.Secret{}, r.tick())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (r *record) begin(t tester, f hedgerow.Fabric) *hedgerow.Pass {
	t.Helper()
	p, err := r.Begin(t.Context(), hedgerow.Opening{Fabric: f, Trigger: "manual", Actor: "tester", Clock: r.tick})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// pass makes one whole run that ends as complete, with these kinds and moves.
func (r *record) pass(t tester, f hedgerow.Fabric, kinds []hedgerow.Kind, moves ...hedgerow.Move) hedgerow.Run {
	t.Helper()
	known, err := r.Kinds(t.Context(), f.ID)
	if err != nil {
		t.Fatal(err)
	}
	p := r.begin(t, f)
	defer p.End()
	run := ended(p.Run, r.tick())
	if run.VersionAfter, err = r.Commit(t.Context(), hedgerow.Commit{Run: run, Kinds: kinds, Known: known, Moves: moves}); err != nil {
		t.Fatal(err)
	}
	return run
}

// ended is a run that ended as complete.
func ended(r hedgerow.Run, at time.Time) hedgerow.Run {
	r.FinishedAt, r.Outcome = at, hedgerow.RunComplete
	return r
}

// everything returns every row of every table, as text.
func (r *record) everything(t tester) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for _, table := range []string{"fabrics", "secrets", "contents", "kinds", "runs", "objects", "history", "vitals", "schedules", "processes", "followers"} {
		all[table] = r.table(t, table)
	}
	return all
}

// table returns every row of a table, as text, in the order of the text.
func (r *record) table(t tester, table string) []string {
	t.Helper()
	rows, err := r.read.QueryContext(t.Context(), `SELECT * FROM `+table)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	cols, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	all := []string{}
	for rows.Next() {
		vals, into := make([]any, len(cols)), make([]any, len(cols))
		for i := range vals {
			into[i] = &vals[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for i, v := range vals {
			if raw, ok := v.([]byte); ok {
				v = fmt.Sprintf("%x", raw)
			}
			fmt.Fprintf(&b, "%s=%v ", cols[i], v)
		}
		all = append(all, b.String())
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

// count counts the rows that a query selects.
func (r *record) count(t tester, query string, args ...any) (n int) {
	t.Helper()
	if err := r.read.QueryRowContext(t.Context(), `SELECT count(*) FROM `+query, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func (r *record) execute(t tester, query string, args ...any) {
	t.Helper()
	if _, err := r.write.ExecContext(t.Context(), query, args...); err != nil {
		t.Fatal(err)
	}
}

// same compares and takes nil and empty lists for equal.
func same(t tester, what string, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.EquateComparable(hedgerow.Digest{})); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// refused wants an error with a code, and a message that holds text.
func refused(t tester, err error, code hedgerow.Code, text string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error; want code %s", code)
	}
	if got := hedgerow.CodeOf(err); got != code || !strings.Contains(err.Error(), text) {
		t.Errorf("error %q has code %q; want %q and %q in it", err, got, code, text)
	}
}

// Two kinds, of which the second has vitals.
var (
	widgets = hedgerow.Kind{
		Group: "wiring.githedgehog.com", Version: "v1beta1", Kind: "Widget", Plural: "widgets", Singular: "widget", ShortNames: []string{"wd"},
		Categories: []string{"hedgehog"}, Namespaced: true, Columns: []hedgerow.Column{{Name: "Size", Type: "integer", Path: ".spec.size", Priority: 1}},
		Schema: []byte(`{"type":"object"}`), Fingerprint: "f1", ColumnsFrom: "cluster",
	}
	probes = hedgerow.Kind{Group: "agent.githedgehog.com", Version: "v1beta1", Kind: "Probe", Plural: "probes", Singular: "probe", Namespaced: true, Fingerprint: "f2"}
	both   = []hedgerow.Kind{probes, widgets}
)

// object makes an object of a kind; text is its content.
func object(k hedgerow.Kind, name, uid, version, text string) hedgerow.Object {
	content := fmt.Appendf(nil, `{"kind":%q,"metadata":{"name":%q},"text":%q}`, k.Kind, name, text)
	return hedgerow.Object{
		Ref: hedgerow.Ref{Group: k.Group, Kind: k.Kind, Namespace: "default", Name: name}, UID: uid, ResourceVersion: version, Generation: 3,
		CreatedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Digest: sha256.Sum256(content), Content: content,
	}
}

// widget is an object of the first kind.
func widget(name, uid, version, text string) hedgerow.Object {
	return object(widgets, name, uid, version, text)
}

// probe is an object of the second, with vitals.
func probe(name, uid, version, text, vitals string) hedgerow.Object {
	o := object(probes, name, uid, version, text)
	o.Vitals = []byte(vitals)
	return o
}

func mark(o hedgerow.Object) hedgerow.Mark {
	return hedgerow.Mark{Ref: o.Ref, UID: o.UID, ResourceVersion: o.ResourceVersion, Digest: o.Digest}
}

func created(k hedgerow.Kind, os ...hedgerow.Object) hedgerow.Move {
	return hedgerow.Move{Kind: k.ID(), Began: hedgerow.Created, Created: os}
}

func firstSeen(k hedgerow.Kind, os ...hedgerow.Object) hedgerow.Move {
	return hedgerow.Move{Kind: k.ID(), Began: hedgerow.FirstSeen, Created: os}
}

func updated(k hedgerow.Kind, os ...hedgerow.Object) hedgerow.Move {
	return hedgerow.Move{Kind: k.ID(), Updated: os}
}

func renewed(k hedgerow.Kind, os ...hedgerow.Object) hedgerow.Move {
	return hedgerow.Move{Kind: k.ID(), Renewed: os}
}

func touched(k hedgerow.Kind, os ...hedgerow.Object) hedgerow.Move {
	return hedgerow.Move{Kind: k.ID(), Touched: os}
}

func deleted(k hedgerow.Kind, os ...hedgerow.Object) hedgerow.Move {
	m := hedgerow.Move{Kind: k.ID()}
	for _, o := range os {
		m.Deleted = append(m.Deleted, mark(o))
	}
	return m
}

// marks returns the marks of one kind, by name.
func (r *record) marks(t tester, f hedgerow.Fabric, k hedgerow.Kind) []hedgerow.Mark {
	t.Helper()
	all, err := r.Marks(t.Context(), f.ID)
	if err != nil {
		t.Fatal(err)
	}
	ms := all[k.ID()]
	slices.SortFunc(ms, func(a, b hedgerow.Mark) int { return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name) })
	return ms
}

// objects returns the present objects of a kind.
func (r *record) objects(t tester, f hedgerow.Fabric, k hedgerow.Kind) (all []hedgerow.Recorded) {
	t.Helper()
	err := r.EachObject(t.Context(), f.ID, k.ID(), func(o hedgerow.Recorded) error {
		all = append(all, o)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func (r *record) events(t tester, f hedgerow.Fabric, q hedgerow.HistoryQuery) []hedgerow.Event {
	t.Helper()
	es, err := r.History(t.Context(), f.ID, q)
	if err != nil {
		t.Fatal(err)
	}
	return es
}

func (r *record) version(t tester, name string) int64 {
	t.Helper()
	f, err := r.Fabric(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return f.Version
}

func (r *record) evidence(t tester, f hedgerow.Fabric) []hedgerow.KindEvidence {
	t.Helper()
	es, err := r.Evidence(t.Context(), f.ID)
	if err != nil {
		t.Fatal(err)
	}
	return es
}
