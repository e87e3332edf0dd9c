// Package wire is a proxy that stands between Hedgerow and an API server and
// does what networks, proxies and servers do wrong: it refuses, keeps silent,
// trickles, cuts, lies and shows the wrong certificate, where and as often as
// a test says. It knows HTTP and the shape of a Kubernetes list, and nothing of
// Hedgerow.
package wire

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.yaml.in/yaml/v3"
)

// A Proxy forwards to an API server, except where a rule says otherwise. It
// speaks HTTP/2 unless HTTP1 is called.
type Proxy struct {
	tb       testing.TB
	addr     string
	token    string
	config   kubeconfig
	ca       *authority
	upstream *httputil.ReverseProxy
	server   *http.Server
	served   chan struct{} // closed when the test ends: whoever waits lets go

	mu    sync.Mutex
	rules []*Rule
	seen  []Request
	dealt int
	cert  *tls.Certificate
	http1 bool
	mute  muteness
	wall  chan struct{} // closed when it falls, nil without
	ln    *listener     // nil while connections are refused
	held  []net.Conn
	live  map[*walled]bool // that it speaks on
}

// Request is one request that reached the proxy.
type Request struct{ Method, Path, Query, Authorization, Accept string }

// A Rule says what becomes of the requests that it matches. Of several rules
// the first that matches and is not spent decides.
type Rule struct {
	Method string // "" is any
	Path   string // as path.Match takes it; "" is any
	Query  string // a part of the query; "" is any
	Skip   int    // so many matching requests pass first
	Times  int    // then so many are dealt with; 0 is all of them
	Do     Action
}

func (r *Rule) takes(q *http.Request) bool {
	if r.Method != "" && r.Method != q.Method {
		return false
	}
	if ok, _ := path.Match(r.Path, q.URL.Path); r.Path != "" && !ok {
		return false
	}
	if !strings.Contains(q.URL.RawQuery, r.Query) || r.Times < 0 {
		return false
	}
	if r.Skip > 0 {
		r.Skip--
		return false
	}
	if r.Times > 0 {
		if r.Times--; r.Times == 0 {
			r.Times = -1
		}
	}
	return true
}

// kubeconfig is the part of one that matters here.
type kubeconfig struct {
	Clusters []struct {
		Cluster struct {
			Server string
			CAText string `yaml:"certificate-authority-data"`
		}
	}
	Users []struct{ User struct{ Token string } }
}

// New returns a proxy before the API server that a kubeconfig with a token
// tells of. It ends with the test.
func New(tb testing.TB, kubeconfigFile string) *Proxy {
	tb.Helper()
	p := &Proxy{tb: tb, ca: newAuthority(tb), served: make(chan struct{}), live: map[*walled]bool{}}
	p.read(kubeconfigFile)
	p.cert = p.ca.good(tb)
	p.server = &http.Server{
		Handler:  http.HandlerFunc(p.serve),
		ErrorLog: log.New(io.Discard, "", 0), // refused handshakes are what the tests are about
	}
	p.listen("127.0.0.1:0")
	tb.Cleanup(func() {
		close(p.served)
		p.Refuse()
		_ = p.server.Close()
	})
	return p
}

func (p *Proxy) read(file string) {
	p.tb.Helper()
	b, err := os.ReadFile(file)
	if err == nil {
		err = yaml.Unmarshal(b, &p.config)
	}
	if err != nil {
		p.tb.Fatal(err)
	}
	cluster := p.config.Clusters[0].Cluster
	target, err := url.Parse(cluster.Server)
	if err != nil {
		p.tb.Fatal(err)
	}
	p.token = p.config.Users[0].User.Token
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(unbase64(p.tb, cluster.CAText)) {
		p.tb.Fatalf("%s holds no certificate authority", file)
	}
	p.upstream = &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true, DisableCompression: true},
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0),
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			// The server is gone: so is the connection.
			panic(http.ErrAbortHandler)
		},
	}
	p.tb.Cleanup(p.upstream.Transport.(*http.Transport).CloseIdleConnections)
}

// URL is where the proxy listens.
func (p *Proxy) URL() string { return "https://" + p.addr }

// Token is the credential that the API server knows.
func (p *Proxy) Token() string { return p.token }

// CA is the authority of the proxy's certificate, in PEM.
func (p *Proxy) CA() []byte { return p.ca.pem }

// Kubeconfig writes a kubeconfig for the proxy and returns its name. A token
// of "" is the one that the API server knows.
func (p *Proxy) Kubeconfig(token string) string {
	p.tb.Helper()
	if token == "" {
		token = p.token
	}
	return WriteKubeconfig(p.tb, p.URL(), p.ca.pem, map[string]any{"token": token}, nil)
}

// WriteKubeconfig writes a kubeconfig with one context, and adds what user and
// cluster hold to those of it.
func WriteKubeconfig(tb testing.TB, server string, ca []byte, user, cluster map[string]any) string {
	tb.Helper()
	c := map[string]any{"server": server, "certificate-authority-data": base64Of(ca)}
	for k, v := range cluster {
		c[k] = v
	}
	b, err := yaml.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Config", "current-context": "wire",
		"clusters": []any{map[string]any{"name": "wire", "cluster": c}},
		"users":    []any{map[string]any{"name": "wire", "user": user}},
		"contexts": []any{map[string]any{"name": "wire", "context": map[string]any{"cluster": "wire", "user": "wire"}}},
	})
	if err != nil {
		tb.Fatal(err)
	}
	file := filepath.Join(tb.TempDir(), "kubeconfig")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		tb.Fatal(err)
	}
	return file
}

// Set replaces the rules.
func (p *Proxy) Set(rules ...Rule) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = nil
	for _, r := range rules {
		p.rules = append(p.rules, &r)
	}
}

// Clear mends everything: no rules, no silence, no firewall, the good
// certificate, and a listener.
func (p *Proxy) Clear() {
	p.Set()
	p.Accept()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cert, p.mute = p.ca.good(p.tb), speaks
	if p.wall != nil {
		close(p.wall)
		p.wall = nil
	}
}

// Requests returns what reached the proxy so far, and forgets it.
func (p *Proxy) Requests() []Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	seen := p.seen
	p.seen = nil
	return seen
}

// Count says how many requests for paths like pattern reached the proxy since
// Requests was last called.
func (p *Proxy) Count(pattern string) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.seen {
		if ok, _ := path.Match(pattern, r.Path); ok {
			n++
		}
	}
	return n
}

// Dealt says how many requests rules have dealt with so far: a test whose
// fault never struck proves nothing.
func (p *Proxy) Dealt() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dealt
}

func (p *Proxy) serve(w http.ResponseWriter, q *http.Request) {
	p.mu.Lock()
	p.seen = append(p.seen, Request{q.Method, q.URL.Path, q.URL.RawQuery, q.Header.Get("Authorization"), q.Header.Get("Accept")})
	var do Action
	for _, r := range p.rules {
		if r.takes(q) {
			do = r.Do
			p.dealt++
			break
		}
	}
	p.mu.Unlock()
	if do == nil {
		p.upstream.ServeHTTP(w, q)
		return
	}
	do(&Exchange{w, q, p})
}

// An Exchange is one request that an Action deals with.
type Exchange struct {
	http.ResponseWriter
	Request *http.Request
	proxy   *Proxy
}

// Unwrap lets http.ResponseController reach the writer.
func (x *Exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

// Fetch returns the API server's own answer, which is not compressed.
func (x *Exchange) Fetch() *http.Response {
	rec := &recorder{header: http.Header{}, code: http.StatusOK}
	q := x.Request.Clone(x.Request.Context())
	q.Header.Set("Accept-Encoding", "identity")
	x.proxy.upstream.ServeHTTP(rec, q)
	return &http.Response{StatusCode: rec.code, Header: rec.header, Body: io.NopCloser(&rec.body), ContentLength: int64(rec.body.Len())}
}

// Forward lets the request pass.
func (x *Exchange) Forward() { x.proxy.upstream.ServeHTTP(x.ResponseWriter, x.Request) }

type recorder struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(code int)        { r.code = code }
func (r *recorder) Write(b []byte) (int, error) { return r.body.Write(b) }

// List is a Kubernetes list whose items are left as they are.
type List struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Metadata   map[string]any    `json:"metadata"`
	Items      []json.RawMessage `json:"items"`
}
