package view_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"hedgerow"
	"hedgerow/internal/kinds"
	"hedgerow/internal/manifest"
	"hedgerow/internal/view"
)

var update = flag.Bool("update", false, "write the golden files anew")

var now = time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC)

// kind is one of our own, with the columns that a cluster would print.
func kind(t testing.TB, group, name string) hedgerow.Kind {
	t.Helper()
	id := hedgerow.KindID{Group: group + hedgerow.GroupSuffix, Kind: name}
	cols, ok := kinds.BuiltinColumns(id)
	if !ok {
		t.Fatalf("no kind %s", id)
	}
	return kinds.Merge(hedgerow.Kind{Group: id.Group, Version: "v1beta1", Kind: name, Plural: strings.ToLower(name) + "s", Columns: cols})
}

// row is an object as it comes back from the record.
func row(t testing.TB, k hedgerow.Kind, item string) view.Row {
	t.Helper()
	o, err := manifest.NewReader(k, manifest.NewMask([]byte("k"))).Read([]byte(item))
	if err != nil {
		t.Fatal(err)
	}
	return view.Row{Fabric: "lab", Object: o}
}

func TestObjectsGolden(t *testing.T) {
	custom := func(cols ...hedgerow.Column) hedgerow.Kind {
		return hedgerow.Kind{Group: "new.githedgehog.com", Version: "v1", Kind: "Thing", Plural: "things", Columns: cols}
	}
	for _, tc := range []struct {
		name  string
		kind  hedgerow.Kind
		opt   view.TableOptions
		items []string
	}{
		{"switches", kind(t, "wiring", "Switch"), view.TableOptions{}, switches},
		{"switches-wide", kind(t, "wiring", "Switch"), view.TableOptions{Wide: true, Fabric: true, Namespace: true, Labels: true}, switches},
		{"connections", kind(t, "wiring", "Connection"), view.TableOptions{Labels: true}, []string{
			`{"metadata":{"name":"server-01--unbundled--leaf-01","uid":"u","creationTimestamp":"2026-03-14T15:09:00Z","labels":{"fabric.githedgehog.com/connection-type":"unbundled","server.fabric.githedgehog.com/server-01":"true"}}}`,
			`{"metadata":{"name":"without-labels","uid":"u","creationTimestamp":"2026-03-14T15:10:00Z"}}`,
		}},
		{"agents", kind(t, "agent", "Agent"), view.TableOptions{}, agents},
		{"agents-wide", kind(t, "agent", "Agent"), view.TableOptions{Wide: true}, agents},
		{"vpcs-wide", kind(t, "vpc", "VPC"), view.TableOptions{Wide: true}, []string{
			`{"metadata":{"name":"vpc-1","uid":"u","creationTimestamp":"2026-03-01T00:00:00Z"},"spec":{"ipv4Namespace":"default","vlanNamespace":"default","subnets":{"default":{"subnet":"10.0.1.0/24","vlan":1001},"<b>":{"vlan":2}}}}`,
			`{"metadata":{"name":"vpc-2"},"spec":{}}`,
		}},
		{"without-columns", custom(), view.TableOptions{Namespace: true}, []string{`{"metadata":{"name":"a","namespace":"default"}}`, `{"metadata":{"name":"b"}}`}},
		{"odd-columns", custom(
			hedgerow.Column{Name: "Name", Type: "string", Path: ".metadata.name"},
			hedgerow.Column{Name: "Filtered", Type: "string", Path: `.status.conditions[?(@.type=="Ready")].status`},
			hedgerow.Column{Name: "Every", Type: "string", Path: `.spec.links[*].port`},
			hedgerow.Column{Name: "First", Type: "string", Path: `.spec.links[0].port`},
			hedgerow.Column{Name: "Beyond", Type: "string", Path: `.spec.links[7].port`},
			hedgerow.Column{Name: "Escaped", Type: "string", Path: `.metadata.labels.a\.b/c`},
			hedgerow.Column{Name: "List", Type: "string", Path: `.spec.list`},
			hedgerow.Column{Name: "When", Type: "date", Path: `.spec.when`},
			hedgerow.Column{Name: "Number", Type: "integer", Path: `.spec.number`},
			hedgerow.Column{Name: "Deep", Type: "string", Path: `..port`},
		), view.TableOptions{}, []string{
			`{"metadata":{"name":"full","labels":{"a.b/c":"yes"}},"spec":{"links":[{"port":"E1/1"},{"port":"E1/2"}],"list":["a",1,null],"when":"2026-03-14T15:09:25Z","number":9223372036854775807},"status":{"conditions":[{"type":"Ready","status":"True"},{"type":"Other","status":"False"}]}}`,
			`{"metadata":{"name":"empty"}}`,
			`{"metadata":{"name":"nulls"},"spec":{"links":null,"list":null,"when":null,"number":null},"status":{"conditions":[]}}`,
			`{"metadata":{"name":"other-types"},"spec":{"links":"x","list":{},"when":7,"number":"many"},"status":[]}`,
			`{"metadata":{"name":"future"},"spec":{"when":"2027-03-14T15:09:25Z","list":[],"number":1.50}}`,
			`{"metadata":{"name":"no-date"},"spec":{"when":"soon","list":true,"number":-0}}`,
		}},
		{"hostile", custom(
			hedgerow.Column{Name: "Descr\x1b[2J\n", Type: "string", Path: ".spec.d"},
			hedgerow.Column{Name: "When", Type: "date", Path: ".spec.when"},
			hedgerow.Column{Name: "All", Type: "string", Path: ".spec"},
		), view.TableOptions{Namespace: true, Labels: true}, []string{
			`{"metadata":{"name":"a","labels":{"x\r":"\u202ey"}},"spec":{"d":"line\r\nnext\tcell\u001b[31m","when":"\u001b[2J"}}`,
			`{"metadata":{"name":"wide"},"spec":{"d":"漢字 é😀\u200b\u2028"}}`,
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var rows []view.Row
			for _, item := range tc.items {
				rows = append(rows, row(t, tc.kind, item))
			}
			if tc.name == "hostile" { // not even readable, but view must not rely on that
				o := &rows[0].Object
				o.Name, o.Namespace = "a\nb\tc", "\x1b]0;title\a"
			}
			table, err := view.Objects(tc.kind, rows, tc.opt, now)
			if err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			fmt.Fprintln(&b, strings.Join(table.Header, " | "))
			for _, r := range table.Rows {
				fmt.Fprintln(&b, strings.Join(r, " | "))
			}
			golden := filepath.Join("testdata", tc.name+".golden")
			if *update {
				if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), b.String()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			unbroken(t, table)
		})
	}
}

var switches = []string{
	`{"metadata":{"name":"leaf-01","namespace":"default","uid":"u1","creationTimestamp":"2026-03-12T15:09:26Z","labels":{"b":"2","a":"1"}},
	  "spec":{"role":"server-leaf","profile":"vs","description":"VS-01 <eslag>","groups":["eslag-1","all"],"redundancy":{"group":"eslag-1","type":"eslag"},"boot":{"mac":"0c:20:12:ff:00:00"}}}`,
	`{"metadata":{"name":"spine-01","namespace":"default","uid":"u2","creationTimestamp":"2026-03-14T15:09:24Z"},"spec":{"role":"spine"}}`,
	`{"metadata":{"name":"bare"}}`,
}

var agents = []string{
	`{"metadata":{"name":"leaf-01","generation":12,"uid":"u","creationTimestamp":"2026-03-13T15:09:26Z"},"spec":{"role":"server-leaf","description":"secret"},
	  "status":{"version":"v0.126.0","lastHeartbeat":"2026-03-14T15:09:20Z","lastAppliedTime":"2026-03-14T14:09:26Z","lastAppliedGen":12,"lastAttemptGen":12,"rebootRequired":"",
	  "state":{"nos":{"hwskuVersion":"DellEMC-S5248f","softwareVersion":"4.5"},"roce":true}}}`,
	`{"metadata":{"name":"leaf-02","generation":3,"uid":"u","creationTimestamp":"2026-03-13T15:09:26Z"},"status":{"conditions":[]}}`,
}

// unbroken reports what could break a table: cells without a column, and
// characters that move anything.
func unbroken(t interface {
	Helper()
	Errorf(string, ...any)
}, table view.Table,
) {
	t.Helper()
	for i, r := range append([][]string{table.Header}, table.Rows...) {
		if len(r) != len(table.Header) {
			t.Errorf("row %d has %d cells under %d headers", i, len(r), len(table.Header))
		}
		for _, c := range r {
			if hedgerow.OneLine(c) != c || utf8.RuneCountInString(c) > 1000 {
				t.Errorf("row %d has the cell %.100q", i, c)
			}
		}
	}
}

func TestNoCellBreaksTheTable(t *testing.T) {
	text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"\x1b[2J", "a\nb", "a\tb", "\u202e", "\xff", strings.Repeat("x", 100000), strings.Repeat("é", 1000), strings.Repeat("\n", 400)}))
	path := rapid.SampledFrom([]string{".spec", ".spec.a", ".spec.a.b", ".spec.*", ".spec[*]", "..a", ".spec.a[0]", ".spec.a[-1]", ".spec.a[1:2]", ".spec['a','b']", ".metadata", ".status.x[?(@.a==1)].b", ".metadata.labels"})
	value := rapid.OneOf(
		rapid.Map(text, func(s string) any { return s }),
		rapid.SampledFrom([]any{nil, true, 1, 1.5, []any{}, []any{nil}, []any{"a\n", map[string]any{"a": nil}}, map[string]any{"b": nil}, map[string]any{"a": []any{map[string]any{"a": "\x1b"}}}}),
	)
	rapid.Check(t, func(t *rapid.T) {
		item, err := json.Marshal(map[string]any{
			"metadata": map[string]any{"name": text.Draw(t, "name"), "labels": rapid.MapOfN(text, text, 0, 2).Draw(t, "labels")},
			"spec":     map[string]any{"a": value.Draw(t, "a"), "b": value.Draw(t, "b")},
		})
		if err != nil {
			t.Fatal(err)
		}
		k := hedgerow.Kind{Kind: "Thing", Plural: "things"}
		for range 3 {
			k.Columns = append(k.Columns, hedgerow.Column{Name: text.Draw(t, "column"), Type: rapid.SampledFrom([]string{"string", "date", "integer"}).Draw(t, "type"), Path: path.Draw(t, "path")})
		}
		table, err := view.Objects(k, []view.Row{{Fabric: text.Draw(t, "fabric"), Object: hedgerow.Object{
			Ref: hedgerow.Ref{Name: text.Draw(t, "name"), Namespace: text.Draw(t, "namespace")}, Content: item,
		}}}, view.TableOptions{Wide: true, Fabric: true, Namespace: true, Labels: true}, now)
		if err != nil {
			t.Fatal(err)
		}
		unbroken(t, table)
	})
}

func TestObjectsRefuses(t *testing.T) {
	k := hedgerow.Kind{Kind: "Thing", Plural: "things", Columns: []hedgerow.Column{{Name: "Bad", Path: ".spec[?"}}}
	if _, err := view.Objects(k, nil, view.TableOptions{}, now); err == nil || err.Error() != `column Bad of things: its path ".spec[?" is not a JSONPath` {
		t.Errorf("got %v", err)
	}
	for _, o := range []hedgerow.Object{
		{Content: []byte("{")},
		{Content: []byte("[]")},
		{Content: []byte("null")},
		{Content: []byte(`{"spec":{}}`)},
		{Content: []byte(`{"metadata":[]}`)},
		{Content: []byte(`{"metadata":{}}`), Vitals: []byte("{")},
	} {
		if tree, err := view.Tree(o); err == nil {
			t.Errorf("%s, %s: %v", o.Content, o.Vitals, tree)
		}
	}
}

func TestTree(t *testing.T) {
	o := hedgerow.Object{
		UID: "u", ResourceVersion: "9", Generation: 3, CreatedAt: time.Date(2026, 3, 14, 16, 0, 0, 0, time.FixedZone("", 3600)),
		Content: []byte(`{"metadata":{"name":"a"},"status":{"version":"v1","state":{"list":[1]}}}`),
		Vitals:  []byte(`{"status":{"lastHeartbeat":"x","version":"not this","state":{"list":[2],"temp":31.50}}}`),
	}
	got, err := view.Tree(o)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"metadata": map[string]any{"name": "a", "uid": "u", "resourceVersion": "9", "generation": json.Number("3"), "creationTimestamp": "2026-03-14T15:00:00Z"},
		"status": map[string]any{
			"version": "v1", "lastHeartbeat": "x",
			"state": map[string]any{"list": []any{json.Number("1")}, "temp": json.Number("31.50")},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestText(t *testing.T) {
	for want, v := range map[string]any{
		"":                   nil,
		"plain":              "plain",
		`a\u000ab`:           "a\nb",
		"true":               true,
		"9007199254740993.0": json.Number("9007199254740993.0"),
		`["a","<b>"]`:        []any{"a", "<b>"},
		`{"a":null}`:         map[string]any{"a": nil},
		"?":                  func() {},
	} {
		if diff := cmp.Diff(want, view.Text(v)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}
