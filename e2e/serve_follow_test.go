package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"hedgerow/e2e/lab"
	"hedgerow/e2e/wire"
)

// everFollowed waits until every fabric of a fleet is followed.
func everFollowed(t *testing.T, b *board, f *lab.Fleet) {
	t.Helper()
	all := map[string]want{}
	for i := range f.Size() {
		w := well(0)
		w.sentence = ""
		all[f.Name(i)] = w
	}
	b.awaitAll(t, time.Minute, all)
}

// TestServeFollow edits clusters while serve runs, comes and goes. Each edit is
// in the history once, in its order, and shows at once to those who watch.
func TestServeFollow(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *lab.Hedgerow, r record) {
		if testing.Short() && r.engine == "postgres" {
			t.Skip("takes a minute a time; TestChaosWorkers has PostgreSQL")
		}
		f := lab.NewFleet(t, 3, 48)
		proxy := wire.New(t, f.Kubeconfig)
		f.Through(proxy.Kubeconfig("")).Add(t, h, "--interval", "30s")
		serve := lab.Start(t, h, "serve")
		b := watchBoard(t, h)
		everFollowed(t, b, f)

		// What people see who watch.
		get := lab.Launch(t, h, "get", "switches", "-F", f.Name(0), "--watch")
		status := lab.Launch(t, h, "status", f.Name(0), "--watch", "-o", "json")
		get.Await(t, soon, "showing the switches", func() bool { return strings.Count(get.Stdout(), "\n") == 1+reference["switches"] })
		status.Await(t, soon, "showing the status", func() bool { return statusVersions(status.Stdout()) > 0 })
		version := statusVersions(status.Stdout())
		if _, err := f.Edit(t.Context(), 0, "seen by all"); err != nil {
			t.Fatal(err)
		}
		get.Await(t, soon, "showing the change", func() bool { return strings.Count(get.Stdout(), "\n") == 1+reference["switches"]+1 })
		status.Await(t, soon, "showing the change", func() bool { return statusVersions(status.Stdout()) == version+1 })
		var events []change
		h.JSON(t, &events, []string{"history", "switches", "-F", f.Name(0), "--diff", "--limit", "1", "-o", "json"})
		if len(events) != 1 || events[0].What != "updated" || len(events[0].Deltas) != 1 || string(events[0].Deltas[0].After) != `"seen by all"` {
			t.Errorf("the newest event: %+v", events)
		}
		for _, p := range []*lab.Process{get, status} {
			if code := p.Stop(t); code != 0 {
				t.Errorf("%s exits with %d", p, code)
			}
		}

		// A change in the middle of a pass: after the switches were read, or
		// before, it is told once.
		free := make(chan struct{})
		proxy.Set(wire.Rule{Path: "/apis/*/*/namespaces/" + f.Name(1) + "/connections", Do: hold(free)})
		h.OK(t, "fabric", "edit", f.Name(1), "--max-delete-floor", "11") // due at once
		b.await(t, f.Name(1), soon, want{badge: "Syncing"})
		if _, err := f.Edit(t.Context(), 1, "in the middle"); err != nil {
			t.Fatal(err)
		}
		proxy.Clear()
		close(free)
		everFollowed(t, b, f)
		r.catchesUp(t, f, time.Now(), soon)
		h.JSON(t, &events, []string{"history", "switches", "-F", f.Name(1), "--limit", "100", "-o", "json"})
		if got := len(events) - reference["switches"]; got != 1 {
			t.Errorf("%d events of one change in the middle of a pass", got)
		}

		// Serve stops and starts again, and is killed, under way.
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		churn := f.Churn(ctx, 40, nil, lab.Varied)
		made := func(n int) {
			waitFor(t, time.Minute, "edits", func(context.Context) bool { return churn.Made() >= n }, func() string { return "" })
		}
		made(150)
		serve.Stop(t)
		made(200)
		serve = lab.Start(t, h, "serve")
		made(400)
		serve.Kill()
		made(450)
		lab.Start(t, h, "serve")
		made(600)
		edits, err := churn.Stop()
		if err != nil {
			t.Fatal(err)
		}
		behind := r.catchesUp(t, f, time.Now(), time.Minute)
		c := r.whole(t, "after serve came and went", false)
		v, told, over := c.history(f, live(edits))
		if len(v) > 0 {
			t.Errorf("history and edits:\n%s", v)
		}
		t.Logf("%d edits: %d states told, %d passed over by a pass while serve was away; caught up %s after the last", len(edits), told, over, behind.Round(time.Millisecond))

		// The API server dies and starts again under way: of an edit whose
		// answer was lost nobody knows, so the clusters are what counts.
		churn = f.Churn(ctx, 40, nil, lab.Varied)
		made(100)
		f.Kill()
		f.Restart(t)
		made(200)
		if _, err := churn.Stop(); err != nil {
			t.Log(err)
		}
		everFollowed(t, b, f)
		r.catchesUp(t, f, time.Now(), time.Minute)
		r.whole(t, "after the API server died", false)
	})
}

// statusVersions is the version that the newest whole status of status
// --watch -o json tells of, 0 before the first.
func statusVersions(out string) (version int64) {
	d := json.NewDecoder(strings.NewReader(out))
	for {
		var all []standing
		if d.Decode(&all) != nil {
			return version
		}
		version = all[0].Version
	}
}

// TestServeAgents leaves simulated switch agents to themselves: their
// heartbeats are no history, whoever reads them.
func TestServeAgents(t *testing.T) {
	t.Parallel()
	c := lab.Vlab(t, "--fabric", "spine-leaf", "--agents")
	h, r := install(t, "sqlite")
	h.OK(t, "fabric", "add", "f", "--kubeconfig", c.Kubeconfig, "--interval", "30s")
	s := lab.Start(t, h, "serve")
	b := watchBoard(t, h)
	b.await(t, "f", byPass, want{badge: "In sync", facets: map[string]string{"follow": "following", "health": "ok"}})
	a := connect(t, c.Kubeconfig)
	beats := func() map[string]string {
		all := map[string]string{}
		for _, o := range a.items(t, "/apis/agent.githedgehog.com/v1beta1/namespaces/default/agents") {
			m := o["metadata"].(map[string]any)
			all[m["name"].(string)] = fmt.Sprint(m["resourceVersion"])
		}
		return all
	}
	// Twice, for each agent has its own moment.
	beat := func() {
		t.Helper()
		before := beats()
		if len(before) != reference["switches"] {
			t.Fatalf("%d agents", len(before))
		}
		waitFor(t, time.Minute, "every agent to beat", func(context.Context) bool {
			for name, version := range beats() {
				if before[name] == version {
					return false
				}
			}
			return true
		}, func() string { return "some did not" })
	}
	beat()
	before, events := b.await(t, "f", byPass, want{badge: "In sync"}), len(r.rows(t, `SELECT 1 FROM history`))
	beat()
	beat()
	after := b.await(t, "f", byPass, want{badge: "In sync"})
	if got := len(r.rows(t, `SELECT 1 FROM history`)); before.Version != after.Version || got != events {
		t.Errorf("heartbeats made %d history and raised the version from %d to %d:\n%s", got-events, before.Version, after.Version,
			strings.Join(r.rows(t, `SELECT id, trigger, evidence FROM runs WHERE trigger = 'follow' ORDER BY id DESC LIMIT 3`), "\n"))
	}
	// And yet a change of one of them is.
	body := []byte(`{"metadata":{"labels":{"team":"net"}}}`)
	path := "/apis/agent.githedgehog.com/v1beta1/namespaces/default/agents/"
	for name := range beats() {
		if _, err := a.Do(t.Context(), http.MethodPatch, path+name, "application/merge-patch+json", body); err != nil {
			t.Fatal(err)
		}
		break
	}
	b.await(t, "f", soon, want{badge: "In sync", also: func(s standing) string {
		if s.Version != after.Version+1 {
			return fmt.Sprintf("version %d, want %d", s.Version, after.Version+1)
		}
		return ""
	}})
	quiet(t, s)
}
