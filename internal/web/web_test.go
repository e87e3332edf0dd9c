package web

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hedgerow"
	"hedgerow/internal/auth"
	"hedgerow/internal/kinds"
	"hedgerow/internal/store"
	"hedgerow/internal/syncer"
	"hedgerow/internal/view"
)

// house is the pages on a record of their own, with two fabrics and somebody
// of each role.
type house struct {
	*testing.T
	*site
	http.Handler
	db      *store.DB
	desk    *auth.Desk
	fabrics map[string]hedgerow.Fabric
	asked   []string // passes that were asked for
	newest  hedgerow.Run
}

const password = "a long one, for tests"

func newHouse(t *testing.T) *house {
	t.Helper()
	db, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "hedgerow.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	log := slog.New(slog.DiscardHandler)
	desk, err := auth.NewDesk(db, time.Now, log)
	if err != nil {
		t.Fatal(err)
	}
	h := &house{T: t, db: db, desk: desk, fabrics: map[string]hedgerow.Fabric{}, newest: hedgerow.Run{ID: 1, Outcome: hedgerow.RunComplete}}
	h.site, h.Handler, err = open(Config{
		Record: h.record(), Desk: desk, Passes: h, Live: still{}, Now: time.Now, Log: log, Release: "v1",
		Health: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") }),
		Stream: func(_ time.Duration, next http.Handler) http.Handler { return next },
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"theirs", "other"} {
		f, err := db.AddFabric(t.Context(), hedgerow.Fabric{Name: name, Cluster: &hedgerow.Cluster{Server: "https://" + name}, Policy: hedgerow.DefaultPolicy}, hedgerow.Secret{}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		h.fabrics[name] = f
		h.observe(f)
	}
	hash, err := auth.Hash(password)
	if err != nil {
		t.Fatal(err)
	}
	for name, u := range map[string]hedgerow.User{
		"admin":    {Role: hedgerow.Admin},
		"operator": {Fabrics: map[int64]hedgerow.Role{h.fabrics["theirs"].ID: hedgerow.Operator}},
		"viewer":   {Fabrics: map[int64]hedgerow.Role{h.fabrics["theirs"].ID: hedgerow.Viewer}},
	} {
		u.Name = name
		if _, err := db.AddUser(t.Context(), u, hash, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// payload is what every text of an object is here (S17, S18).
const payload = `"><script src=//evil></script><img src=x onerror=alert(1)> javascript:alert(1) {{.}} '`

// observe records a pass over a cluster of one switch.
func (h *house) observe(f hedgerow.Fabric) {
	h.Helper()
	s := syncer.Syncer{Store: h.db, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	if run, err := s.Observe(h.Context(), cluster{}, syncer.Request{Fabric: f, Trigger: "schedule"}); err != nil || run.Outcome != hedgerow.RunComplete {
		h.Fatal(run.Message, err)
	}
}

// cluster serves one kind, of which there is one object, which is hostile.
type cluster struct{}

var device = hedgerow.Kind{
	Group: "wiring.githedgehog.com", Version: "v1beta1", Kind: "Device", Plural: "devices", Singular: "device", Namespaced: true, Fingerprint: "1",
	Columns: []hedgerow.Column{{Name: payload, Type: "string", Path: ".spec.text"}},
}

func (cluster) Discover(context.Context, []hedgerow.Kind) (hedgerow.Discovery, error) {
	return hedgerow.Discovery{Kinds: []hedgerow.Kind{device}}, nil
}

func (cluster) Read(_ context.Context, k hedgerow.Kind, _ hedgerow.Prior) hedgerow.KindSnapshot {
	content := fmt.Appendf(nil, `{"apiVersion":"wiring.githedgehog.com/v1beta1","kind":"Device","metadata":{"labels":{"a":%[1]q},"name":%[1]q,"namespace":"default"},"spec":{"text":%[1]q}}`, payload)
	return hedgerow.KindSnapshot{Kind: k, Verdict: hedgerow.Complete, Revision: "1", Objects: []hedgerow.Object{{
		Ref: hedgerow.Ref{Group: k.Group, Kind: k.Kind, Namespace: "default", Name: payload}, UID: payload, ResourceVersion: "1", Content: content, Digest: hedgerow.Digest{1},
	}}}
}

// records adds to the store what the shell makes of it elsewhere.
type records struct{ *store.DB }

func (h *house) record() Record { return records{h.db} }

func (r records) Facts(ctx context.Context, fabrics ...hedgerow.Fabric) (all []hedgerow.Facts, err error) {
	for _, f := range fabrics {
		facts, err := syncer.Facts(ctx, r.DB, f, kinds.Agents)
		if err != nil {
			return nil, err
		}
		all = append(all, facts)
	}
	return all, nil
}

func (r records) Kinds(ctx context.Context, f hedgerow.Fabric) ([]hedgerow.Kind, error) {
	return r.DB.Kinds(ctx, f.ID)
}

func (records) Fields(context.Context, hedgerow.Event) ([]Change, error) {
	return []Change{{payload, payload, payload}}, nil
}

func (records) Links(context.Context, hedgerow.Fabric, hedgerow.Kind, hedgerow.Recorded) (to, from []Link, err error) {
	l := Link{Kind: hedgerow.KindID{Group: payload, Kind: payload}, Plural: payload, Namespace: payload, Name: payload, Path: payload}
	return []Link{l}, []Link{l}, nil
}

func (records) Agent(context.Context, hedgerow.Fabric, hedgerow.Kind, hedgerow.Recorded) (*Agent, error) {
	return &Agent{State: payload, Version: payload, Software: payload, Address: "/", Ports: []AgentPort{{payload, payload, payload, payload, payload, "/", payload}}}, nil
}

func (records) Wiring(context.Context, hedgerow.Fabric) ([]view.MapDevice, []view.MapCable, error) {
	d := view.MapDevice{ID: "a", Name: payload, Title: payload, Address: "/", State: payload, Group: payload}
	e := d
	e.ID = "b"
	return []view.MapDevice{d, e}, []view.MapCable{{A: "a", B: "b", Title: payload, Address: "/"}}, nil
}

// Request notes that a pass was asked for.
func (h *house) Request(_ context.Context, fabric int64, actor string) (hedgerow.Run, error) {
	h.asked = append(h.asked, fmt.Sprintf("%d by %s", fabric, actor))
	return h.newest, nil
}

// still is where nothing moves.
type still struct{}

func (still) Watch(func(int64) bool) (<-chan struct{}, func()) { return nil, func() {} }
func (still) Moments() map[int64]hedgerow.Moment               { return nil }

// session signs somebody in.
func (h *house) session(name string) *http.Cookie {
	h.Helper()
	token, err := h.desk.SignIn(h.Context(), name, password)
	if err != nil {
		h.Fatal(err)
	}
	return &http.Cookie{Name: "hedgerow", Value: token}
}

// ask sends a request, as a browser of ours would.
func (h *house) ask(method, path string, session *http.Cookie, form url.Values, change ...func(*http.Request)) *httptest.ResponseRecorder {
	h.Helper()
	r := httptest.NewRequestWithContext(h.Context(), method, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if session != nil {
		r.AddCookie(session)
	}
	for _, c := range change {
		c(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

var formToken = regexp.MustCompile(`name="token" value="([^"]+)"`)

func (h *house) token(session *http.Cookie) string {
	h.Helper()
	m := formToken.FindStringSubmatch(h.ask(http.MethodGet, "/", session, nil).Body.String())
	if m == nil {
		h.Fatal("the page has no form token")
	}
	return m[1]
}

// example is an address that a pattern matches, in the fabric of a name.
func (h *house) example(pattern, fabric string) (method, path string) {
	method, path, ok := strings.Cut(pattern, " ")
	if !ok {
		method, path = http.MethodGet, pattern
	}
	return method, strings.NewReplacer("{$}", "", "{fabric}", fmt.Sprint(h.fabrics[fabric].ID), "{kind}", "devices.wiring.githedgehog.com", "{namespace}", "default",
		"{name}", url.PathEscape(payload), "{run}", fmt.Sprint(map[string]int{"theirs": 1, "other": 2}[fabric])).Replace(path)
}

// TestPublic freezes what a stranger gets (S28): everything else leads to the
// sign-in.
func TestPublic(t *testing.T) {
	h := newHouse(t)
	var public []string
	for _, r := range h.table() {
		method, path := h.example(r.pattern, "theirs")
		if r.public {
			public = append(public, r.pattern)
			continue
		}
		w := h.ask(method, path, nil, nil)
		if at := w.Header().Get("Location"); w.Code != http.StatusSeeOther || !strings.HasPrefix(at, "/sign-in") || strings.Contains(w.Body.String(), "theirs") {
			t.Errorf("%s answers a stranger with %d, %s", r.pattern, w.Code, at)
		}
		htmx := h.ask(method, path, nil, nil, func(r *http.Request) {
			r.Header.Set("HX-Request", "true")
			r.Header.Set("HX-Current-URL", "http://example.com/fabrics/1/?after=3")
		})
		if at := htmx.Header().Get("HX-Redirect"); htmx.Code != http.StatusUnauthorized || at != "/sign-in?next=%2Ffabrics%2F1%2F%3Fafter%3D3" {
			t.Errorf("%s answers htmx with %d, %s", r.pattern, htmx.Code, at)
		}
	}
	want := []string{"GET /healthz", "GET /readyz", "GET /assets/{name}", "GET /sign-in", "POST /sign-in"}
	if d := cmp.Diff(want, public); d != "" {
		t.Errorf("public (-want +got):\n%s", d)
	}
}

// TestEveryPage visits each route as each role (S17, S18, S25, S26): no fault,
// nothing of a fabric that somebody may not see, and whatever an object holds
// is text.
func TestEveryPage(t *testing.T) {
	h := newHouse(t)
	for _, name := range []string{"admin", "operator", "viewer"} {
		session := h.session(name)
		for _, r := range h.table() {
			method, path := h.example(r.pattern, "theirs")
			if method != http.MethodGet || r.pattern == "GET /events" || r.pattern == "GET /assets/{name}" {
				continue
			}
			w := h.ask(method, path, session, nil)
			want := http.StatusOK
			switch r.pattern {
			case "/":
				want = http.StatusOK // of the pattern itself, which is the home page
			case "GET /sign-in":
				want = http.StatusSeeOther
			}
			if w.Code != want {
				t.Errorf("%s: %s answers %d:\n%s", name, path, w.Code, w.Body)
			}
			body := w.Body.String()
			for _, bad := range []string{"<script src=//", "<img src=x", `href="javascript:`, "onerror=alert(1)>"} {
				if strings.Contains(body, bad) {
					t.Errorf("%s: %s holds %s", name, path, bad)
				}
			}
			if strings.Contains(body, `"text": "`) && !strings.Contains(body, "&lt;script") {
				t.Errorf("%s: %s does not show the payload", name, path)
			}
			if !strings.Contains(r.pattern, "{fabric}") {
				if sees := strings.Contains(body, "other"); strings.HasPrefix(r.pattern, "GET /{$}") && sees != (name == "admin") {
					t.Errorf("%s sees the other fabric: %v", name, sees)
				}
				continue
			}
			_, foreign := h.example(r.pattern, "other")
			w = h.ask(method, foreign, session, nil)
			none := h.ask(method, strings.Replace(foreign, fmt.Sprintf("/fabrics/%d/", h.fabrics["other"].ID), "/fabrics/999/", 1), session, nil)
			if name == "admin" {
				if w.Code != http.StatusOK || none.Code != http.StatusNotFound {
					t.Errorf("%s: %s answers %d, and %d where there is none", name, foreign, w.Code, none.Code)
				}
				continue
			}
			// What one may not see and what there is not are the same (S27).
			if w.Code != http.StatusNotFound || strings.ReplaceAll(w.Body.String(), formValue(w), "") != strings.ReplaceAll(none.Body.String(), formValue(none), "") {
				t.Errorf("%s: %s answers %d, not as where there is none:\n%s\n%s", name, foreign, w.Code, w.Body, none.Body)
			}
		}
	}
	// A run of another fabric is none of this one (S26).
	if w := h.ask(http.MethodGet, fmt.Sprintf("/fabrics/%d/runs/2", h.fabrics["theirs"].ID), h.session("viewer"), nil); w.Code != http.StatusNotFound {
		t.Errorf("another fabric's run: %d", w.Code)
	}
	for _, path := range []string{"/no/such/page", "/fabrics/1/none.example/", "/fabrics/1/devices.wiring.githedgehog.com/default/none", "/fabrics/x/", "/fabrics/1/runs/x"} {
		if w := h.ask(http.MethodGet, path, h.session("admin"), nil); w.Code != http.StatusNotFound {
			t.Errorf("%s answers %d", path, w.Code)
		}
	}
}

func formValue(w *httptest.ResponseRecorder) string {
	if m := formToken.FindStringSubmatch(w.Body.String()); m != nil {
		return m[1]
	}
	return "no token"
}

// TestForms sends every form that there is in every wrong way (S21); only the
// right one does something, and only for who may.
func TestForms(t *testing.T) {
	h := newHouse(t)
	var forms []string
	for _, r := range h.table() {
		if strings.HasPrefix(r.pattern, "POST ") {
			forms = append(forms, r.pattern)
		}
	}
	if d := cmp.Diff([]string{"POST /sign-in", "POST /sign-out", "POST /fabrics/{fabric}/sync/{$}"}, forms); d != "" {
		t.Errorf("forms (-want +got):\n%s", d)
	}
	session, other := h.session("operator"), h.session("operator")
	right := h.token(session)
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	for _, f := range forms {
		_, path := h.example(f, "theirs")
		for what, change := range map[string][]func(*http.Request){
			"a form of another site":    {header("Sec-Fetch-Site", "cross-site"), header("Origin", "https://evil.example")},
			"a sibling's":               {header("Sec-Fetch-Site", "same-site"), header("Origin", "https://sub.example.com")},
			"an old browser's":          {header("Sec-Fetch-Site", ""), header("Origin", "https://evil.example")},
			"a sandbox's":               {header("Sec-Fetch-Site", ""), header("Origin", "null")},
			"as text, to need no leave": {header("Sec-Fetch-Site", "cross-site"), header("Content-Type", "text/plain")},
		} {
			if w := h.ask(http.MethodPost, path, session, url.Values{"token": {right}, "name": {"operator"}, "password": {password}}, change...); w.Code != http.StatusForbidden || len(w.Result().Cookies()) > 0 {
				t.Errorf("%s, %s: %d", f, what, w.Code)
			}
		}
		if f == "POST /sign-in" {
			continue
		}
		for what, token := range map[string]string{"no token": "", "another session's": h.token(other), "nonsense": "%%%", "cut": right[:20]} {
			if w := h.ask(http.MethodPost, path, session, url.Values{"token": {token}}); w.Code != http.StatusForbidden {
				t.Errorf("%s, %s: %d", f, what, w.Code)
			}
		}
		if w := h.ask(http.MethodGet, path+"?token="+right+"&_method=POST", session, nil, header("X-HTTP-Method-Override", "POST")); w.Code == http.StatusOK || w.Code == http.StatusSeeOther {
			t.Errorf("%s by GET: %d", f, w.Code)
		}
	}
	if len(h.asked) > 0 {
		t.Errorf("asked for: %q", h.asked)
	}
	sync := fmt.Sprintf("/fabrics/%d/sync/", h.fabrics["theirs"].ID)
	if w := h.ask(http.MethodPost, sync, session, url.Values{"token": {right}}); w.Code != http.StatusSeeOther || w.Header().Get("Location") != fmt.Sprintf("/fabrics/%d/?after=1", h.fabrics["theirs"].ID) {
		t.Errorf("the right one: %d to %s", w.Code, w.Header().Get("Location"))
	}
	h.newest.Outcome = hedgerow.Running // which meets the request: its end is what was asked for
	if w := h.ask(http.MethodPost, sync, session, url.Values{"token": {right}}); w.Header().Get("Location") != fmt.Sprintf("/fabrics/%d/?after=0", h.fabrics["theirs"].ID) {
		t.Errorf("while a pass is under way: to %s", w.Header().Get("Location"))
	}
	h.asked = h.asked[:1]
	viewer := h.session("viewer")
	if w := h.ask(http.MethodPost, sync, viewer, url.Values{"token": {h.token(viewer)}}); w.Code != http.StatusForbidden {
		t.Errorf("a viewer: %d", w.Code)
	}
	if w := h.ask(http.MethodPost, fmt.Sprintf("/fabrics/%d/sync/", h.fabrics["other"].ID), session, url.Values{"token": {right}}); w.Code != http.StatusNotFound {
		t.Errorf("of a fabric that is not theirs: %d", w.Code)
	}
	if d := cmp.Diff([]string{fmt.Sprintf("%d by operator", h.fabrics["theirs"].ID)}, h.asked); d != "" {
		t.Errorf("asked for (-want +got):\n%s", d)
	}
	if w := h.ask(http.MethodPost, "/sign-out", session, url.Values{"token": {right}}); w.Code != http.StatusSeeOther {
		t.Errorf("sign-out: %d", w.Code)
	}
	if w := h.ask(http.MethodGet, "/", session, nil); w.Code != http.StatusSeeOther {
		t.Errorf("after the sign-out: %d", w.Code)
	}
}

// TestSignIn: the answers, whoever it is (S19), the cookie, and that a sign-in
// ends the session before it (S22).
func TestSignIn(t *testing.T) {
	h := newHouse(t)
	try := func(name, pass, next string, session *http.Cookie) *httptest.ResponseRecorder {
		return h.ask(http.MethodPost, "/sign-in", session, url.Values{"name": {name}, "password": {pass}, "next": {next}})
	}
	unknown, wrong := try("nobody", "not it at all", "", nil), try("admin", "not it at all", "", nil)
	if unknown.Code != http.StatusUnauthorized || strings.ReplaceAll(unknown.Body.String(), "nobody", "admin") != wrong.Body.String() {
		t.Errorf("an unknown user is told otherwise: %d\n%s\n%s", unknown.Code, unknown.Body, wrong.Body)
	}
	if w := h.ask(http.MethodGet, "/sign-in?err=Your+account+is+locked&message=x&error=Call+555", nil, nil); strings.Contains(w.Body.String(), "locked") || strings.Contains(w.Body.String(), "555") {
		t.Errorf("a link puts words on the page:\n%s", w.Body)
	}
	old := h.session("admin")
	w := try("admin", password, "/fabrics/1/", old)
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/fabrics/1/" {
		t.Fatalf("%d to %s", w.Code, w.Header().Get("Location"))
	}
	c := w.Result().Cookies()[0]
	if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Value == old.Value {
		t.Errorf("cookie %+v", c)
	}
	if w := h.ask(http.MethodGet, "/", old, nil); w.Code != http.StatusSeeOther {
		t.Error("the session before the sign-in goes on")
	}
	if w := h.ask(http.MethodGet, "/", c, nil); w.Code != http.StatusOK {
		t.Errorf("the new session: %d", w.Code)
	}
}

// TestLocalPath: a sign-in leads nowhere but to pages of ours (S20).
func TestLocalPath(t *testing.T) {
	for _, ok := range []string{"/", "/fabrics/1/", "/fabrics/1/?after=3", "/search?q=%2F%2Fevil", "/fabrics/1/x.y/-/a%2Fb"} {
		if got := localPath(ok); got != ok {
			t.Errorf("%q leads to %q", ok, got)
		}
	}
	for _, bad := range []string{
		"", "evil.example", "//evil.example", "///evil.example", "////evil.example", "/\\evil.example", "\\/evil.example", "\\\\evil.example", "/\\/evil.example",
		"http://evil.example", "https://evil.example", "HTTPS://evil.example", "https:evil.example", "https:/evil.example", "http:\\\\evil.example",
		"javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "vbscript:x", "file:///etc/passwd", "ftp://evil.example",
		"\t//evil.example", "/\t/evil.example", "/\n/evil.example", "/\r/evil.example", "/\x00/evil.example", " //evil.example", " /fabrics", "\x0b/x", "/a\x7fb",
		"/%zz", "/sign-in", "/sign-in?next=/sign-in", "//user@evil.example", "//evil.example:80/", "//[::1]/", "/..//evil\\", ".", "..", "../x", "?next=//evil", "#//evil", "@evil.example", "evil.example/..",
	} {
		if got := localPath(bad); got != "/" {
			t.Errorf("%q leads to %q", bad, got)
		}
	}
}

// TestUnchanged: a page that has not changed is not sent again, though its form
// token is another.
func TestUnchanged(t *testing.T) {
	h := newHouse(t)
	session := h.session("admin")
	path := fmt.Sprintf("/fabrics/%d/runs/1", h.fabrics["theirs"].ID)
	h.Now = func() time.Time { return time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC) }
	first := h.ask(http.MethodGet, path, session, nil)
	tag := first.Header().Get("ETag")
	again := h.ask(http.MethodGet, path, session, nil, func(r *http.Request) { r.Header.Set("If-None-Match", tag) })
	if tag == "" || again.Code != http.StatusNotModified || again.Body.Len() > 0 {
		t.Errorf("ETag %q, then %d with %d bytes", tag, again.Code, again.Body.Len())
	}
	if formValue(first) == h.token(session) {
		t.Error("the form token is the same in two pages")
	}
	if p := first.Header().Get("Content-Security-Policy"); !strings.Contains(p, "script-src 'self';") || strings.Contains(p, "unsafe") {
		t.Errorf("policy %q", p)
	}
	body := first.Body.String()
	if inline := regexp.MustCompile(`<[^>]* (style|on[a-z]+)=|<style|href="javascript:|<script>`).FindString(body); inline != "" {
		t.Errorf("the page has something inline: %s", inline)
	}
}

// TestExport: what a spreadsheet would run is text (S35), and a name cannot
// break a header.
func TestExport(t *testing.T) {
	h := newHouse(t)
	session := h.session("viewer")
	path := fmt.Sprintf("/fabrics/%d/devices.wiring.githedgehog.com/", h.fabrics["theirs"].ID)
	w := h.ask(http.MethodGet, path+"?format=csv", session, nil)
	rows, err := csv.NewReader(w.Body).ReadAll()
	if err != nil || len(rows) != 2 || rows[1][0] != "default" || rows[1][1] != payload || w.Header().Get("Content-Disposition") != `attachment; filename="theirs-devices.csv"` {
		t.Errorf("%v, %q, %v", err, rows, w.Header())
	}
	w = h.ask(http.MethodGet, path+"?format=yaml&q=SCRIPT", session, nil)
	if !strings.HasPrefix(w.Body.String(), "apiVersion: wiring.githedgehog.com/v1beta1\nkind: Device\n") {
		t.Errorf("%s", w.Body)
	}
	if w := h.ask(http.MethodGet, path+"?format=exe", session, nil); w.Code != http.StatusBadRequest {
		t.Errorf("as exe: %d", w.Code)
	}
	for cell, want := range map[string]string{
		"": "", "leaf-01": "leaf-01", "=cmd|' /C calc'!A0": "'=cmd|' /C calc'!A0", "+1": "'+1", "-2+3": "'-2+3", "@SUM(A1)": "'@SUM(A1)", "\t=1": "'\t=1", "\r=1": "'\r=1", "a=1": "a=1",
	} {
		if got := inert(cell); got != want {
			t.Errorf("%q becomes %q, want %q", cell, got, want)
		}
	}
	if got := fileName("a\"b\r\nX: y/../ü"); got != "a_b__X__y_______" && strings.ContainsAny(got, "\"\r\n/:.") {
		t.Errorf("file %q", got)
	}
}

// TestTyped: what is no text, or too long, is refused before the record is
// asked, also for who is not signed in.
func TestTyped(t *testing.T) {
	h := newHouse(t)
	session := h.session("viewer")
	for _, path := range []string{"/search?q=%00", "/search?q=" + strings.Repeat("x", 501), "/fabrics/1/devices.wiring.githedgehog.com/?after=%00/x"} {
		if w := h.ask(http.MethodGet, path, session, nil); w.Code != http.StatusBadRequest {
			t.Errorf("%.40s answers %d", path, w.Code)
		}
	}
	if w := h.ask(http.MethodPost, "/sign-in", nil, url.Values{"name": {"\x00"}, "password": {"x"}}); w.Code != http.StatusUnauthorized {
		t.Errorf("a name that is no text: %d", w.Code)
	}
	// Another session's page is another page, though only its form token is.
	first := h.ask(http.MethodGet, "/search?q=nothing", session, nil)
	again := h.ask(http.MethodGet, "/search?q=nothing", h.session("viewer"), nil, func(r *http.Request) { r.Header.Set("If-None-Match", first.Header().Get("ETag")) })
	if again.Code != http.StatusOK {
		t.Errorf("a page of another session answers %d", again.Code)
	}
}

func TestAsked(t *testing.T) {
	running, ended := hedgerow.Run{ID: 7, Outcome: hedgerow.Running}, hedgerow.Run{ID: 7, Outcome: hedgerow.RunComplete}
	for _, tc := range []struct {
		after    int64
		newest   []hedgerow.Run
		schedule string
		want     string
		done     bool
	}{
		{6, []hedgerow.Run{running}, "waiting", "Run 7 is reading the cluster.", false},
		{6, []hedgerow.Run{ended}, "waiting", "Run 7 read 0 objects in 0 ms: nothing had changed.", true},
		{7, []hedgerow.Run{ended}, "waiting", "Your request is queued and waits for a worker.", false},
		{0, nil, "unkept", "Your request is queued, but no process is there to take it up: is hedgerow serve running with workers?", false},
	} {
		for i := range tc.newest {
			tc.newest[i].FinishedAt = tc.newest[i].StartedAt.Add(time.Microsecond)
		}
		if got, done := asked(tc.after, tc.newest, tc.schedule); got != tc.want || done != tc.done {
			t.Errorf("%+v: %q, %v", tc, got, done)
		}
	}
}
