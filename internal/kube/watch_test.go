package kube

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"hedgerow"
	"hedgerow/internal/kinds"
	"hedgerow/internal/manifest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var widgets = hedgerow.Kind{Group: "wiring.githedgehog.com", Version: "v1beta1", Kind: "Widget", Plural: "widgets", Namespaced: true}

const token = "s3cret-token-of-ours"

// server answers over TLS and HTTP/2, with whatever it is told to write.
func server(t *testing.T, answer http.HandlerFunc) *Client {
	t.Helper()
	s := httptest.NewUnstartedServer(answer)
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	return client(t, s.URL)
}

func client(t *testing.T, url string) *Client {
	t.Helper()
	policy := hedgerow.DefaultPolicy
	policy.QPS, policy.Burst = 1000, 1000
	c, err := New(hedgerow.Cluster{Server: url, Insecure: true}, Credential{Token: hedgerow.NewSecret([]byte(token))}, Options{Policy: policy, Mask: manifest.NewMask([]byte("key"))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// says writes a stream and ends it.
func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
}

// cuts writes a part of a stream and breaks the connection.
func cuts(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, text)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

// told is what a watch told, one line an event.
func told(c *Client, k hedgerow.Kind) (lines []string, err error) {
	err = c.Watch(context.Background(), k, "7", func(s hedgerow.Sighting, problem error) error {
		what := "changed"
		switch {
		case s.Name == "":
			what = "bookmark"
		case problem != nil:
			what = "problem: " + problem.Error()
		case s.Deleted:
			what = "deleted"
		}
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", s.ResourceVersion, s.Name, s.UID, what)))
		return nil
	})
	return lines, err
}

func event(typ, name, version, spec string) string {
	return fmt.Sprintf(`{"type":%q,"object":{"apiVersion":"wiring.githedgehog.com/v1beta1","kind":"Widget","metadata":{"name":%q,"namespace":"default","uid":"u-%s","resourceVersion":%q},"spec":%s}}`+"\n",
		typ, name, name, version, spec)
}

func TestWatch(t *testing.T) {
	added, bookmark := event("ADDED", "a", "8", `{}`), `{"type":"BOOKMARK","object":{"kind":"Widget","metadata":{"resourceVersion":"90"}}}`+"\n"
	for name, tc := range map[string]struct {
		answer http.HandlerFunc
		want   []string // after the beginning
		code   hedgerow.Code
		says   string
	}{
		"events": {
			answer: says(added + event("MODIFIED", "a", "9", `{"x":1}`) + bookmark + event("DELETED", "a", "91", `{}`)),
			want:   []string{"8 a u-a changed", "9 a u-a changed", "90   bookmark", "91 a u-a deleted"},
		},
		"no lines":         {answer: says(strings.ReplaceAll(added+added, "\n", "")), want: []string{"8 a u-a changed", "8 a u-a changed"}},
		"members in order": {answer: says(`{"object":{"metadata":{"name":"a","uid":"u","resourceVersion":"8"}},"more":[1],"type":"ADDED"}`), want: []string{"8 a u changed"}},
		"nothing":          {answer: says("")},
		"white space":      {answer: says(" \n\n ")},
		"cut in an event":  {answer: cuts(added + added[:60]), want: []string{"8 a u-a changed"}, code: hedgerow.CodeCut},
		"cut between":      {answer: cuts(added), want: []string{"8 a u-a changed"}, code: hedgerow.CodeCut},
		"half an event":    {answer: says(added + added[:60]), want: []string{"8 a u-a changed"}, code: hedgerow.CodeCut},
		"garbage":          {answer: says(added + "<html>sign in</html>"), want: []string{"8 a u-a changed"}, code: hedgerow.CodeGarbage, says: "not valid JSON"},
		"no event":         {answer: says(`[1]`), code: hedgerow.CodeGarbage, says: "not an event"},
		"no type":          {answer: says(`{"object":{}}`), code: hedgerow.CodeGarbage, says: "not an event"},
		"no object":        {answer: says(`{"type":"ADDED"}`), code: hedgerow.CodeGarbage, says: "not an event"},
		"another type":     {answer: says(`{"type":"` + strings.Repeat("X", 10000) + `","object":{}}`), code: hedgerow.CodeGarbage, says: "XXXX…"},
		"no name":          {answer: says(`{"type":"ADDED","object":{"metadata":{"resourceVersion":"8"}}}`), code: hedgerow.CodeGarbage, says: "no metadata.name"},
		"null":             {answer: says(`{"type":"DELETED","object":null}`), code: hedgerow.CodeGarbage},
		"bookmark of none": {answer: says(`{"type":"BOOKMARK","object":{}}`), code: hedgerow.CodeGarbage, says: "no resourceVersion"},
		"unreadable object": {
			answer: says(`{"type":"ADDED","object":{"kind":"Gadget","metadata":{"name":"a","uid":"u","resourceVersion":"8"}}}` + added),
			want:   []string{`8 a u problem: Widget a: it says that its kind is "Gadget"`, "8 a u-a changed"},
		},
		"oversized":      {answer: says(event("ADDED", "a", "8", `"`+strings.Repeat("x", maxEvent+1<<20)+`"`)), code: hedgerow.CodeTooLarge, says: "MiB"},
		"large":          {answer: says(strings.Repeat(event("ADDED", "a", "8", `"`+strings.Repeat("x", manifest.MaxObject-1000)+`"`), 3)), want: []string{"8 a u-a changed", "8 a u-a changed", "8 a u-a changed"}},
		"expired":        {answer: says(added + `{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"too old resource version"}}`), want: []string{"8 a u-a changed"}, code: hedgerow.CodeExpired, says: "410"},
		"error":          {answer: says(`{"type":"ERROR","object":{"kind":"Status","code":500,"message":"etcd is away; ` + token + `"}}`), code: hedgerow.CodeServer, says: "etcd is away; "},
		"error of none":  {answer: says(`{"type":"ERROR","object":17}`), code: hedgerow.CodeGarbage},
		"410":            {answer: status(410, "gone"), code: hedgerow.CodeExpired, says: "410"},
		"401":            {answer: status(401, "no"), code: hedgerow.CodeUnauthorized},
		"403":            {answer: status(403, "no; "+token), code: hedgerow.CodeForbidden, says: "no; "},
		"404":            {answer: status(404, "no"), code: hedgerow.CodeNotServed},
		"429":            {answer: status(429, "slow down"), code: hedgerow.CodeThrottled},
		"500":            {answer: status(500, "no"), code: hedgerow.CodeServer},
		"504":            {answer: status(504, "Too large resource version"), code: hedgerow.CodeServer},
		"redirect":       {answer: redirect, code: hedgerow.CodeGarbage, says: "redirect"},
		"resets at once": {answer: cuts(""), code: hedgerow.CodeCut},
	} {
		t.Run(name, func(t *testing.T) {
			c := server(t, tc.answer)
			lines, err := told(c, widgets)
			var want []string
			if len(tc.want) > 0 || err == nil || len(lines) > 0 { // the server had agreed to stream
				want = append(want, "7   bookmark")
			}
			if d := cmp.Diff(append(want, tc.want...), lines); d != "" {
				t.Errorf("told (-want +got):\n%s", d)
			}
			if (err == nil) != (tc.code == "") || err != nil && (hedgerow.CodeOf(err) != tc.code || !strings.Contains(err.Error(), tc.says)) {
				t.Errorf("error %v (%s), want %s with %q", err, hedgerow.CodeOf(err), tc.code, tc.says)
			}
			if err != nil && (strings.Contains(err.Error()+hedgerow.HintOf(err), token) || len(err.Error()) > maxSentence+10 || strings.Contains(err.Error(), "pages")) {
				t.Errorf("error says too much: %v", err)
			}
		})
	}
}

func status(code int, message string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		fmt.Fprintf(w, `{"kind":"Status","code":%d,"message":%q}`, code, message)
	}
}

// S7: a redirect would carry our token to another place.
func redirect(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/elsewhere" {
		panic("followed")
	}
	http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
}

// TestWatchAsks: what is asked for, and by whom.
func TestWatchAsks(t *testing.T) {
	var got string
	c := server(t, func(_ http.ResponseWriter, r *http.Request) {
		got = fmt.Sprint(r.Proto, " ", r.URL.Path, "?", r.URL.RawQuery, " ", r.Header.Get("Authorization"), " ", r.Header.Get("Accept"))
	})
	if _, err := told(c, widgets); err != nil {
		t.Fatal(err)
	}
	want := "HTTP/2.0 /apis/wiring.githedgehog.com/v1beta1/widgets?allowWatchBookmarks=true&resourceVersion=7&timeoutSeconds=1500&watch=1 Bearer " + token + " application/json"
	if got != want {
		t.Errorf("asked %s\nwant  %s", got, want)
	}
}

// TestWatchProblem: what is wrong with an object is told without our secrets,
// and briefly: an object's own words have no limit.
func TestWatchProblem(t *testing.T) {
	c := server(t, says(`{"type":"ADDED","object":{"kind":"`+token+strings.Repeat("x", 100000)+`","metadata":{"name":"a","uid":"u","resourceVersion":"8"}}}`))
	lines, err := told(c, widgets)
	if err != nil || len(lines) != 2 {
		t.Fatalf("%d lines, error %v", len(lines), err)
	}
	if strings.Contains(lines[1], token) || len(lines[1]) > maxSentence+100 {
		t.Errorf("%d bytes: %.200s", len(lines[1]), lines[1])
	}
}

// TestWatchAgents: of kinds that are allow-listed nothing else leaves a watch.
func TestWatchAgents(t *testing.T) {
	k := kinds.Merge(hedgerow.Kind{Group: kinds.Agents.Group, Version: "v1beta1", Kind: kinds.Agents.Kind, Plural: "agents", Namespaced: true})
	if !k.Rule.AllowListed() {
		t.Fatal("agents are not allow-listed")
	}
	c := server(t, says(fmt.Sprintf(`{"type":"MODIFIED","object":{"kind":%q,"metadata":{"name":"a","uid":"u","resourceVersion":"8"},
		"spec":{"users":{"admin":{"password":"hunter22"}}},"status":{"version":"v1","lastHeartbeat":"now"}}}`, k.Kind)))
	var seen []hedgerow.Sighting
	if err := c.Watch(t.Context(), k, "7", func(s hedgerow.Sighting, problem error) error {
		seen = append(seen, s)
		return problem
	}); err != nil {
		t.Fatal(err)
	}
	content, vitals := string(seen[1].Content), string(seen[1].Vitals)
	if strings.Contains(content+vitals, "hunter22") || strings.Contains(content, "now") || !strings.Contains(content, "v1") || !strings.Contains(vitals, "now") {
		t.Errorf("content %s\nvitals %s", content, vitals)
	}
}

// TestWatchShared: the watches of one cluster share a connection, and do not
// wait for each other.
func TestWatchShared(t *testing.T) {
	const watches = 22
	var connections atomic.Int64
	var all sync.WaitGroup
	all.Add(watches)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/apis" {
			return
		}
		_, _ = io.WriteString(w, event("ADDED", "a", "8", "{}"))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	s.EnableHTTP2 = true
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	s.StartTLS()
	defer s.Close()
	c := client(t, s.URL)
	if err := c.Probe(t.Context()); err != nil { // and so it is connected
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var ended sync.WaitGroup
	for i := range watches {
		ended.Go(func() {
			k := widgets
			k.Plural = fmt.Sprint("w", i)
			err := c.Watch(ctx, k, "7", func(s hedgerow.Sighting, _ error) error {
				if s.Name != "" {
					all.Done()
				}
				return nil
			})
			if hedgerow.CodeOf(err) != hedgerow.CodeInterrupted {
				t.Errorf("watch ended: %v", err)
			}
		})
	}
	all.Wait()
	cancel()
	ended.Wait()
	if n := connections.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// TestWatchStops: an error of who listens ends the watch with it.
func TestWatchStops(t *testing.T) {
	c := server(t, says(strings.Repeat(event("ADDED", "a", "8", "{}"), 100)))
	n := 0
	err := c.Watch(t.Context(), widgets, "7", func(hedgerow.Sighting, error) error {
		if n++; n == 3 {
			return hedgerow.Errorf(hedgerow.CodeStore, "enough")
		}
		return nil
	})
	if n != 3 || hedgerow.CodeOf(err) != hedgerow.CodeStore {
		t.Errorf("%d events, error %v", n, err)
	}
}

// TestWatchQuiet: a watch that says nothing for long ends without an error,
// also when it spoke before; a server that never answers is an error.
func TestWatchQuiet(t *testing.T) {
	for _, tc := range []struct {
		name, head string
		want       int
		code       hedgerow.Code
	}{
		{"agreed", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 1, ""},
		{"spoke", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(event("ADDED", "a", "8", "{}")), 2, ""},
		{"silent", "", 0, hedgerow.CodeTimeout},
		{"refused, and said no more", "HTTP/1.1 500 No\r\nContent-Length: 100\r\n\r\n", 0, hedgerow.CodeServer},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				// The wire is a pipe, for only the waits on those let the
				// bubble's time go by; our client and what it reads are real.
				ours, theirs := net.Pipe()
				c := client(t, "http://cluster")
				c.tr.DialContext = func(context.Context, string, string) (net.Conn, error) { return ours, nil }
				done := make(chan struct{})
				go func() {
					defer close(done)
					defer theirs.Close()
					if _, err := http.ReadRequest(bufio.NewReader(theirs)); err != nil {
						t.Error(err)
					}
					_, _ = io.WriteString(theirs, tc.head)
					_, _ = io.Copy(io.Discard, theirs)
				}()
				lines, err := told(c, widgets)
				if len(lines) != tc.want || err == nil != (tc.code == "") || err != nil && hedgerow.CodeOf(err) != tc.code {
					t.Errorf("told %q, error %v", lines, err)
				}
				<-done
			})
		})
	}
}

func chunk(s string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(s), s) }

// FuzzEvent: no event makes the reader panic, or tells of an object without
// saying which.
func FuzzEvent(f *testing.F) {
	for _, s := range []string{
		event("ADDED", "a", "8", "{}"), event("DELETED", "a", "8", `{"x":[1,2]}`), `{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"9"}}}`,
		`{"type":"ERROR","object":{"code":410}}`, `{"type":"ADDED","type":"DELETED","object":{},"object":null}`, `{"object":1,"type":2}`, `[]`, `{`, `{"type":"\ud800","object":{"metadata":{"name":"\u0000"}}}`,
	} {
		f.Add([]byte(s))
	}
	c, err := New(hedgerow.Cluster{Server: "https://cluster"}, Credential{Token: hedgerow.NewSecret([]byte(token))}, Options{Policy: hedgerow.DefaultPolicy, Mask: manifest.NewMask([]byte("key"))})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, problem, err := c.event(b, manifest.NewReader(widgets, c.opt.Mask))
		if err != nil {
			if e := c.explain("watch", err); strings.Contains(e.Error(), token) {
				t.Errorf("secret told: %v", e)
			}
			return
		}
		if s.ResourceVersion == "" && problem != nil || s.Name != "" && problem == nil && s.Content == nil {
			t.Errorf("%+v, problem %v", s, problem)
		}
		_, _, _ = eventParts(slices.Clone(b))
	})
}
