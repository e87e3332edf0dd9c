package apiserver_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"hedgerow/vlab/apiserver"
	"hedgerow/vlab/load"
)

// The definition of the kind that these tests use: small, with validation, defaults, columns and a status.
const widgets = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.test.vlab}
spec:
  group: test.vlab
  scope: Namespaced
  names: {plural: widgets, singular: widget, kind: Widget, listKind: WidgetList, shortNames: [wg]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    additionalPrinterColumns:
    - {name: Size, type: integer, jsonPath: .spec.size}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              size: {type: integer, minimum: 1, default: 3}
          status:
            type: object
            properties: {phase: {type: string}}
`

const collection = "/apis/test.vlab/v1/namespaces/default/widgets"

// patience bounds every wait of these tests; it is only used up by a failure.
const patience = 30 * time.Second

// lab is a running server with the widget kind, and a way to ask it as one of its users, over TLS.
type lab struct {
	*apiserver.Server
	t    *testing.T
	http *http.Client
}

func start(t *testing.T, o apiserver.Options) *lab {
	t.Helper()
	if o.Data == "" {
		o.Data = t.TempDir()
	}
	s, err := apiserver.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.CA)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	l := &lab{Server: s, t: t, http: &http.Client{Transport: transport}}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := s.Stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	docs, err := load.Parse("widgets.yaml", []byte(widgets))
	if err != nil {
		t.Fatal(err)
	}
	if err := load.New(s.Client(), s.URL, t.Logf).CRDs(t.Context(), docs); err != nil {
		t.Fatal(err)
	}
	return l
}

// request describes one question to the server; zero values are admin, GET and JSON.
type request struct {
	user, method, path, accept, contentType, body string
}

type reply struct {
	code   int
	header http.Header
	body   string
}

func (l *lab) ask(q request) reply {
	l.t.Helper()
	r := l.open(l.t.Context(), q)
	defer func() { _ = r.Body.Close() }()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		l.t.Fatal(err)
	}
	return reply{r.StatusCode, r.Header, string(b)}
}

func (l *lab) open(ctx context.Context, q request) *http.Response {
	l.t.Helper()
	if q.user == "" {
		q.user = "admin"
	}
	if q.method == "" {
		q.method = http.MethodGet
	}
	if q.contentType == "" {
		q.contentType = "application/json"
	}
	r, err := http.NewRequestWithContext(ctx, q.method, l.URL+q.path, strings.NewReader(q.body))
	if err != nil {
		l.t.Fatal(err)
	}
	r.Header.Set("Content-Type", q.contentType)
	r.Header.Set("Accept", q.accept)
	for _, u := range l.Users() {
		if u.Name == q.user {
			r.Header.Set("Authorization", "Bearer "+u.Token)
		}
	}
	resp, err := l.http.Do(r)
	if err != nil {
		l.t.Fatal(err)
	}
	return resp
}

func (l *lab) want(code int, q request) reply {
	l.t.Helper()
	r := l.ask(q)
	if r.code != code {
		l.t.Fatalf("%+v: got %d, want %d\n%s", q, r.code, code, r.body)
	}
	return r
}

// eventually asks until the answer has the code.
func (l *lab) eventually(code int, q request) {
	l.t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		got := l.ask(q)
		if got.code == code {
			return
		}
		select {
		case <-deadline:
			l.t.Fatalf("%+v: still %d after %s, want %d", q, got.code, patience, code)
		case <-tick.C:
		}
	}
}

func widget(name, rest string) string {
	return fmt.Sprintf(`{"apiVersion":"test.vlab/v1","kind":"Widget","metadata":{"name":%q}%s}`, name, rest)
}

func decode(t *testing.T, s string) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(s), &m); err != nil {
		t.Fatalf("%v: %s", err, s)
	}
	return m
}

// dig follows keys into decoded JSON.
func dig(v any, keys ...string) any {
	for _, k := range keys {
		m, _ := v.(map[string]any)
		v = m[k]
	}
	return v
}

func TestRestartKeepsDataAndCertificates(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, err := apiserver.Start(t.Context(), apiserver.Options{Data: dir})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := apiserver.Start(t.Context(), apiserver.Options{Data: dir}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a second server on the same directory: got error %v, want one that says it is in use", err)
	}
	status, answer, err := first.Client().Do(t.Context(), "POST", "/api/v1/namespaces", []byte(`{"metadata":{"name":"kept"}}`))
	if err != nil || status != http.StatusCreated {
		t.Fatalf("make a namespace: %d %v %s", status, err, answer)
	}
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	second := start(t, apiserver.Options{Data: dir})
	second.want(http.StatusOK, request{path: "/api/v1/namespaces/kept"})
	if string(first.CA) != string(second.CA) {
		t.Error("the CA changed, so kubeconfigs are no longer valid")
	}
	if first.Users()[0].Token != second.Users()[0].Token {
		t.Error("the tokens changed")
	}
	info, err := os.Stat(filepath.Join(dir, "tokens.yaml"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("tokens.yaml: %v %v, want mode 0600", info, err)
	}
}

func TestStopLeavesNoGoroutineOfOurs(t *testing.T) {
	s, err := apiserver.Start(t.Context(), apiserver.Options{Data: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	stacks := make([]byte, 4<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	for _, g := range strings.Split(string(stacks), "\n\n") {
		// the tests themselves are in packages that end in _test
		if strings.Contains(strings.ReplaceAll(g, "hedgerow/vlab/apiserver_test", ""), "hedgerow/vlab/") && !strings.Contains(g, "testing.") {
			t.Errorf("still running:\n%s", g)
		}
	}
}

func TestDiscovery(t *testing.T) {
	t.Parallel()
	l := start(t, apiserver.Options{})
	legacy := l.want(http.StatusOK, request{path: "/apis"})
	if m := decode(t, legacy.body); m["kind"] != "APIGroupList" || !strings.Contains(legacy.body, `"test.vlab/v1"`) || !strings.Contains(legacy.body, `"authorization.k8s.io/v1"`) {
		t.Errorf("GET /apis: %s", legacy.body)
	}
	group := decode(t, l.want(http.StatusOK, request{path: "/apis/test.vlab"}).body)
	if dig(group, "preferredVersion", "version") != "v1" {
		t.Errorf("GET /apis/test.vlab: %v", group)
	}
	version := l.want(http.StatusOK, request{path: "/apis/test.vlab/v1"})
	for _, want := range []string{`"widgets"`, `"widgets/status"`, `"wg"`} {
		if !strings.Contains(version.body, want) {
			t.Errorf("GET /apis/test.vlab/v1 lacks %s: %s", want, version.body)
		}
	}
	aggregated := l.want(http.StatusOK, request{path: "/apis", accept: "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"})
	if m := decode(t, aggregated.body); m["kind"] != "APIGroupDiscoveryList" || !strings.Contains(aggregated.body, `"resource":"widgets"`) {
		t.Errorf("aggregated GET /apis: %s", aggregated.body)
	}
	if v := decode(t, l.want(http.StatusOK, request{path: "/version"}).body); v["gitVersion"] != apiserver.Version {
		t.Errorf("GET /version: %v", v)
	}
	l.want(http.StatusNotFound, request{path: "/apis/nothing.here"})
	// the schema arrives a moment after the kind
	l.eventually(http.StatusOK, request{path: "/openapi/v3/apis/test.vlab/v1"})

	l.want(http.StatusOK, request{method: "DELETE", path: "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.test.vlab"})
	l.eventually(http.StatusNotFound, request{path: collection})
	l.eventually(http.StatusNotFound, request{path: "/apis/test.vlab"})
}

func TestSchema(t *testing.T) {
	t.Parallel()
	l := start(t, apiserver.Options{})
	invalid := l.want(http.StatusUnprocessableEntity, request{method: "POST", path: collection, body: widget("w", `,"spec":{"size":0}`)})
	if m := decode(t, invalid.body); m["reason"] != "Invalid" || !strings.Contains(invalid.body, "spec.size") {
		t.Errorf("the refusal does not name the field: %s", invalid.body)
	}
	created := l.want(http.StatusCreated, request{method: "POST", path: collection + "?fieldValidation=Warn", body: widget("w", `,"spec":{"colour":"red"},"status":{"phase":"ignored"}`)})
	m := decode(t, created.body)
	if dig(m, "spec", "colour") != nil || dig(m, "spec", "size") != 3.0 || m["status"] != nil {
		t.Errorf("pruning, defaulting or the status subresource does not work: %s", created.body)
	}
	if w := created.header.Get("Warning"); !strings.Contains(w, "spec.colour") {
		t.Errorf("no warning of the pruned field: %q", w)
	}
	l.want(http.StatusOK, request{method: "PATCH", path: collection + "/w/status", contentType: "application/merge-patch+json", body: `{"status":{"phase":"Up"}}`})
	m = decode(t, l.want(http.StatusOK, request{path: collection + "/w"}).body)
	if dig(m, "status", "phase") != "Up" || dig(m, "metadata", "generation") != 1.0 {
		t.Errorf("after a status patch: %v", m)
	}
	l.want(http.StatusNotFound, request{method: "POST", path: "/apis/test.vlab/v1/namespaces/nowhere/widgets", body: widget("w", "")})
	table := decode(t, l.want(http.StatusOK, request{path: collection, accept: "application/json;as=Table;g=meta.k8s.io;v=v1"}).body)
	columns, _ := table["columnDefinitions"].([]any)
	if table["kind"] != "Table" || len(columns) != 2 || dig(columns[1], "name") != "Size" {
		t.Errorf("the table: %v", table)
	}
}

func TestApplyDryRun(t *testing.T) {
	t.Parallel()
	l := start(t, apiserver.Options{})
	apply := request{method: "PATCH", path: collection + "/w?fieldManager=test&dryRun=All", contentType: "application/apply-patch+yaml", body: widget("w", `,"spec":{"size":7}`)}
	m := decode(t, l.want(http.StatusCreated, apply).body)
	if dig(m, "spec", "size") != 7.0 {
		t.Errorf("the dry run answers %v", m)
	}
	l.want(http.StatusNotFound, request{path: collection + "/w"})

	apply.path = strings.TrimSuffix(apply.path, "&dryRun=All")
	l.want(http.StatusCreated, apply)
	l.want(http.StatusOK, apply)
	apply.path = strings.Replace(apply.path, "test", "other", 1)
	apply.path, apply.body = collection+"/w?fieldManager=other", widget("w", `,"spec":{"size":8}`)
	l.want(http.StatusConflict, apply)
	// namespaces have hand-made schemas, which apply needs as well
	l.want(http.StatusCreated, request{
		method: "PATCH", path: "/api/v1/namespaces/n?fieldManager=test", contentType: "application/apply-patch+yaml",
		body: `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"n","labels":{"a":"b"}}}`,
	})
}

func TestWatchWithBookmarks(t *testing.T) {
	t.Parallel()
	l := start(t, apiserver.Options{})
	l.want(http.StatusCreated, request{method: "POST", path: collection, body: widget("before", "")})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	resp := l.open(ctx, request{path: collection + "?watch=true&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"})
	defer func() { _ = resp.Body.Close() }()
	events := bufio.NewScanner(resp.Body)
	next := func() (kind, name string) {
		t.Helper()
		if !events.Scan() {
			t.Fatalf("the watch ended: %v", events.Err())
		}
		m := decode(t, events.Text())
		kind, _ = m["type"].(string)
		name, _ = dig(m, "object", "metadata", "name").(string)
		return kind, name
	}
	for _, want := range []string{"ADDED before", "BOOKMARK "} {
		kind, name := next()
		if got := kind + " " + name; got != want {
			t.Fatalf("got event %q, want %q", got, want)
		}
	}
	l.want(http.StatusCreated, request{method: "POST", path: collection, body: widget("after", "")})
	l.want(http.StatusOK, request{method: "DELETE", path: collection + "/before"})
	for _, want := range []string{"ADDED after", "DELETED before"} {
		kind, name := next()
		if got := kind + " " + name; got != want {
			t.Fatalf("got event %q, want %q", got, want)
		}
	}
}

// waitFor returns when the condition holds.
func waitFor(t *testing.T, condition func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-deadline:
			t.Fatal("gave up waiting")
		case <-tick.C:
		}
	}
}
