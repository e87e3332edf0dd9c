package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"hedgerow/e2e/lab"
)

// contents say what a cluster shall hold.
type contents struct {
	fabric string   // a fabric that vlab has built in; elsewhere like is loaded
	like   string   // the fixture with the same objects
	crds   string   // folder of definitions; "": ours
	load   []string // files
}

// cluster starts an API server that holds what it is told to: a vlab, or, when
// HEDGEROW_TEST_KUBE says so, a full kube-apiserver. That is either the folder
// of the binaries (see tools/kube), or any word and HEDGEROW_TEST_KUBECONFIG
// points at a running one, which is emptied of all Hedgehog kinds first.
func cluster(t *testing.T, c contents) *lab.Cluster {
	t.Helper()
	if os.Getenv("HEDGEROW_TEST_KUBE") == "" {
		var args []string
		if c.fabric != "" {
			args = append(args, "--fabric", c.fabric)
		}
		if c.crds != "" {
			args = append(args, "--crds", c.crds)
		}
		for _, f := range c.load {
			args = append(args, "--load", f)
		}
		return lab.Vlab(t, append(args, "--strict-load")...)
	}
	k := &lab.Cluster{Kubeconfig: os.Getenv("HEDGEROW_TEST_KUBECONFIG")}
	if k.Kubeconfig == "" {
		k.Kubeconfig = startKube(t, os.Getenv("HEDGEROW_TEST_KUBE"))
	}
	for _, name := range strings.Fields(k.Kubectl(t, "", "get", "crd", "-o", "name")) {
		if strings.HasSuffix(name, ".githedgehog.com") {
			k.Kubectl(t, "", "delete", name, "--timeout=60s")
		}
	}
	if c.crds == "" {
		c.crds = "../internal/crds"
	}
	if c.fabric != "" {
		c.load = append(c.load, lab.Fixtures(t, "wiring", "cluster", c.like))
	}
	k.Kubectl(t, "", "apply", "--server-side", "-f", c.crds)
	k.Kubectl(t, "", "wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")
	for _, f := range c.load {
		for namespace := range documents(t, f).namespaces {
			k.Kubectl(t, fmt.Sprintf(`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":%q}}`, namespace), "apply", "-f", "-")
		}
		// As lenient as most clients: some fixtures hold fields that another
		// release declares, and these definitions prune.
		k.Kubectl(t, "", "create", "--validate=ignore", "-f", f)
	}
	return k
}

// startKube starts etcd and kube-apiserver from a folder of binaries, and
// returns the administrator's kubeconfig. They stop when the test ends.
func startKube(t *testing.T, bin string) string {
	t.Helper()
	dir := t.TempDir()
	kubeconfig := filepath.Join(dir, "kubeconfig")
	cmd := exec.Command(filepath.Join(bin, "kube"), "--bin", bin, "--data", filepath.Join(dir, "data"), "--kubeconfig-out", kubeconfig, "--stdin")
	stop, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	errs := &lab.Buffer{}
	cmd.Stderr = errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stop.Close() // ends it
		if err := cmd.Wait(); err != nil {
			t.Errorf("kube: %v\n%s", err, errs)
		}
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); !strings.HasPrefix(line, "kube ready: ") {
		t.Fatalf("kube said %q: %v\n%s", line, err, errs)
	}
	return kubeconfig
}

// several skips a test that needs more than the one cluster that there is.
func several(t *testing.T) {
	t.Helper()
	if os.Getenv("HEDGEROW_TEST_KUBE") != "" {
		t.Skip("this test pauses one of two clusters, which only a vlab lets it")
	}
}

// onBoth runs a test on every engine.
func onBoth(t *testing.T, test func(t *testing.T, h *lab.Hedgerow, r record)) {
	t.Helper()
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			h, r := install(t, engine)
			test(t, h, r)
		})
	}
}

// syncComplete makes a pass that must be complete.
func syncComplete(t *testing.T, h *lab.Hedgerow, fabric string) runDoc {
	t.Helper()
	var run runDoc
	h.JSON(t, &run, []string{"sync", fabric, "-o", "json"}, 0, 1, 3)
	if run.Outcome != "complete" || run.Counts.Failed != 0 {
		t.Fatalf("run %d is %s with %d unreadable: %s", run.ID, run.Outcome, run.Counts.Failed, run.Message)
	}
	return run
}

// TestReference is the reference scenario: 48 objects, added, synced, synced
// again, changed, deleted and made again.
func TestReference(t *testing.T) {
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			c := cluster(t, contents{fabric: "spine-leaf", like: "spine-leaf-default-v0.40.yaml"})
			h, r := install(t, engine)
			h.OK(t, "fabric", "add", "lab", "--kubeconfig", c.Kubeconfig)
			first := syncComplete(t, h, "lab")
			if want := (countsDoc{Listed: referenceTotal, Created: referenceTotal}); first.Counts != want {
				t.Errorf("first pass: %+v, want %+v", first.Counts, want)
			}
			present := map[string]int{}
			for _, k := range first.Kinds {
				if k.Verdict != "complete" {
					t.Errorf("%s: %s: %s", k.Plural, k.Verdict, k.Message)
				}
				if k.Present > 0 {
					present[k.Plural] = k.Present
				}
			}
			if !maps.Equal(present, reference) {
				t.Errorf("objects by kind: %v, want %v", present, reference)
			}
			inSync(t, h)
			if d := r.state(t, "lab").differs(connect(t, c.Kubeconfig).state(t)); d != "" {
				t.Errorf("record and API:\n%s", d)
			}

			before, runs := r.dump(t), r.rows(t, `SELECT * FROM runs ORDER BY id`)
			second := syncComplete(t, h, "lab")
			if want := (countsDoc{Listed: referenceTotal, Unchanged: referenceTotal}); second.Counts != want || second.VersionAfter != first.VersionAfter {
				t.Errorf("second pass: %+v, version %d after %d", second.Counts, second.VersionAfter, first.VersionAfter)
			}
			if d := differs(before, r.dump(t)); len(d) > 0 {
				t.Errorf("the second pass wrote to %v", d)
			}
			if after := r.rows(t, `SELECT * FROM runs ORDER BY id`); len(after) != len(runs)+1 || !slices.Equal(after[:len(runs)], runs) {
				t.Errorf("%d runs after %d, or an earlier one changed", len(after), len(runs))
			}
			inSync(t, h)
			changes(t, c, h)
			if d := r.state(t, "lab").differs(connect(t, c.Kubeconfig).state(t)); d != "" {
				t.Errorf("record and API after the changes:\n%s", d)
			}
		})
	}
}

func inSync(t *testing.T, h *lab.Hedgerow) {
	t.Helper()
	var status []statusDoc
	h.JSON(t, &status, []string{"status", "-o", "json"})
	if len(status) != 1 || status[0].Badge != "In sync" || status[0].Objects != referenceTotal {
		t.Errorf("status %+v", status)
	}
	if text := h.OK(t, "status"); !strings.HasPrefix(text, "lab: In sync. 48 objects read from the cluster ") {
		t.Errorf("status reads:\n%s", text)
	}
}

// change is an event as history --diff -o json shows it.
type change struct {
	Run                   int64
	What, Kind, Name, UID string
	Group, Namespace      string
	Before, After         string
	Deltas                []delta
}

type delta struct {
	Path          string
	Before, After json.RawMessage
}

// changes makes every kind of change with kubectl, and wants each in the
// history with the right fields.
func changes(t *testing.T, c *lab.Cluster, h *lab.Hedgerow) {
	t.Helper()
	get := func(kind, name string) (o map[string]any) {
		t.Helper()
		if err := json.Unmarshal([]byte(c.Kubectl(t, "", "get", kind, name, "-n", "default", "-o", "json")), &o); err != nil {
			t.Fatal(err)
		}
		return o
	}
	names := func(kind string) []string {
		t.Helper()
		return strings.Fields(c.Kubectl(t, "", "get", kind, "-n", "default", "-o", "jsonpath={.items[*].metadata.name}"))
	}
	changed, gone, renewed := names("switches")[0], names("servers")[0], names("servers")[1]
	labelled := names("connections")[0]
	was := get("switch", changed)["spec"].(map[string]any)["description"]
	c.Kubectl(t, "", "patch", "switch", changed, "-n", "default", "--type", "merge", "-p", `{"spec":{"description":"moved to row 7 <b>&","ip":null}}`)
	c.Kubectl(t, "", "label", "connection", labelled, "-n", "default", "team.example.com/owner=net")
	c.Kubectl(t, "", "delete", "server", gone, "-n", "default")
	old := get("server", renewed)
	oldUID := old["metadata"].(map[string]any)["uid"].(string)
	c.Kubectl(t, "", "delete", "server", renewed, "-n", "default")
	old["metadata"] = map[string]any{"name": renewed, "namespace": "default"}
	again, err := json.Marshal(old)
	if err != nil {
		t.Fatal(err)
	}
	c.Kubectl(t, string(again), "create", "-f", "-")
	c.Kubectl(t, `{"apiVersion":"wiring.githedgehog.com/v1beta1","kind":"Server","metadata":{"name":"server-new","namespace":"default"},"spec":{"description":"new"}}`, "create", "-f", "-")

	run := syncComplete(t, h, "lab")
	if want := (countsDoc{Listed: 48, Created: 2, Updated: 2, Deleted: 2, Unchanged: 44}); run.Counts != want {
		t.Errorf("pass after the changes: %+v, want %+v", run.Counts, want)
	}
	var events []change
	h.JSON(t, &events, []string{"history", "-F", "lab", "--run", fmt.Sprint(run.ID), "--diff", "-o", "json"})
	got := map[string]change{}
	for _, e := range events {
		if e.Namespace != "default" || e.Group != "wiring.githedgehog.com" || e.Run != run.ID {
			t.Errorf("event %+v", e)
		}
		if (e.Before == "") != (e.What == "created") || (e.After == "") != (e.What == "deleted") {
			t.Errorf("digests of %+v", e)
		}
		got[e.What+" "+e.Kind+" "+e.Name] = e
	}
	want := []string{
		"created Server " + renewed, "created Server server-new", "deleted Server " + gone, "deleted Server " + renewed,
		"updated Connection " + labelled, "updated Switch " + changed,
	}
	slices.Sort(want)
	if keys := slices.Sorted(maps.Keys(got)); !slices.Equal(keys, want) || len(events) != len(want) {
		t.Fatalf("events\n%s\nwant\n%s", strings.Join(keys, "\n"), strings.Join(want, "\n"))
	}
	text := func(v any) string {
		if v == nil {
			return ""
		}
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	fields := func(e change) (lines []string) {
		for _, d := range e.Deltas {
			lines = append(lines, fmt.Sprintf("%s: %s -> %s", d.Path, d.Before, d.After))
		}
		return lines
	}
	sw := fields(got["updated Switch "+changed])
	if i := slices.Index(sw, fmt.Sprintf(`spec.description: %s -> "moved to row 7 <b>&"`, text(was))); i < 0 || len(sw) > 2 {
		t.Errorf("the switch's fields: %q", sw)
	} else if rest := slices.Delete(slices.Clone(sw), i, i+1); len(rest) == 1 && !regexp.MustCompile(`^spec\.ip: "[0-9./]+" -> $`).MatchString(rest[0]) {
		t.Errorf("the switch's other field: %q", rest)
	}
	if l := fields(got["updated Connection "+labelled]); !slices.Equal(l, []string{`metadata.labels["team.example.com/owner"]:  -> "net"`}) {
		t.Errorf("the connection's fields: %q", l)
	}
	if d, c := got["deleted Server "+renewed], got["created Server "+renewed]; d.UID != oldUID || c.UID == oldUID || c.UID == "" || d.Before != c.After {
		t.Errorf("renewed: deleted %+v, created %+v", d, c)
	}
	// For people, the same.
	page := h.OK(t, "history", "switch", changed, "-F", "lab", "--diff")
	for _, line := range []string{"Switch " + changed + " updated", "Switch " + changed + " first seen", `spec.description: ` + text(was) + ` -> "moved to row 7 <b>&"`} {
		if was != nil && !strings.Contains(page, line) {
			t.Errorf("history does not say %q:\n%s", line, page)
		}
	}
	order := regexp.MustCompile(`(?s)Server ` + renewed + ` created.*Server ` + renewed + ` deleted.*Server ` + renewed + ` first seen`)
	if page := h.OK(t, "history", "server", renewed, "-F", "lab", "--diff"); !order.MatchString(page) {
		t.Errorf("history of the renewed server:\n%s", page)
	}
}

// bundle is what a file of documents holds, by a look at its lines.
type bundle struct {
	objects    int
	namespaces map[string]bool
}

func documents(t *testing.T, path string) bundle {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	d := bundle{namespaces: map[string]bool{}}
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, "kind: ") {
			d.objects++
		}
		if n, ok := strings.CutPrefix(line, "  namespace: "); ok {
			d.namespaces[strings.TrimSpace(n)] = true
		}
	}
	return d
}

// TestRealSchemas: every fixture fabric, under the vendor's own definitions,
// is recorded as the API returns it, object by object.
func TestRealSchemas(t *testing.T) {
	crds := lab.Fixtures(t, "crds")
	files, err := filepath.Glob(filepath.Join(lab.Fixtures(t, "wiring", "cluster"), "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixture fabrics; %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			c := cluster(t, contents{crds: crds, load: []string{file}})
			a := connect(t, c.Kubeconfig)
			// Each object by its own GET, not by the list that Hedgerow reads.
			want := state{}
			for _, k := range a.kinds(t) {
				for _, o := range a.items(t, k[0]+"/"+k[1]) {
					meta := o["metadata"].(map[string]any)
					path := k[0]
					if ns, ok := meta["namespace"].(string); ok {
						path += "/namespaces/" + ns
					}
					want.put(t, a.get(t, path+"/"+k[1]+"/"+meta["name"].(string)))
				}
			}
			if n := documents(t, file).objects; len(want) != n {
				t.Errorf("the API holds %d objects, the file %d", len(want), n)
			}
			onBoth(t, func(t *testing.T, h *lab.Hedgerow, r record) {
				h.OK(t, "fabric", "add", "lab", "--kubeconfig", c.Kubeconfig, "--all-namespaces")
				run := syncComplete(t, h, "lab")
				if run.Counts.Created != len(want) {
					t.Errorf("%d created, want %d", run.Counts.Created, len(want))
				}
				if d := r.state(t, "lab").differs(want); d != "" {
					t.Errorf("record and API:\n%s", d)
				}
				before := r.dump(t)
				syncComplete(t, h, "lab")
				if d := differs(before, r.dump(t)); len(d) > 0 {
					t.Errorf("the second pass wrote to %v", d)
				}
			})
		})
	}
}

// TestTwoReleases: two fabrics on different releases side by side. Each is
// recorded as it is, and one that dies costs the other nothing.
func TestTwoReleases(t *testing.T) {
	several(t)
	crds := lab.Fixtures(t, "crds")
	clusters, apis := map[string]*lab.Cluster{}, map[string]*api{}
	for name, file := range map[string]string{"old": "gateway-v0.40.yaml", "new": "gateway-v0.48.yaml"} {
		clusters[name] = cluster(t, contents{crds: crds, load: []string{lab.Fixtures(t, "wiring", "cluster", file)}})
		apis[name] = connect(t, clusters[name].Kubeconfig)
	}
	onBoth(t, func(t *testing.T, h *lab.Hedgerow, r record) {
		for name, c := range clusters {
			h.OK(t, "fabric", "add", name, "--kubeconfig", c.Kubeconfig, "--all-namespaces")
		}
		h.OK(t, "sync", "--all")
		want := map[string]state{}
		for name, a := range apis {
			want[name] = a.state(t)
			if d := r.state(t, name).differs(want[name]); d != "" || len(want[name]) == 0 {
				t.Errorf("%s: record and API (%d objects):\n%s", name, len(want[name]), d)
			}
		}
		before := r.dump(t)
		h.OK(t, "sync", "--all")
		if d := differs(before, r.dump(t)); len(d) > 0 {
			t.Errorf("the second pass wrote to %v", d)
		}
		// A change of one is a change of that one.
		a := apis["new"]
		path := "/apis/wiring.githedgehog.com/v1beta1/namespaces/default/servers"
		server := path + "/" + a.items(t, path)[0]["metadata"].(map[string]any)["name"].(string)
		body := fmt.Appendf(nil, `{"spec":{"description":%q}}`, "changed for "+t.Name())
		if _, err := a.Do(t.Context(), http.MethodPatch, server, "application/merge-patch+json", body); err != nil {
			t.Fatal(err)
		}
		var runs []runDoc
		h.JSON(t, &runs, []string{"sync", "--all", "-o", "json"})
		if len(runs) != 2 || runs[0].Counts.Updated != 1 || runs[1].Counts.Updated != 0 { // by name: new, old
			t.Errorf("runs %+v", runs)
		}
		if d := r.state(t, "old").differs(want["old"]); d != "" {
			t.Errorf("the other fabric:\n%s", d)
		}
		if err := clusters["old"].Pause(); err != nil {
			t.Fatal(err)
		}
		h.OK(t, "fabric", "edit", "old", "--connect-timeout", "1s", "--request-timeout", "1s", "--pass-timeout", "2s")
		if got := h.Run(t, "sync", "--all"); got.Code != 1 || !strings.Contains(got.Stdout, "new: run ") || !strings.Contains(got.Stdout, "complete") {
			t.Errorf("with one fabric that does not answer: exit %d\n%s%s", got.Code, got.Stdout, got.Stderr)
		}
		if err := clusters["old"].Resume(); err != nil {
			t.Fatal(err)
		}
		if d := r.state(t, "old").differs(want["old"]); d != "" {
			t.Errorf("the fabric that did not answer:\n%s", d)
		}
	})
}
