// Package kube is the cluster source: it connects to a Kubernetes API, finds
// the Hedgehog kinds that it serves, and reads them whole.
//
// It is the only importer of client-go (but for a JSONPath reader in
// internal/view), and takes from it the reading of
// kubeconfigs and TLS settings; lists are read by our own thin decoder, which
// is several times cheaper than client-go's. It knows nothing of the record:
// what it needs to know of it comes as [hedgerow.Mark]s.
package kube

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/client-go/rest"

	"hedgerow"
	"hedgerow/internal/manifest"
)

// Options are what a client needs beside where the cluster is.
type Options struct {
	Policy   hedgerow.Policy // with defaults filled in
	Mask     manifest.Mask
	Redactor *hedgerow.Redactor
	Log      *slog.Logger
	Agent    string // User-Agent
}

// A Client speaks to one cluster. It has its own connections and limits, so
// that one cluster's trouble is not another's. It is safe for concurrent use.
type Client struct {
	cluster hedgerow.Cluster
	base    *url.URL
	cred    Credential
	opt     Options
	tls     *tls.Config
	http    *http.Client
	tr      *http.Transport
	limit   *rate.Limiter
	red     *hedgerow.Redactor
}

// New returns a client for a cluster. Nothing is sent before the first call.
func New(cluster hedgerow.Cluster, cred Credential, opt Options) (*Client, error) {
	base, err := ParseServer(cluster.Server)
	if err != nil {
		return nil, err
	}
	opt.Policy = opt.Policy.WithDefaults()
	if opt.Redactor == nil {
		opt.Redactor = &hedgerow.Redactor{}
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	for _, s := range cred.secrets() {
		opt.Redactor.Add(s)
	}
	conf, err := rest.TLSConfigFor(&rest.Config{Host: cluster.Server, TLSClientConfig: rest.TLSClientConfig{
		Insecure:   cluster.Insecure,
		ServerName: cluster.TLSServerName,
		CAData:     cred.caFor(cluster),
		CertData:   cred.ClientCert,
		KeyData:    cred.ClientKey.Reveal(),
	}})
	if err != nil {
		return nil, hedgerow.Errorf(hedgerow.CodeInvalid, "the TLS settings do not fit together: %s", opt.Redactor.Text(err.Error()))
	}
	if conf == nil {
		conf = &tls.Config{}
	}
	conf.MinVersion = tls.VersionTLS12
	proxy := http.ProxyFromEnvironment
	if cred.ProxyURL != "" {
		p, err := url.Parse(cred.ProxyURL)
		if err != nil {
			return nil, hedgerow.Errorf(hedgerow.CodeInvalid, "the proxy-url is not a URL")
		}
		proxy = http.ProxyURL(p)
	}
	t := opt.Policy
	tr := &http.Transport{
		Proxy:                 proxy,
		DialContext:           (&net.Dialer{Timeout: t.ConnectTimeout, KeepAlive: 15 * time.Second}).DialContext,
		TLSClientConfig:       conf,
		TLSHandshakeTimeout:   t.ConnectTimeout,
		ResponseHeaderTimeout: t.RequestTimeout,
		IdleConnTimeout:       90 * time.Second,
		MaxIdleConnsPerHost:   8,
		ForceAttemptHTTP2:     true,
		HTTP2:                 &http.HTTP2Config{SendPingTimeout: t.RequestTimeout / 2, PingTimeout: t.RequestTimeout / 2},
	}
	return &Client{
		cluster: cluster, base: base, cred: cred, opt: opt, tls: conf, tr: tr, red: opt.Redactor,
		limit: rate.NewLimiter(rate.Limit(t.QPS), t.Burst),
		http: &http.Client{
			Transport: tr,
			// A redirect would carry our token to another place (S7).
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// Close drops the client's connections.
func (c *Client) Close() { c.tr.CloseIdleConnections() }

// ParseServer reads the URL of an API server. It must be http or https, with
// a host and without user, query or fragment.
func ParseServer(server string) (*url.URL, error) {
	u, err := url.Parse(server)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, hedgerow.Errorf(hedgerow.CodeInvalid, "the server must be a URL such as https://10.0.0.1:6443")
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, hedgerow.Errorf(hedgerow.CodeInvalid, "the server's URL must hold no user, password, query or fragment")
	}
	u.Path = strings.TrimSuffix(u.Path, "/")
	return u, nil
}

// path is where the objects of a kind are.
func (c *Client) path(k hedgerow.Kind) string {
	p := "/apis/" + k.Group + "/" + k.Version
	if k.Namespaced && c.cluster.Namespace != "" {
		p += "/namespaces/" + c.cluster.Namespace
	}
	return p + "/" + k.Plural
}

func (c *Client) authorize(r *http.Request) {
	switch {
	case !c.cred.Token.IsZero():
		r.Header.Set("Authorization", "Bearer "+string(c.cred.Token.Reveal()))
	case c.cred.Username != "":
		basic := c.cred.Username + ":" + string(c.cred.Password.Reveal())
		r.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(basic)))
	}
}

// newRequest builds a request; the path is below the server's own.
func (c *Client) newRequest(ctx context.Context, method, path string, query url.Values, body []byte) (*http.Request, error) {
	u := *c.base
	u.Path += path
	u.RawQuery = query.Encode()
	r, err := http.NewRequestWithContext(ctx, method, u.String(), bodyReader(body))
	if err != nil {
		return nil, err
	}
	if c.opt.Agent != "" {
		r.Header.Set("User-Agent", c.opt.Agent)
	}
	c.authorize(r)
	return r, nil
}
