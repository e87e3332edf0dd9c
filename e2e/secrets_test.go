package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hedgerow/e2e/lab"
	"hedgerow/e2e/wire"
)

// canary is a secret that must not be seen. Each place has one of its own, so
// that a find says where it came from.
func canary(place string) string { return "canary+" + place + "/" + strings.Repeat("Zq7", 5) }

// forms are the ways in which a secret may be written.
func forms(secret string) []string {
	b := []byte(secret)
	j, _ := json.Marshal(secret) // a string
	all := []string{secret, strings.Trim(string(j), `"`), url.QueryEscape(secret), url.PathEscape(secret)}
	for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for before := range 3 { // wherever it stands among other bytes
			text := e.EncodeToString(append(make([]byte, before), b...))
			all = append(all, text[(before*8+5)/6:len(text)-1])
		}
	}
	return all
}

// hunt looks for secrets in everything that an installation has written, and
// in what its commands have printed.
func hunt(t *testing.T, h *lab.Hedgerow, printed map[string]string, secrets ...string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(h.Dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(file)
		files++
		printed["file "+d.Name()] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 2 { // the record and its key
		t.Fatalf("%s holds %d files", h.Dir, files)
	}
	for where, text := range printed {
		for _, s := range secrets {
			for _, form := range forms(s) {
				if i := strings.Index(text, form); i >= 0 {
					t.Errorf("%s holds %q:\n…%q…", where, form, text[max(0, i-60):min(len(text), i+len(form)+60)])
				}
			}
		}
	}
}

// shell is an installation that keeps what its commands print.
type shell struct {
	*testing.T
	*lab.Hedgerow
	printed map[string]string
}

func newShell(t *testing.T) shell {
	return shell{t, lab.New(t, "HTTPS_PROXY=", "https_proxy=", "HEDGEROW_LOG_LEVEL=debug"), map[string]string{}}
}

func (s shell) run(args ...string) lab.Result {
	s.Helper()
	r := s.Hedgerow.Run(s.T, args...)
	s.printed[fmt.Sprintf("%d hedgerow %s", len(s.printed), strings.Join(args, " "))] = r.Stdout + r.Stderr
	return r
}

// show runs everything that shows something.
func (s shell) show(kinds ...string) {
	s.Helper()
	for _, args := range [][]string{
		{"status"},
		{"status", "-o", "json"},
		{"runs"},
		{"runs", "-o", "json"},
		{"run", "show", "1"},
		{"run", "show", "1", "-o", "json"},
		{"run", "show", "2", "-o", "json"},
		{"history", "--diff"},
		{"history", "--diff", "-o", "json"},
		{"fabric", "list", "-o", "json"},
		{"fabric", "show", "f"},
		{"fabric", "show", "f", "-o", "json"},
		{"fabric", "test", "f"},
		{"fabric", "test", "f", "-o", "json"},
	} {
		s.run(args...)
	}
	for _, k := range kinds {
		kind, name, _ := strings.Cut(k, "/")
		s.run("get", kind, "-o", "wide", "--show-labels")
		s.run("get", kind, "-o", "yaml")
		s.run("get", kind, "-o", "json")
		s.run("describe", kind, name)
	}
}

// S1: no output of any command, and no file, holds a credential.
func TestS1(t *testing.T) {
	t.Parallel()
	secret := canary("token")
	users := filepath.Join(t.TempDir(), "users.yaml")
	text := fmt.Sprintf("- name: admin\n  token: %q\n  rules: [{verbs: [\"*\"], groups: [\"*\"], resources: [\"*\"]}]\n", secret)
	if err := os.WriteFile(users, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cluster := lab.Vlab(t, "--fabric", "spine-leaf", "--tokens", users)
	p := wire.New(t, cluster.Kubeconfig)
	s := newShell(t)

	t.Run("kubeconfig", func(t *testing.T) {
		file := p.Kubeconfig("")
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		b = append(b, "# the old password was "+canary("comment")+"\n"...)
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		s.OK(t, "fabric", "add", "f", "--kubeconfig", file)
		if r := s.run("sync", "f"); r.Code != 0 {
			t.Fatalf("the token was not taken: %s%s", r.Stdout, r.Stderr)
		}
		s.run("sync", "f", "-o", "json", "--log-format", "json")
	})
	t.Run("token file", func(t *testing.T) {
		dir := t.TempDir()
		ca, token := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "token")
		for file, content := range map[string]string{ca: string(p.CA()), token: secret + "\n"} {
			if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s.run("fabric", "edit", "f", "--server", p.URL(), "--token-file", token, "--ca-file", ca)
		if r := s.run("sync", "f"); r.Code != 0 {
			t.Errorf("the token was not taken: %s%s", r.Stdout, r.Stderr)
		}
	})
	t.Run("password, key and proxy", func(t *testing.T) {
		// None of them signs us in: it is the failures that might talk.
		for i, user := range []map[string]any{
			{"username": "alice", "password": canary("password")},
			{"client-certificate-data": base64.StdEncoding.EncodeToString(p.CA()), "client-key-data": base64.StdEncoding.EncodeToString([]byte(canary("key")))},
			{"token": canary("other-token")},
		} {
			name := fmt.Sprintf("g%d", i)
			s.run("fabric", "add", name, "--kubeconfig", wire.WriteKubeconfig(t, p.URL(), p.CA(), user, nil))
			for _, cmd := range [][]string{{"fabric", "test", name}, {"sync", name}, {"fabric", "show", name, "-o", "json"}} {
				s.run(cmd...)
			}
		}
		refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			w.Header().Set("X-Was", q.Header.Get("Proxy-Authorization"))
			http.Error(w, "no: "+q.Header.Get("Proxy-Authorization"), http.StatusProxyAuthRequired)
		}))
		t.Cleanup(refusing.Close)
		dead, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_ = dead.Close()
		for i, host := range []string{strings.TrimPrefix(refusing.URL, "http://"), dead.Addr().String(), "no-such-proxy.invalid:3128", "bad host:%zz"} {
			name := fmt.Sprintf("p%d", i)
			via := "http://alice:" + url.QueryEscape(canary("proxy-password")) + "@" + host
			s.run("fabric", "add", name, "--connect-timeout", "1s", "--kubeconfig", wire.WriteKubeconfig(t, p.URL(), p.CA(), map[string]any{"token": secret}, map[string]any{"proxy-url": via}))
			for _, cmd := range [][]string{{"fabric", "test", name}, {"sync", name}, {"sync", name, "-o", "json"}, {"fabric", "show", name, "-o", "json"}} {
				s.run(cmd...)
			}
		}
	})
	s.show("switches/leaf-01")
	hunt(t, s.Hedgerow, s.printed, secret, canary("comment"), canary("password"), canary("key"), canary("other-token"), canary("proxy-password"), "client-key-data")
}

// S2: an error repeats no secret, whoever put it there.
func TestS2(t *testing.T) {
	t.Parallel()
	cluster := lab.Vlab(t, "--fabric", "spine-leaf")
	p := wire.New(t, cluster.Kubeconfig)
	s := newShell(t)

	t.Run("a malformed kubeconfig", func(t *testing.T) {
		for i, text := range []string{
			"apiVersion: v1\nusers:\n- name: x\n  user:\n    token: " + canary("malformed") + "\n   password: [" + canary("malformed") + "\n",
			"{\"users\":[{\"user\":{\"token\":\"" + canary("malformed") + "\"}}]",
			canary("malformed"),
			"apiVersion: v1\nkind: Config\ncurrent-context: " + "c\nusers: " + canary("malformed") + "\n",
			"apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: c, user: u}}]\nclusters: [{name: c, cluster: {server: \"https://u:" + url.PathEscape(canary("malformed")) + "@127.0.0.1:1/?token=" + canary("malformed") + "\"}}]\nusers: [{name: u, user: {token: x}}]\n",
			"apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: c, user: u}}]\nclusters: [{name: c, cluster: {server: \"https://127.0.0.1:1\"}}]\nusers: [{name: u, user: {exec: {apiVersion: v1, command: sh, args: [" + canary("malformed") + "]}}}]\n",
			"apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: c, user: u}}]\nclusters: [{name: c, cluster: {server: \"https://127.0.0.1:1\", certificate-authority-data: \"" + canary("malformed") + "\"}}]\nusers: [{name: u, user: {token: x}}]\n",
		} {
			file := filepath.Join(t.TempDir(), "kubeconfig")
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			name := fmt.Sprintf("m%d", i)
			r := s.run("fabric", "add", name, "--kubeconfig", file)
			if r.Code == 0 { // an authority that is none shows when it is first needed
				r = s.run("fabric", "test", name)
			}
			if r.Code == 0 {
				t.Errorf("malformed kubeconfig %d passes:\n%s%s", i, r.Stdout, r.Stderr)
			}
			s.run("sync", name)
		}
	})
	t.Run("a server that repeats it", func(t *testing.T) {
		s.OK(t, "fabric", "add", "f", "--kubeconfig", p.Kubeconfig(""))
		basic := wire.WriteKubeconfig(t, p.URL(), p.CA(), map[string]any{"username": "alice", "password": canary("password")}, nil)
		s.OK(t, "fabric", "add", "b", "--kubeconfig", basic)
		s.run("sync", "f")
		long := strings.Repeat("x", 270) // so that the end of what is kept falls into the secret
		for _, rule := range []wire.Rule{
			{Path: list("switches"), Do: wire.Echo(403, "")},
			{Path: list("switches"), Do: wire.Echo(500, "")},
			{Path: list("switches"), Do: wire.Echo(500, long)},
			{Path: list("switches"), Do: wire.Echo(200, "")},
			{Path: list("switches"), Do: wire.Answer(302, "text/html", "moved", "Location", "https://elsewhere.invalid/?t="+p.Token())},
			{Path: list("switches"), Do: wire.Inject(`{"kind":` + in(p.Token()) + `,"metadata":{"name":"x","namespace":"default"}}`)},
			{Do: wire.Echo(403, "")},
			{Do: wire.Echo(401, "")},
			{Do: wire.Echo(500, long)},
			{Do: wire.Echo(200, "")},
		} {
			p.Set(rule)
			for _, name := range []string{"f", "b"} {
				s.run("sync", name)
				s.run("fabric", "test", name)
			}
		}
		p.Clear()
		s.show("switches/leaf-01")
	})
	// Half a token is a secret too: messages are cut to a length.
	hunt(t, s.Hedgerow, s.printed, p.Token(), p.Token()[:16], canary("malformed"), canary("password"))
}

// S3: what tools leave in objects is masked before it is digested and stored,
// and a change of it still shows.
func TestS3(t *testing.T) {
	t.Parallel()
	cluster := lab.Vlab(t, "--fabric", "spine-leaf")
	p := wire.New(t, cluster.Kubeconfig)
	s := newShell(t)
	places := []string{"last-applied", "annotation", "env", "password", "secret-list", "managed", "secret-data", "nested"}
	object := func(turn string) string {
		c := func(place string) string { return in(canary(place) + turn) }
		return `{"apiVersion":"wiring.githedgehog.com/v1beta1","kind":"Server","metadata":{"name":"leaky","namespace":"default","uid":"leaky-1","resourceVersion":"` + fmt.Sprint(len(turn)+1) + `",
			"creationTimestamp":"2026-01-01T00:00:00Z","annotations":{"kubectl.kubernetes.io/last-applied-configuration":` + c("last-applied") + `,"example.com/note":` + c("annotation") + `},
			"managedFields":[{"manager":` + c("managed") + `,"fieldsV1":{"f:spec":{` + in("f:"+canary("managed")) + `:{}}}}]},
			"spec":{"description":"a server","env":[{"name":"DB_PASSWORD","value":` + c("env") + `}],"password":` + c("password") + `,"tokens":[` + c("secret-list") + `],
			"credentials":{"data":` + c("secret-data") + `},"profile":{"auth":{"clientSecret":` + c("nested") + `}}}}`
	}
	s.OK(t, "fabric", "add", "f", "--kubeconfig", p.Kubeconfig(""))
	p.Set(wire.Rule{Path: list("servers"), Do: wire.Inject(object(""))})
	var r runDoc
	s.JSON(t, &r, []string{"sync", "f", "-o", "json"})
	if r.kind("servers").Created != 11 {
		t.Fatalf("%+v", r.kind("servers"))
	}
	p.Set(wire.Rule{Path: list("servers"), Do: wire.Inject(object("-turned"))})
	s.JSON(t, &r, []string{"sync", "f", "-o", "json"})
	if r.kind("servers").Updated != 1 {
		t.Errorf("a changed secret does not show as a change: %+v", r.kind("servers"))
	}
	diff := s.OK(t, "history", "server", "leaky", "--diff", "-F", "f")
	for _, field := range []string{"password", "env", "note", "clientSecret", "tokens"} {
		if !strings.Contains(diff, field) {
			t.Errorf("history --diff does not name %s:\n%s", field, diff)
		}
	}
	s.run("sync", "f")
	s.show("servers/leaky")
	if text := s.OK(t, "get", "server", "leaky", "-o", "yaml", "-F", "f"); !strings.Contains(text, "withheld:") || !strings.Contains(text, "a server") {
		t.Errorf("the object is not shown with marks in it:\n%s", text)
	}
	secrets := []string{"last-applied-configuration", "managedFields"} // these go, name and all
	for _, place := range places {
		secrets = append(secrets, canary(place))
	}
	hunt(t, s.Hedgerow, s.printed, secrets...)
}

// vlabSecret is part of every secret that vlab makes up (agents.Canary).
const vlabSecret = "vlab-fake-secret"

// S4: of an Agent nothing but what is listed is kept; its spec is full of
// secrets.
func TestS4(t *testing.T) {
	t.Parallel()
	cluster := lab.Vlab(t, "--fabric", "spine-leaf", "--agents")
	until(t, func() bool {
		return strings.Contains(cluster.Kubectl(t, "", "get", "agents", "-o", "yaml"), vlabSecret)
	})
	p := wire.New(t, cluster.Kubeconfig)
	s := newShell(t)
	s.OK(t, "fabric", "add", "f", "--kubeconfig", p.Kubeconfig(""))
	until(t, func() bool {
		var r runDoc
		s.JSON(t, &r, []string{"sync", "f", "-o", "json"})
		return r.kind("agents").Present == 7
	})
	extra := `{"apiVersion":"agent.githedgehog.com/v1beta1","kind":"Agent","metadata":{"name":"leaky","namespace":"default","uid":"l-1","resourceVersion":"1","annotations":{"x/y":` + in(canary("annotation")) + `}},
		"spec":{"users":[{"name":"admin","password":` + in(canary("agent")) + `}],"x":` + in(canary("agent")) + `},"status":{"version":"v1","secretThing":` + in(canary("agent")) + `,"state":{"nos":{"x":` + in(canary("agent")) + `}}}}`
	p.Set(wire.Rule{Path: list("agents"), Do: wire.Inject(extra)},
		wire.Rule{Path: list("switches"), Do: wire.Inject()})
	s.run("sync", "f")
	if got := s.OK(t, "get", "agents", "-o", "name", "-F", "f"); strings.Count(got, "\n") != 8 {
		t.Errorf("agents:\n%s", got)
	}
	// An agent that cannot be read says nothing of its spec either.
	p.Set(wire.Rule{Path: list("agents"), Do: wire.Inject(strings.Replace(extra, `"status":{`, `"spec":{"password":`+in(canary("agent"))+`},"status":{`, 1))})
	s.run("sync", "f")
	s.run("sync", "f", "-o", "json")
	s.show("agents/leaf-01", "agents/leaky")
	hunt(t, s.Hedgerow, s.printed, vlabSecret, canary("agent"), canary("annotation"))
}

// S5: the log holds no secret, whatever its level and format. The other tests
// run at debug level as well; this one makes sure that there is a log.
func TestS5(t *testing.T) {
	t.Parallel()
	cluster := lab.Vlab(t, "--fabric", "spine-leaf")
	p := wire.New(t, cluster.Kubeconfig)
	s := newShell(t)
	s.OK(t, "fabric", "add", "f", "--kubeconfig", p.Kubeconfig(""))
	p.Set(wire.Rule{Path: list("switches"), Do: wire.Echo(503, "try again, ")})
	for _, format := range []string{"text", "json"} {
		r := s.run("sync", "f", "--log-format", format)
		if !strings.Contains(r.Stderr, "request will be repeated") || !strings.Contains(r.Stderr, "run begins") {
			t.Errorf("there is no log at debug level:\n%s", r.Stderr)
		}
		if !strings.Contains(r.Stderr, "***") {
			t.Errorf("nothing was taken out of the log, though the server repeats the token:\n%s", r.Stderr)
		}
	}
	hunt(t, s.Hedgerow, s.printed, p.Token())
}
