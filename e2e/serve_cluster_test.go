package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"hedgerow/e2e/lab"
)

// TestServeCluster mistreats the API server itself, without a proxy: it is
// stopped in its tracks, dies and comes back, loses a kind, all its objects,
// and everything.
func TestServeCluster(t *testing.T) {
	t.Parallel()
	c := lab.Vlab(t, "--fabric", "spine-leaf")
	h, r := install(t, "sqlite")
	h.OK(t, append([]string{"fabric", "add", "f", "--kubeconfig", c.Kubeconfig, "--interval", "30s"}, quick...)...)
	s := lab.Start(t, h, "serve")
	b := watchBoard(t, h)
	at := b.await(t, "f", byPass, well(48))

	// Paused: it accepts connections and says nothing.
	if err := c.Pause(); err != nil {
		t.Fatal(err)
	}
	b.await(t, "f", byPass, ill("failed", failedAll("HOST did not answer in time. Is a firewall dropping packets? --connect-timeout, --request-timeout and --pass-timeout say how long we wait."), retrying, "-NotStalled", 48).
		with(map[string]string{"follow": "broken"}))
	if err := c.Resume(); err != nil {
		t.Fatal(err)
	}
	b.await(t, "f", byPass, well(48))

	// Dead, and back with its data: what it knows of the past is gone (410).
	c.Kill()
	b.await(t, "f", byPass, ill("failed", failedAll("HOST refused the connection. Is the API server running, and is the port right?"), retrying, "-NotStalled", 48).
		with(map[string]string{"follow": "broken"}))
	c.Restart(t)
	if is := b.await(t, "f", byPass, well(48)); is.Version != at.Version {
		t.Errorf("version %d after a restart of the API server, %d before", is.Version, at.Version)
	}
	a := connect(t, c.Kubeconfig)
	edit := func(value string) {
		t.Helper()
		path := "/apis/wiring.githedgehog.com/v1beta1/namespaces/default/switches/"
		name := a.items(t, path[:len(path)-1])[0]["metadata"].(map[string]any)["name"].(string)
		if _, err := a.Do(t.Context(), http.MethodPatch, path+name, "application/merge-patch+json", []byte(`{"spec":{"description":"`+value+`"}}`)); err != nil {
			t.Fatal(err)
		}
	}
	version := at.Version
	moved := func(n int64) {
		t.Helper()
		version += n
		b.await(t, "f", soon, want{badge: "In sync", also: func(s standing) string {
			if s.Version != version {
				return "another version"
			}
			return ""
		}})
	}
	edit("after the restart")
	moved(1)

	// A kind is not served any more. Its one object was deleted with it, and
	// that came in as it happened.
	crd := "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/vlannamespaces.wiring.githedgehog.com"
	if _, err := a.Do(t.Context(), http.MethodDelete, crd, "", nil); err != nil {
		t.Fatal(err)
	}
	waitFor(t, time.Minute, "the definition to go", func(ctx context.Context) bool {
		_, err := a.Do(ctx, http.MethodGet, crd, "", nil)
		var refused *lab.Refused
		return errors.As(err, &refused) && refused.Status == http.StatusNotFound
	}, func() string { return "it is still there" })
	h.OK(t, "fabric", "edit", "f", "--max-delete-floor", "11") // due at once
	b.await(t, "f", byPass, well(47))

	// Every object is deleted, one by one: each is seen to go.
	for _, k := range a.kinds(t) {
		for _, o := range a.items(t, k[0]+"/"+k[1]) {
			m := o["metadata"].(map[string]any)
			path := k[0] + "/" + k[1] + "/" + m["name"].(string)
			if ns, ok := m["namespace"].(string); ok {
				path = k[0] + "/namespaces/" + ns + "/" + k[1] + "/" + m["name"].(string)
			}
			if _, err := a.Do(t.Context(), http.MethodDelete, path, "", nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	b.await(t, "f", soon, want{badge: "In sync", sentence: "0 objects read from the cluster AGE ago.", also: func(s standing) string {
		if s.Objects != 0 {
			return "there still are some"
		}
		return ""
	}})
	r.whole(t, "at the end", false)
	quiet(t, s)
}

// TestServeAnotherCluster puts another cluster in the place of a fabric's: its
// certificate is not trusted, its objects are not taken for those recorded, and
// a person decides.
func TestServeAnotherCluster(t *testing.T) {
	t.Parallel()
	c := lab.Vlab(t, "--fabric", "spine-leaf")
	h, r := install(t, "sqlite")
	h.OK(t, append([]string{"fabric", "add", "f", "--kubeconfig", c.Kubeconfig, "--interval", "30s"}, quick...)...)
	s := lab.Start(t, h, "serve")
	b := watchBoard(t, h)
	at := b.await(t, "f", byPass, well(48))

	// Without its data, on the same address.
	c.Kill()
	c.Wipe(t)
	c.Restart(t)
	b.await(t, "f", byPass, ill("failed", failedAll("the certificate of HOST is signed by an authority that is not trusted. Give the cluster's authority with --ca-file, or a kubeconfig that holds it."), retrying, "+TlsAuthority", 48).
		with(map[string]string{"follow": "broken"}))
	h.OK(t, "fabric", "edit", "f", "--kubeconfig", c.Kubeconfig)
	guarded := ill("degraded", "Run N failed: 48 of the 48 objects recorded are gone from the cluster, or others of the same name; nothing was recorded. "+
		"If that is right: hedgerow sync f --accept-deletions. If this is another cluster, add it as a fabric of its own.", "waiting: A reading is due every 30s: the next in AGE.", "+WouldDelete", 48)
	is := b.await(t, "f", soon, guarded)
	if is.Version != at.Version {
		t.Errorf("version %d, %d before", is.Version, at.Version)
	}
	// What happens in the other cluster meanwhile is not this fabric's.
	before := r.state(t, "f")
	a := connect(t, c.Kubeconfig)
	path := "/apis/wiring.githedgehog.com/v1beta1/namespaces/default/switches"
	path += "/" + a.items(t, path)[0]["metadata"].(map[string]any)["name"].(string)
	for i := range 100 { // far beyond the revision of the first cluster
		if _, err := a.Do(t.Context(), http.MethodPatch, path, "application/merge-patch+json", fmt.Appendf(nil, `{"spec":{"description":"foreign %d"}}`, i)); err != nil {
			t.Fatal(err)
		}
	}
	again := want{badge: "Error", conditions: map[string]string{"Stalled": "+WouldDelete"}, also: func(s standing) string {
		if s.Sentence == is.Sentence {
			return "no pass since"
		}
		return ""
	}}
	if is := b.await(t, "f", byPass, again); is.Version != at.Version {
		t.Errorf("version %d, %d before: changes of another cluster were recorded, while a person was asked whether it is another:\n%s", is.Version, at.Version, before.differs(r.state(t, "f")))
	}
	h.OK(t, "sync", "f", "--accept-deletions")
	b.await(t, "f", byPass, well(48))
	c2 := r.whole(t, "at the end", false)
	if n := len(c2.periods); n != 96 {
		t.Errorf("%d periods of 48 objects that were replaced once", n)
	}
	quiet(t, s)
}
