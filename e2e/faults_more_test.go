package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hedgerow/e2e/lab"
	"hedgerow/e2e/wire"
)

// A right that is taken away is taken away by the API server itself here.
func TestFaultRealRights(t *testing.T) {
	t.Parallel()
	users := filepath.Join(t.TempDir(), "users.yaml")
	write := func(rules string) {
		t.Helper()
		text := "- name: admin\n  token: admin-token-1\n  rules: [{verbs: [\"*\"], groups: [\"*\"], resources: [\"*\"]}]\n- name: reader\n  token: reader-token-1\n  rules:\n" + rules
		if err := os.WriteFile(users, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	read := "  - {verbs: [get, list, watch], groups: [\"*\"], resources: [\"*\"]}\n"
	write(read)
	cluster := lab.Vlab(t, "--fabric", "spine-leaf", "--tokens", users)
	f := join(t, cluster.Kubeconfig)
	f.OK(t, "fabric", "edit", "f", "--kubeconfig", f.Kubeconfig("reader-token-1"))
	f.whole()

	write("  - {verbs: [get, list, watch], groups: [apiextensions.k8s.io, agent.githedgehog.com, vpc.githedgehog.com, gateway.githedgehog.com, gwint.githedgehog.com, dhcp.githedgehog.com], resources: [\"*\"]}\n" +
		"  - {verbs: [get, list, watch], groups: [wiring.githedgehog.com], resources: [connections, servers, switchgroups, vlannamespaces, serverprofiles, switchprofiles]}\n")
	// The server looks at its users file by and by.
	until(t, func() bool {
		return strings.Contains(f.Hedgerow.Run(t, "fabric", "test", "f").Stdout, "We may not")
	})
	w := fault{exit: 3, code: "forbidden", all: complete, kinds: only("switches", forbidden), says: []string{"list switches: forbidden (403)", "switches", "hedgerow fabric test prints the rights"}}
	r, code := f.sync()
	w.check(f, r, code)
	f.intact()
	test := f.Hedgerow.Run(t, "fabric", "test", "f")
	for _, want := range []string{"We may not get, list, watch switches.wiring.githedgehog.com", "verbs: [get, list, watch]", "hedgerow-observer"} {
		if !strings.Contains(test.Stdout, want) {
			t.Errorf("fabric test does not say %q:\n%s", want, test.Stdout)
		}
	}
	write(read)
	until(t, func() bool { return f.Hedgerow.Run(t, "fabric", "test", "f").Code == 0 })
	f.whole()
}

// until asks again until the answer is yes.
func until(t *testing.T, yes func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !yes(); {
		if time.Now().After(end) {
			t.Fatal("it did not happen within a minute")
		}
	}
}

// A definition goes between two passes, with all its objects, and comes back
// empty: only then is it known that the objects are gone.
func TestFaultDefinitionRemoved(t *testing.T) {
	t.Parallel()
	cluster := lab.Vlab(t, "--fabric", "spine-leaf")
	f := join(t, cluster.Kubeconfig)
	const crd = "switchgroups.wiring.githedgehog.com"
	definition := cluster.Kubectl(t, "", "get", "crd", crd, "-o", "json")
	cluster.Kubectl(t, "", "delete", "crd", crd, "--wait=true")
	until(t, func() bool {
		return !strings.Contains(cluster.Kubectl(t, "", "api-resources", "--api-group", "wiring.githedgehog.com", "-o", "name"), "switchgroups")
	})
	w := fault{
		exit: 3, code: "not-served", all: complete, kinds: only("switchgroups", absent),
		says: []string{"the cluster no longer serves switchgroups.wiring.githedgehog.com", "--exclude switchgroups"},
	}
	r, code := f.sync()
	w.check(f, r, code)
	f.intact()
	// It stays so, as often as one looks.
	r, code = f.sync()
	w.check(f, r, code)
	f.intact()

	var made struct {
		Metadata struct{ Name string }
		Spec     json.RawMessage
	}
	if err := json.Unmarshal([]byte(definition), &made); err != nil {
		t.Fatal(err)
	}
	cluster.Kubectl(t, fmt.Sprintf(`{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":%q},"spec":%s}`, made.Metadata.Name, made.Spec), "create", "-f", "-")
	cluster.Kubectl(t, "", "wait", "--for=condition=established", "crd/"+crd, "--timeout=60s")
	until(t, func() bool {
		return strings.Contains(cluster.Kubectl(t, "", "api-resources", "--api-group", "wiring.githedgehog.com", "-o", "name"), "switchgroups")
	})
	r, code = f.sync()
	if code != 0 || r.Counts.Deleted != 3 || r.kind("switchgroups").Deleted != 3 || r.kind("switchgroups").Present != 0 {
		t.Errorf("after it came back empty: exit %d, %s (%s), %+v", code, r.Outcome, r.Message, r.kind("switchgroups"))
	}
}

// 40 of 48 objects are gone from complete lists: a pass records nothing and
// asks, and records it when told so.
func TestFaultMassDeletion(t *testing.T) {
	t.Parallel()
	cluster := lab.Vlab(t, "--fabric", "spine-leaf")
	f := join(t, cluster.Kubeconfig)
	var rules []wire.Rule
	for _, k := range []string{"connections", "servers", "switchgroups", "ipv4namespaces"} {
		rules = append(rules, wire.Rule{Path: list(k), Do: wire.Without(func(int) bool { return true })})
	}
	f.Set(rules...)
	w := fault{
		exit: 1, code: "would-delete", all: failed("would-delete"),
		says: []string{"40 of the 48 objects recorded are gone", "nothing was recorded", "hedgerow sync f --accept-deletions"},
	}
	for range 2 { // asking again is no consent
		r, code := f.sync()
		w.check(f, r, code)
		f.intact()
	}
	if got := f.Hedgerow.Run(t, "sync", "f"); got.Code != 1 || !strings.Contains(got.Stdout, "hedgerow sync f --accept-deletions") {
		t.Errorf("sync: exit %d\n%s%s", got.Code, got.Stdout, got.Stderr)
	}
	r, code := f.sync("--accept-deletions")
	if code != 0 || r.Outcome != "complete" || r.Counts != (countsDoc{Listed: 8, Unchanged: 8, Deleted: 40}) {
		t.Errorf("accepted: exit %d, %s (%s), %+v", code, r.Outcome, r.Message, r.Counts)
	}
	f.deletions(40)
	if st := f.status(); st.Badge != "In sync" || st.Objects != 8 {
		t.Errorf("status: %s, %d objects", st.Badge, st.Objects)
	}
	f.Clear()
	if r, code = f.sync(); code != 0 || r.Counts.Created != 40 || r.Counts.Deleted != 0 {
		t.Errorf("once they are there again: exit %d, %s (%s), %+v", code, r.Outcome, r.Message, r.Counts)
	}
}

func (f fabric) deletions(want int) {
	f.Helper()
	n := 0
	for _, e := range f.events() {
		if e.What == "deleted" {
			n++
		}
	}
	if n != want {
		f.Errorf("history tells of %d deletions, want %d", n, want)
	}
}

// A complete list that is empty is the one thing that does prove deletions.
func TestFaultEmptyList(t *testing.T) {
	t.Parallel()
	cluster := lab.Vlab(t, "--fabric", "spine-leaf")
	f := join(t, cluster.Kubeconfig)
	f.Set(wire.Rule{Path: list("servers"), Do: wire.Without(func(int) bool { return true })})
	r, code := f.sync()
	if code != 0 || r.Outcome != "complete" || r.Counts != (countsDoc{Listed: 38, Unchanged: 38, Deleted: 10}) {
		t.Errorf("exit %d, %s (%s), %+v", code, r.Outcome, r.Message, r.Counts)
	}
	if got := f.names("servers"); len(got) != 0 {
		t.Errorf("get still shows %v", got)
	}
	f.deletions(10)
	f.Clear()
	if r, code = f.sync(); code != 0 || r.Counts.Created != 10 {
		t.Errorf("once they are there again: exit %d, %s (%s), %+v", code, r.Outcome, r.Message, r.Counts)
	}
}

// 30 MB of objects are read like any other list.
func TestFaultLargeList(t *testing.T) {
	t.Parallel()
	cluster := lab.Vlab(t, "--fabric", "spine-leaf")
	f := join(t, cluster.Kubeconfig, "--request-timeout", "15s", "--pass-timeout", "60s")
	const n, size = 5000, 30 << 20
	pad := strings.Repeat("all work and no play ", size/n/21)
	items := make([]string, n)
	for i := range items {
		items[i] = fmt.Sprintf(`{"apiVersion":"wiring.githedgehog.com/v1beta1","kind":"Server","metadata":{"name":"big-%05d","namespace":"default","uid":"big-%d","resourceVersion":"%d","creationTimestamp":"2026-01-01T00:00:00Z"},"spec":{"description":"%d %s"}}`, i, i, i+1, i, pad)
	}
	f.Set(wire.Rule{Path: list("servers"), Do: wire.Inject(items...)})
	got := f.Hedgerow.Run(t, "sync", "f", "-o", "json")
	var r runDoc
	if err := json.Unmarshal([]byte(got.Stdout), &r); err != nil {
		t.Fatalf("%v\n%s", err, got.Stderr)
	}
	if got.Code != 0 || r.Outcome != "complete" || r.Counts != (countsDoc{Listed: 48 + n, Unchanged: 48, Created: n}) {
		t.Errorf("exit %d, %s (%s), %+v", got.Code, r.Outcome, r.Message, r.Counts)
	}
	if names := f.names("servers"); len(names) != n+10 {
		t.Errorf("get shows %d servers, want %d", len(names), n+10)
	}
}

// The API server dies in the middle of a list, and comes back.
func TestFaultKilled(t *testing.T) {
	t.Parallel()
	cluster := lab.Vlab(t, "--fabric", "spine-leaf")
	f := join(t, cluster.Kubeconfig)
	f.Set(wire.Rule{Path: list("switches"), Do: wire.BreakAfter(700, func() {
		f.Set(wire.Rule{Path: list("switches"), Do: wire.Drop}) // it dies once
		cluster.Kill()
	})})
	r, code := f.sync()
	if code != 3 && code != 1 || r.kind("switches").Verdict != "failed" || r.kind("switches").Code != "cut-off" {
		t.Errorf("exit %d, %s (%s), switches %+v", code, r.Outcome, r.Message, r.kind("switches"))
	}
	f.says("the run", r.Message, "HOST", "try again")
	for _, k := range r.Kinds { // the others were read before it died, or not at all
		if k.Verdict != "complete" && (k.Verdict != "failed" || k.Code != "cut-off") || k.Deleted != 0 || k.Present != reference[k.Plural] {
			t.Errorf("%+v", k)
		}
	}
	f.intact()
	r, code = f.sync() // dead, behind a proxy that is not
	if code != 1 || r.Outcome != "failed" || r.Counts.Deleted != 0 {
		t.Errorf("while it is dead: exit %d, %s (%s)", code, r.Outcome, r.Message)
	}
	f.intact()
	cluster.Restart(t)
	f.Clear()
	f.whole()
	f.intact()
}

// Kinds of many objects are read in another way: names first, then what moved.
func TestFaultManyObjects(t *testing.T) {
	t.Parallel()
	cluster := lab.Vlab(t, "--objects", "1000")
	f := join(t, cluster.Kubeconfig)
	total := f.status().Objects
	const kind = "connections"
	proto := "application/vnd.kubernetes.protobuf"
	if n := len(f.names(kind)); n <= 200 {
		t.Fatalf("the fabric has %d %s, too few for this test", n, kind)
	}
	one := strings.SplitN(f.names(kind)[0], "/", 2)[1]
	moved := func() { // one object that must be fetched by itself
		t.Helper()
		cluster.Kubectl(t, "", "label", "--overwrite", kind, one, fmt.Sprintf("moved=at-%d", time.Now().UnixNano()))
	}
	for _, c := range []struct {
		name, code string
		exit       int
		rule       wire.Rule
		says       string
	}{
		{"a metadata list that is no protobuf", "garbage", 3, wire.Rule{Path: list(kind), Do: wire.Answer(200, proto, "k8s\x00\xff\xff\xff")}, "list connections"},
		{"a login page", "garbage", 3, wire.Rule{Path: list(kind), Do: wire.Answer(200, "text/html", loginPage)}, "list connections"},
		{"an empty body", "cut-off", 3, wire.Rule{Path: list(kind), Do: wire.Answer(200, proto, "")}, "list connections"},
		{"a Table", "garbage", 3, wire.Rule{Path: list(kind), Do: wire.Answer(200, "application/json", `{"kind":"Table","metadata":{"resourceVersion":"7"},"rows":[]}`)}, "list connections"},
		{"cut always", "cut-off", 3, wire.Rule{Path: list(kind), Do: wire.Cut(5000)}, "ended its answer early"},
		{"shortened", "garbage", 3, wire.Rule{Path: list(kind), Do: wire.Shorten(5000)}, "list connections"},
		{"cut once", "", 0, wire.Rule{Path: list(kind), Times: 1, Do: wire.Cut(5000)}, ""},
		{"500 for the one that moved", "server-error", 3, wire.Rule{Path: list(kind) + "/*", Do: wire.Status(500, "boom")}, "HTTP 500"},
		{"500 once for the one that moved", "", 0, wire.Rule{Path: list(kind) + "/*", Times: 1, Do: wire.Status(500, "boom")}, ""},
		{"404 by something else for the one that moved", "not-served", 3, wire.Rule{Path: list(kind) + "/*", Do: wire.Answer(404, "text/plain", "404 page not found")}, "not found (404)"},
		{"garbage for the one that moved", "garbage", 3, wire.Rule{Path: list(kind) + "/*", Do: wire.Answer(200, "application/json", loginPage)}, "connections"},
	} {
		moved()
		before := f.Dealt()
		f.Set(c.rule)
		r, code := f.sync()
		k := r.kind(kind)
		if code != c.exit || k.Code != c.code || k.Deleted != 0 || r.Counts.Deleted != 0 {
			t.Errorf("%s: exit %d, %s (%s), %+v", c.name, code, r.Outcome, r.Message, k)
		}
		if f.Dealt() == before {
			t.Errorf("%s: the fault did not strike", c.name)
		}
		f.says(c.name+": the run", r.Message, c.says)
		if got := f.status().Objects; got != total {
			t.Errorf("%s: %d objects, want %d", c.name, got, total)
		}
		f.Clear()
		r, code = f.sync()
		if want := map[bool]int{true: 1, false: 0}[c.exit != 0]; code != 0 || r.Counts.Updated != want || r.Counts.Listed != total {
			t.Errorf("%s: once it is gone: exit %d, %s (%s), %+v", c.name, code, r.Outcome, r.Message, r.Counts)
		}
	}
	f.deletions(0)
}
