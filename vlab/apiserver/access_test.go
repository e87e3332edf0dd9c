package apiserver_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"hedgerow/vlab/apiserver"
)

const users = `
- name: admin
  token: t-admin
  rules: [{verbs: ["*"], groups: ["*"], resources: ["*"]}]
- name: reader
  token: t-reader
  rules:
  - {verbs: [get, list, watch], groups: [test.vlab], resources: [widgets]}
  - {verbs: [list], groups: [""], resources: [namespaces]}
- name: inside
  token: t-inside
  rules: [{verbs: [list], groups: [test.vlab], resources: [widgets], namespaces: [default]}]
- name: status
  token: t-status
  rules: [{verbs: [patch], groups: [test.vlab], resources: [widgets/status]}]
- name: gone
  token: t-gone
  expires: 2020-01-01T00:00:00Z
  rules: [{verbs: ["*"], groups: ["*"], resources: ["*"]}]
- name: short
  token: t-short
  expires: %EXPIRES%
  rules: [{verbs: ["*"], groups: ["*"], resources: ["*"]}]
`

func usersFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "users.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestRules(t *testing.T) {
	t.Parallel()
	l := start(t, apiserver.Options{Tokens: usersFile(t, strings.Replace(users, "%EXPIRES%", "1h", 1))})
	l.want(http.StatusCreated, request{method: "POST", path: collection, body: widget("w", "")})
	const everywhere = "/apis/test.vlab/v1/widgets"
	status := request{user: "status", method: "PATCH", path: collection + "/w/status", contentType: "application/merge-patch+json", body: `{"status":{"phase":"Up"}}`}
	whole := status
	whole.path = collection + "/w"
	for _, test := range []struct {
		name string
		code int
		request
	}{
		{"a list that is open", 200, request{user: "reader", path: everywhere}},
		{"a kind that is not", 403, request{user: "reader", path: "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"}},
		{"a verb that is not", 403, request{user: "reader", method: "DELETE", path: collection + "/w"}},
		{"the core group", 200, request{user: "reader", path: "/api/v1/namespaces"}},
		{"inside the namespace", 200, request{user: "inside", path: collection}},
		{"across namespaces", 403, request{user: "inside", path: everywhere}},
		{"the subresource", 200, status},
		{"the object itself", 403, whole},
		{"discovery", 200, request{user: "status", path: "/apis/test.vlab/v1"}},
		{"version", 200, request{user: "status", path: "/version"}},
		{"metrics", 403, request{user: "status", path: "/metrics"}},
		{"metrics for admin", 200, request{path: "/metrics"}},
		{"expired", 401, request{user: "gone", path: collection}},
		{"not yet expired", 200, request{user: "short", path: collection}},
		{"no token", 401, request{user: "nobody", path: collection}},
		{"no token, version", 401, request{user: "nobody", path: "/version"}},
		{"no token, health", 200, request{user: "nobody", path: "/readyz"}},
	} {
		if got := l.ask(test.request); got.code != test.code {
			t.Errorf("%s: got %d, want %d: %s", test.name, got.code, test.code, got.body)
		}
	}
	forbidden := decode(t, l.ask(request{user: "reader", method: "DELETE", path: collection + "/w"}).body)
	const want = `widgets.test.vlab "w" is forbidden: User "reader" cannot delete resource "widgets" in API group "test.vlab" in the namespace "default"`
	if forbidden["kind"] != "Status" || forbidden["reason"] != "Forbidden" || forbidden["message"] != want {
		t.Errorf("got %v, want message %s", forbidden, want)
	}
}

func TestAccessReviews(t *testing.T) {
	t.Parallel()
	l := start(t, apiserver.Options{Tokens: usersFile(t, strings.Replace(users, "%EXPIRES%", "1h", 1))})
	const path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
	for _, test := range []struct {
		user, attributes string
		want             bool
	}{
		{"reader", `"resourceAttributes":{"verb":"list","group":"test.vlab","resource":"widgets"}`, true},
		{"reader", `"resourceAttributes":{"verb":"create","group":"test.vlab","resource":"widgets"}`, false},
		{"inside", `"resourceAttributes":{"verb":"list","group":"test.vlab","resource":"widgets"}`, false},
		{"inside", `"resourceAttributes":{"verb":"list","group":"test.vlab","resource":"widgets","namespace":"default"}`, true},
		{"status", `"resourceAttributes":{"verb":"patch","group":"test.vlab","resource":"widgets","subresource":"status"}`, true},
		{"status", `"nonResourceAttributes":{"verb":"get","path":"/version"}`, true},
		{"admin", `"resourceAttributes":{"verb":"*","group":"*","resource":"*"}`, true},
	} {
		body := `{"apiVersion":"authorization.k8s.io/v1","kind":"SelfSubjectAccessReview","spec":{` + test.attributes + `}}`
		answer := decode(t, l.want(http.StatusCreated, request{user: test.user, method: "POST", path: path, body: body}).body)
		if got := dig(answer, "status", "allowed"); got != test.want {
			t.Errorf("%s %s: allowed %v, want %v", test.user, test.attributes, got, test.want)
		}
	}
	l.want(http.StatusBadRequest, request{method: "POST", path: path, body: `{"apiVersion":"authorization.k8s.io/v1","kind":"SelfSubjectAccessReview","spec":{}}`})
	rules := l.want(http.StatusCreated, request{
		user: "reader", method: "POST", path: "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
		body: `{"apiVersion":"authorization.k8s.io/v1","kind":"SelfSubjectRulesReview","spec":{"namespace":"default"}}`,
	})
	if !strings.Contains(rules.body, `"resources":["widgets"]`) {
		t.Errorf("the rules of reader: %s", rules.body)
	}
}

func TestTokenExpires(t *testing.T) {
	t.Parallel()
	l := start(t, apiserver.Options{Tokens: usersFile(t, strings.Replace(users, "%EXPIRES%", "15s", 1))})
	q := request{user: "short", path: "/version"}
	l.want(http.StatusOK, q)
	l.eventually(http.StatusUnauthorized, q)
}

// logBuffer is a log that may be read while it is written.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestRulesChangeWhileRunning(t *testing.T) {
	t.Parallel()
	text := strings.Replace(users, "%EXPIRES%", "1h", 1)
	file := usersFile(t, text)
	var log logBuffer
	l := start(t, apiserver.Options{Tokens: file, Log: slog.New(slog.NewTextHandler(&log, nil))})
	q := request{user: "reader", path: "/apis/test.vlab/v1/widgets"}
	l.want(http.StatusOK, q)

	edit := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	edit(strings.Replace(text, "resources: [widgets]}\n  - {verbs: [list], groups", "resources: [gadgets]}\n  - {verbs: [list], groups", 1))
	l.eventually(http.StatusForbidden, q)

	edit(strings.Replace(text, "verbs: [get, list, watch]", "verbs: [look]", 1))
	waitFor(t, func() bool {
		return strings.Contains(log.String(), "unknown verb") && strings.Contains(log.String(), file+":5")
	})
	l.want(http.StatusForbidden, q) // the last good rules

	edit(text)
	l.eventually(http.StatusOK, q)
}
