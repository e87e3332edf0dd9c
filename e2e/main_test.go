package e2e

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // driver "pgx"
	_ "modernc.org/sqlite"             // driver "sqlite"

	"hedgerow/e2e/lab"
	"hedgerow/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// record is the database of an installation, read past Hedgerow.
type record struct {
	*sql.DB
	engine string
}

// install returns an installation on an engine, and its database, which is
// empty until the first command.
func install(t *testing.T, engine string) (*lab.Hedgerow, record) {
	t.Helper()
	driver, where, env := "pgx", "", []string{"HTTPS_PROXY=", "https_proxy="}
	if engine == "postgres" {
		where = pgtest.URL(t)
		env = append(env, "HEDGEROW_DB="+where)
	}
	h := lab.New(t, env...)
	if engine == "sqlite" {
		driver, where = "sqlite", "file:"+filepath.Join(h.Dir, "hedgerow.db")+"?_pragma=busy_timeout(15000)"
	}
	db, err := sql.Open(driver, where)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1) // the test's only session
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return h, record{db, engine}
}

// rows returns what a query selects, a line a row.
func (r record) rows(t *testing.T, query string, args ...any) (lines []string) {
	t.Helper()
	rows, err := r.QueryContext(t.Context(), query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	cols, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
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
		lines = append(lines, b.String())
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return lines
}

// dataTables are those that a pass over an unchanged fabric leaves alone.
var dataTables = []string{"fabrics", "secrets", "contents", "kinds", "objects", "history", "vitals"}

// dump returns every row of the data tables.
func (r record) dump(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for _, table := range dataTables {
		all[table] = r.rows(t, `SELECT * FROM `+table)
		slices.Sort(all[table])
	}
	return all
}

// differs says which tables differ, and by how many rows.
func differs(before, after map[string][]string) (tables []string) {
	for _, table := range dataTables {
		if !slices.Equal(before[table], after[table]) {
			tables = append(tables, fmt.Sprintf("%s (%d rows, %d before)", table, len(after[table]), len(before[table])))
		}
	}
	return tables
}

// state is what a fabric holds: the digest of each object, by
// "kind.group namespace/name uid".
type state map[string]string

// differs says where two states differ, a few lines.
func (s state) differs(o state) string {
	var lines []string
	for k, d := range s {
		if o[k] != d {
			lines = append(lines, fmt.Sprintf("%s: %.12s and %.12s", k, d, o[k]))
		}
	}
	for k := range o {
		if _, ok := s[k]; !ok {
			lines = append(lines, k+" is in the second only")
		}
	}
	slices.Sort(lines)
	if len(lines) > 10 {
		lines = append(lines[:10], fmt.Sprintf("and %d more", len(lines)-10))
	}
	return strings.Join(lines, "\n")
}

// state is what the record holds of a fabric. Every content is checked against
// its digest on the way.
func (r record) state(t *testing.T, fabric string) state {
	t.Helper()
	rows, err := r.QueryContext(t.Context(), `SELECT k.kind, k.grp, o.namespace, o.name, o.uid, o.digest, coalesce(c.body, '')
		FROM fabrics f JOIN objects o ON o.fabric_id = f.id JOIN kinds k ON k.id = o.kind_id LEFT JOIN contents c ON c.digest = o.digest
		WHERE f.name = $1 AND o.until IS NULL`, fabric)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	s := state{}
	for rows.Next() {
		var kind, group, namespace, name, uid, body string
		var digest []byte
		if err := rows.Scan(&kind, &group, &namespace, &name, &uid, &digest, &body); err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256([]byte(body)); !bytes.Equal(sum[:], digest) {
			t.Errorf("%s %s/%s: the content has not the digest of the object", kind, namespace, name)
		}
		s[fmt.Sprintf("%s.%s %s/%s %s", kind, group, namespace, name, uid)] = fmt.Sprintf("%x", digest)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return s
}

// api is a plain client of a cluster's API, for one test.
type api struct{ *lab.API }

func connect(t *testing.T, kubeconfig string) *api {
	t.Helper()
	return &api{lab.Connect(t, kubeconfig)}
}

func (a *api) get(t *testing.T, path string) map[string]any {
	t.Helper()
	v, err := a.Do(t.Context(), http.MethodGet, path, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (a *api) items(t *testing.T, path string) (items []map[string]any) {
	t.Helper()
	list, _ := a.get(t, path)["items"].([]any)
	for _, i := range list {
		items = append(items, i.(map[string]any))
	}
	return items
}

// kinds returns "/apis/group/version" and plural of everything that the
// Hedgehog groups serve.
func (a *api) kinds(t *testing.T) (all [][2]string) {
	t.Helper()
	resources, err := a.Resources(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range resources {
		all = append(all, [2]string{r.Group, r.Plural})
	}
	return all
}

// objects returns every Hedgehog object, by list.
func (a *api) objects(t *testing.T) (all []map[string]any) {
	t.Helper()
	for _, k := range a.kinds(t) {
		all = append(all, a.items(t, k[0]+"/"+k[1])...)
	}
	return all
}

// state is what the cluster holds, told without any code of Hedgerow.
func (a *api) state(t *testing.T) state {
	t.Helper()
	s := state{}
	for _, o := range a.objects(t) {
		s.put(t, o)
	}
	return s
}

func (s state) put(t *testing.T, o map[string]any) {
	t.Helper()
	meta := o["metadata"].(map[string]any)
	group, _, _ := strings.Cut(o["apiVersion"].(string), "/")
	namespace, _ := meta["namespace"].(string)
	key := fmt.Sprintf("%s.%s %s/%s %s", o["kind"], group, namespace, meta["name"], meta["uid"])
	s[key] = independentDigest(t, o)
}

// independentDigest is the digest of an object by its definition, in the few
// lines that it takes: without what the server sets, keys sorted, SHA-256.
func independentDigest(t *testing.T, o map[string]any) string {
	t.Helper()
	meta := o["metadata"].(map[string]any)
	for _, k := range []string{"managedFields", "uid", "resourceVersion", "generation", "creationTimestamp", "selfLink"} {
		delete(meta, k)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b) // which sorts the keys
	e.SetEscapeHTML(false)
	if err := e.Encode(o); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(bytes.TrimSuffix(b.Bytes(), []byte("\n"))))
}
