package e2e

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hedgerow/e2e/lab"
)

const (
	adaPassword = "correct horse battery"
	bobPassword = "staple staple staple"
)

// people lets ada (admin) and bob (viewer of one fabric) sign in.
func people(t *testing.T, h *lab.Hedgerow, bobs string) {
	t.Helper()
	h.OKWith(t, adaPassword+"\n", "user", "add", "ada", "--role", "admin", "--password-stdin")
	h.OKWith(t, bobPassword+"\n", "user", "add", "bob", "--fabric", bobs+"=viewer", "--password-stdin")
}

// signIn signs in through the page, wherever that leads.
func signIn(t *testing.T, b *lab.Browser, name, password string) {
	t.Helper()
	b.Await(t, "the page to sign in", `!!document.querySelector("#password")`)
	b.Run(t, `document.querySelector("#name").value = ""`)
	b.Type(t, "#name", name)
	b.Type(t, "#password", password)
	b.Click(t, "form button")
}

// TestBrowser goes the way of a newcomer: signs in, sees the fabric, presses the
// button, follows a link to a neighbour, and sees a change arrive without doing
// anything; then the server goes away and comes back.
func TestBrowser(t *testing.T) {
	t.Parallel()
	c := lab.Vlab(t, "--fabric", "spine-leaf")
	h, r := install(t, "sqlite")
	h.OK(t, append([]string{"fabric", "add", "lab", "--kubeconfig", c.Kubeconfig, "--interval", "30s"}, quick...)...)
	people(t, h, "lab")
	s := lab.Start(t, h, "serve")
	s.WaitReady(t, soon)
	b := lab.Chromium(t)

	b.Go(t, s.URL+"/fabrics/1/")
	signIn(t, b, "ada", "wrong, all of it")
	b.AwaitText(t, "That is not a user's name and password, or too many sign-ins failed;")
	b.Shots(t, "sign-in")
	signIn(t, b, "ada", adaPassword)
	b.Await(t, "back at the page that was asked for", `location.pathname === "/fabrics/1/"`)
	b.AwaitText(t, "48 objects read from the cluster")
	b.AwaitText(t, "In sync")

	// The button, and what became of it: a run of its own, with numbers.
	b.Click(t, `form[action="/fabrics/1/sync/"] button`)
	b.Await(t, "the result", `/Run \d+ read 48 objects in .*: nothing had changed\./.test(document.querySelector("#asked")?.innerText)`)
	newest := r.rows(t, `SELECT trigger, actor, outcome FROM runs WHERE trigger = 'manual'`)
	if len(newest) != 1 || !strings.Contains(newest[0], "actor=ada outcome=complete") {
		t.Errorf("manual runs: %q", newest)
	}
	b.Shots(t, "fabric")

	// The map: every device and cable, as links.
	b.Go(t, s.URL+"/fabrics/1/map/")
	b.AwaitText(t, "Map of lab")
	if got := b.Run(t, `[document.querySelectorAll(".map .node").length, document.querySelectorAll(".map .line").length, document.querySelectorAll(".map a[href]").length].join()`); got != "17,25,42" {
		t.Errorf("the map has nodes, lines and links: %v", got)
	}
	b.Shots(t, "map")

	// From a switch to its neighbour.
	b.Go(t, s.URL+"/")
	b.AwaitText(t, "No fabric needs attention.")
	b.Shots(t, "home")
	b.Go(t, s.URL+"/fabrics/1/switches.wiring.githedgehog.com/")
	b.AwaitText(t, "7 in the record")
	b.Shots(t, "switches")
	b.Click(t, `a[href$="/default/spine-01"]`)
	b.AwaitText(t, "Referred to by")
	b.Click(t, `a[href*="connections.wiring.githedgehog.com"][href*="leaf-01"]`)
	b.Await(t, "a connection", `location.pathname.includes("/connections.")`)
	b.Click(t, `a[href$="/default/leaf-01"]`)
	b.Await(t, "the neighbour", `document.querySelector("h1").innerText === "leaf-01"`)
	b.Shots(t, "object")

	// A change arrives. The page is the same one: what was set in it stays.
	b.Run(t, `window.mark = 1, document.querySelector("#yaml").open = false`)
	a := connect(t, c.Kubeconfig)
	edit := func(value string) {
		t.Helper()
		if _, err := a.Do(t.Context(), http.MethodPatch, "/apis/wiring.githedgehog.com/v1beta1/namespaces/default/switches/leaf-01", "application/merge-patch+json", []byte(`{"spec":{"description":"`+value+`"}}`)); err != nil {
			t.Fatal(err)
		}
	}
	edit("moved to rack 7")
	b.AwaitText(t, "moved to rack 7")
	if m := b.Run(t, `window.mark === 1 && !document.querySelector("#yaml").open`); m != true {
		t.Error("the page was loaded anew, or what was closed has opened")
	}
	b.Shots(t, "changed")

	// Search, by what the object holds.
	b.Go(t, s.URL+"/search?q=RACK+7")
	b.Click(t, `a[href$="/default/leaf-01"]`)
	b.AwaitText(t, "moved to rack 7")
	if wrong := b.Wrongs("401"); len(wrong) > 0 { // the refused sign-in
		t.Errorf("the console complains:\n%s", strings.Join(wrong, "\n"))
	}

	// The server goes away: the page says so, and catches up by itself.
	b.Run(t, `window.mark = 2`)
	b.Await(t, "the stream", `document.querySelector(".stream-lost").hidden`)
	address := strings.TrimPrefix(s.URL, "http://")
	s.Stop(t)
	b.AwaitText(t, "Live updates are interrupted")
	// A proxy before it answers that nobody is there: what is shown stays.
	refused := badGateway(t, address)
	waitFor(t, soon, "the page to ask again", func(context.Context) bool { return refused.asked.Load() >= 2 }, func() string { return "it does not" })
	if text := b.Text(t); !strings.Contains(text, "moved to rack 7") || !strings.Contains(text, "Live updates are interrupted") {
		t.Errorf("the page shows:\n%s", text)
	}
	refused.close(t)
	edit("and back")
	s = lab.Start(t, h, "serve", "--listen", address)
	b.AwaitText(t, "and back")
	b.Await(t, "the stream is back", `document.querySelector(".stream-lost").hidden && window.mark === 2`)
	quiet(t, s)
}

// gateway answers 502 to everything.
type gateway struct {
	asked atomic.Int32
	http.Server
}

func badGateway(t *testing.T, address string) *gateway {
	t.Helper()
	g := &gateway{}
	g.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		g.asked.Add(1)
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusBadGateway)
		_, _ = io.WriteString(w, "<h1>Bad Gateway</h1>")
	})
	ln, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = g.Serve(ln) }() // until it is closed
	return g
}

func (g *gateway) close(t *testing.T) {
	t.Helper()
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestBrowserRights: who may only see has no button, cannot press it all the
// same, and does not know of other fabrics; a session that was ended shows
// nothing more.
func TestBrowserRights(t *testing.T) {
	t.Parallel()
	c := lab.Vlab(t, "--fabric", "spine-leaf")
	h, _ := install(t, "sqlite")
	for _, name := range []string{"theirs", "other"} {
		h.OK(t, append([]string{"fabric", "add", name, "--kubeconfig", c.Kubeconfig}, quick...)...)
	}
	people(t, h, "theirs")
	s := lab.Start(t, h, "serve")
	b := lab.Chromium(t)
	b.Go(t, s.URL+"/")
	signIn(t, b, "bob", bobPassword)
	b.AwaitText(t, "48 objects read from the cluster")
	if text := b.Text(t); strings.Contains(text, "other") {
		t.Errorf("bob sees more than his fabric:\n%s", text)
	}
	b.Go(t, s.URL+"/fabrics/1/")
	if n := b.Run(t, `document.querySelectorAll('form[action$="/sync/"]').length`); n != float64(0) {
		t.Errorf("a viewer has %v buttons", n)
	}
	for _, path := range []string{"/fabrics/2/", "/fabrics/2/runs/", "/fabrics/2/switches.wiring.githedgehog.com/", "/fabrics/77/"} {
		b.Go(t, s.URL+path)
		b.AwaitText(t, "There is no such fabric.")
	}
	b.Go(t, s.URL+"/search?q=spine-01")
	if text := b.Text(t); !strings.Contains(text, "theirs") || strings.Contains(text, "other") {
		t.Errorf("a search finds:\n%s", text)
	}
	// His right is taken while he looks: the stream ends, and the page with it (S22).
	b.Go(t, s.URL+"/fabrics/1/")
	begun := time.Now()
	h.OK(t, "user", "remove", "bob")
	b.Await(t, "the page to sign in", `location.pathname === "/sign-in" && location.search === "?next=%2Ffabrics%2F1%2F"`)
	t.Logf("the page was gone %s after the user was removed", time.Since(begun).Round(time.Millisecond))
	quiet(t, s)
}

// TestBrowserAgents looks at a switch whose agent reports: whether what is
// wanted is in effect, and what is plugged in where; and at a map that knows.
func TestBrowserAgents(t *testing.T) {
	t.Parallel()
	c := lab.Vlab(t, "--fabric", "spine-leaf", "--agents")
	h, _ := install(t, "sqlite")
	h.OK(t, "fabric", "add", "lab", "--kubeconfig", c.Kubeconfig)
	people(t, h, "lab")
	s := lab.Start(t, h, "serve")
	b := lab.Chromium(t)
	b.Go(t, s.URL+"/fabrics/1/switches.wiring.githedgehog.com/default/leaf-01")
	signIn(t, b, "ada", adaPassword)
	b.AwaitText(t, "what was wanted of this switch was in effect")
	b.Await(t, "a port with a spine plugged in, and seen there", `[...document.querySelectorAll("#ports tr")].some(r => r.cells[4].innerText.startsWith("spine-01 E") && r.cells[5].innerText.includes("spine-01"))`)
	b.Shots(t, "switch")
	b.Go(t, s.URL+"/fabrics/1/map/")
	b.Await(t, "seven agents ready", `document.querySelectorAll(".map .node.ready").length === 7`)
	b.Shots(t, "map-agents")
	if wrong := b.Wrongs(); len(wrong) > 0 {
		t.Errorf("the console complains:\n%s", strings.Join(wrong, "\n"))
	}
	quiet(t, s)
}
