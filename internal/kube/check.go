package kube

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"hedgerow"
)

// A Step is one layer of a connection test.
type Step struct {
	Layer    string `json:"layer"`  // name, tcp, tls, sign-in, clock, kinds, rights, lists
	Result   Result `json:"result"` // ok, warning, failed, skipped
	Sentence string `json:"sentence"`
	Hint     string `json:"hint,omitempty"`
}

// Result is how a step went.
type Result string

// The results.
const (
	OK      Result = "ok"
	Warning Result = "warning"
	Bad     Result = "failed"
	Skipped Result = "skipped"
)

// A Report is the outcome of a connection test.
type Report struct {
	Steps []Step `json:"steps"`
	// Manifest grants what is missing, as RBAC objects in YAML; "" when nothing
	// is.
	Manifest string `json:"manifest,omitempty"`
}

// OK reports whether no step failed.
func (r Report) OK() bool {
	for _, s := range r.Steps {
		if s.Result == Bad {
			return false
		}
	}
	return true
}

func (r *Report) add(layer string, res Result, format string, args ...any) {
	r.Steps = append(r.Steps, Step{Layer: layer, Result: res, Sentence: fmt.Sprintf(format, args...)})
}

func (r *Report) fail(layer string, err error) {
	r.Steps = append(r.Steps, Step{Layer: layer, Result: Bad, Sentence: err.Error(), Hint: hedgerow.HintOf(err)})
}

// skew is the difference of clocks that is worth a warning: certificates,
// tokens and ages go wrong with it.
const skew = 5 * time.Second

// Check tries a connection layer by layer, from the name to the right to read
// each kind, and stops at the first layer without which the next cannot work.
// Kinds for which excluded returns true are left out.
func (c *Client) Check(ctx context.Context, excluded func(hedgerow.Kind) bool) Report {
	var r Report
	if !c.reach(ctx, &r) || !c.signIn(ctx, &r) {
		return r
	}
	found, err := c.groups(ctx)
	if err != nil {
		r.fail("kinds", c.explain("ask which APIs are served", err))
		if forbidden(err) && c.cred.Auth() == "none" {
			r.Steps[len(r.Steps)-1].Hint = "We show the cluster no credential: give a token or a kubeconfig."
		}
		return r
	}
	for g, err := range found.FailedGroups {
		r.fail("kinds", fmt.Errorf("group %s: %w", g, err))
	}
	if len(found.Kinds) == 0 {
		r.add("kinds", Bad, "The cluster serves no kind of a *%s group.", hedgerow.GroupSuffix)
		r.Steps[len(r.Steps)-1].Hint = "Is this the cluster of a Hedgehog fabric? The fabric's controller installs the kinds."
		return r
	}
	if err := c.namespaceExists(ctx); err != nil {
		r.fail("kinds", err)
		return r
	}
	groups := map[string]int{}
	var kinds []hedgerow.Kind
	for _, k := range found.Kinds {
		groups[k.Group]++
		if !excluded(k) {
			kinds = append(kinds, k)
		}
	}
	r.add("kinds", OK, "%s in %s are served: %s.", hedgerow.Count(len(found.Kinds), "kind"), hedgerow.Count(len(groups), "group"), strings.Join(sorted(keysOf(groups)), ", "))
	c.rights(ctx, &r, kinds)
	return r
}

func keysOf[V any](m map[string]V) []string {
	var all []string
	for k := range m {
		all = append(all, k)
	}
	return all
}

// reach tests name, TCP and TLS.
func (c *Client) reach(ctx context.Context, r *Report) bool {
	host, port := c.base.Hostname(), c.base.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[c.base.Scheme]
	}
	proxy, _ := c.tr.Proxy(&http.Request{URL: c.base})
	if proxy != nil {
		r.add("name", Skipped, "The connection goes through a proxy, which looks up the name itself.")
		r.add("tcp", Skipped, "The connection goes through a proxy.")
		r.add("tls", Skipped, "The handshake is part of the sign-in below.")
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, 3*c.opt.Policy.ConnectTimeout)
	defer cancel()
	if net.ParseIP(host) != nil {
		r.add("name", Skipped, "%s is an address.", host)
	} else {
		addrs, err := net.DefaultResolver.LookupHost(ctx, host)
		if err != nil {
			r.fail("name", c.explain("look up the server", err))
			return false
		}
		r.add("name", OK, "%s is %s.", host, strings.Join(addrs, ", "))
	}
	d := net.Dialer{Timeout: c.opt.Policy.ConnectTimeout}
	start := time.Now()
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		r.fail("tcp", c.explain("connect", err))
		return false
	}
	defer conn.Close()
	r.add("tcp", OK, "%s accepts connections (%s).", net.JoinHostPort(host, port), time.Since(start).Round(100*time.Microsecond))
	if c.base.Scheme == "http" {
		r.add("tls", Warning, "The connection is not encrypted.")
		return true
	}
	conf := c.tls.Clone()
	if conf.ServerName == "" {
		conf.ServerName = host
	}
	tc := tls.Client(conn, conf)
	hctx, hcancel := context.WithTimeout(ctx, c.opt.Policy.ConnectTimeout)
	defer hcancel()
	if err := tc.HandshakeContext(hctx); err != nil {
		r.fail("tls", c.explain("TLS handshake", err))
		return false
	}
	c.certificate(r, tc.ConnectionState())
	return true
}

func (c *Client) certificate(r *Report, st tls.ConnectionState) {
	leaf := st.PeerCertificates[0]
	left := time.Until(leaf.NotAfter)
	const month = 30 * 24 * time.Hour
	switch {
	case c.cluster.Insecure:
		r.add("tls", Warning, "The server's certificate is NOT verified: whoever is in between can read the token and everything else.")
		r.Steps[len(r.Steps)-1].Hint = "Give the cluster's authority with --ca-file instead of --insecure."
	case left < month:
		r.add("tls", Warning, "The certificate is valid, and expires in %s.", hedgerow.Age(left))
	default:
		r.add("tls", OK, "The certificate for %s is valid until %s.", certNames(leaf), leaf.NotAfter.UTC().Format("2006-01-02"))
	}
}

// signIn tests the credential, and reads the server's clock on the way.
func (c *Client) signIn(ctx context.Context, r *Report) bool {
	sent := time.Now()
	var v struct{ GitVersion string }
	b, h, err := c.getAll(ctx, "/version", nil, "application/json")
	trip := time.Since(sent)
	if err == nil {
		err = c.unmarshal(b, &v)
	}
	if err != nil {
		r.fail("sign-in", c.explain("sign in", err))
		return false
	}
	if v.GitVersion == "" {
		r.fail("sign-in", hedgerow.Errorf(hedgerow.CodeGarbage, "%s answers, but not as a Kubernetes API server does", c.base.Host))
		return false
	}
	version := hedgerow.OneLine(v.GitVersion)
	switch who := c.whoAmI(ctx); {
	case who == "" && c.cred.Auth() == "none":
		r.add("sign-in", Warning, "Kubernetes %s answers; we show it no credential.", version)
	case who == "":
		r.add("sign-in", OK, "Kubernetes %s accepts our %s.", version, c.cred.Auth())
	default:
		r.add("sign-in", OK, "Kubernetes %s knows us as %s.", version, who)
	}
	date, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		r.add("clock", Skipped, "The server does not tell its time.")
		return true
	}
	// The header has whole seconds, rounded down.
	off := date.Add(500 * time.Millisecond).Sub(sent.Add(trip / 2))
	if off.Abs() > skew+trip/2 {
		r.add("clock", Warning, "The server's clock is %s %s ours: ages, certificates and tokens will be misjudged.", hedgerow.Age(off.Abs()), map[bool]string{true: "ahead of", false: "behind"}[off > 0])
		r.Steps[len(r.Steps)-1].Hint = "Set both machines' clocks by NTP."
		return true
	}
	r.add("clock", OK, "The server's clock agrees with ours.")
	return true
}

// whoAmI asks the cluster (Kubernetes 1.28 and later) who it takes us for.
func (c *Client) whoAmI(ctx context.Context) string {
	var out struct {
		Status struct{ UserInfo struct{ Username string } }
	}
	body := `{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}`
	if err := c.post(ctx, "/apis/authentication.k8s.io/v1/selfsubjectreviews", []byte(body), &out); err != nil {
		return ""
	}
	return hedgerow.OneLine(out.Status.UserInfo.Username)
}

// verbs are the rights that observing needs.
var verbs = []string{"get", "list", "watch"}

// rights asks for each kind and verb whether we may.
func (c *Client) rights(ctx context.Context, r *Report, kinds []hedgerow.Kind) {
	var missing []string
	allowed, guessed := 0, false
	for _, k := range kinds {
		var not []string
		for _, v := range verbs {
			ok, known, err := c.may(ctx, k, v)
			if err != nil {
				r.fail("rights", c.explain(fmt.Sprintf("ask whether we may %s %s", v, k.Plural), err))
				return
			}
			guessed = guessed || !known
			if !ok {
				not = append(not, v)
			}
		}
		if len(not) == 0 {
			allowed++
			continue
		}
		missing = append(missing, fmt.Sprintf("%s %s.%s", strings.Join(not, ", "), k.Plural, k.Group))
	}
	how := ""
	if guessed {
		how = " (the cluster answers no access reviews: to list was tried, to get and watch was not)"
	}
	for _, m := range missing {
		r.add("rights", Bad, "We may not %s%s.", m, c.where())
	}
	if len(missing) > 0 {
		r.Steps[len(r.Steps)-1].Hint = "Apply the manifest below, or leave kinds out with --exclude."
		r.Manifest = c.manifest(ctx, kinds)
		return
	}
	r.add("rights", OK, "We may %s all %d kinds%s%s.", strings.Join(verbs, ", "), allowed, c.where(), how)
	switch _, err := c.definitionPrints(ctx); {
	case forbidden(err):
		r.add("rights", Warning, "We may not read CustomResourceDefinitions: columns that only this cluster knows will be missing.")
		r.Manifest = c.manifest(ctx, kinds)
	case err != nil:
		r.fail("lists", c.explain("list customresourcedefinitions", err))
		return
	}
	c.lists(ctx, r, kinds)
}

// lists reads one object of each kind: an API server answers for rights
// without touching its storage, which may be what is broken.
func (c *Client) lists(ctx context.Context, r *Report, kinds []hedgerow.Kind) {
	for _, k := range kinds {
		if _, _, err := c.getAll(ctx, c.path(k), url.Values{"limit": {"1"}}, acceptMetaJSON+",application/json"); err != nil {
			r.fail("lists", c.explain(listOp(k), err))
			return // the others would take as long to fail
		}
	}
	r.add("lists", OK, "Every kind answers a list.")
}

func (c *Client) where() string {
	if c.cluster.Namespace == "" {
		return " in all namespaces"
	}
	return " in namespace " + c.cluster.Namespace
}

// may asks whether we may do verb on k. Where the cluster answers no access
// reviews list is tried, and get and watch are taken on trust (known is false
// then).
func (c *Client) may(ctx context.Context, k hedgerow.Kind, verb string) (ok, known bool, err error) {
	type attributes struct {
		Namespace string `json:"namespace,omitempty"`
		Verb      string `json:"verb"`
		Group     string `json:"group"`
		Resource  string `json:"resource"`
	}
	a := attributes{Verb: verb, Group: k.Group, Resource: k.Plural}
	if k.Namespaced {
		a.Namespace = c.cluster.Namespace
	}
	body, err := json.Marshal(map[string]any{
		"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
		"spec": map[string]any{"resourceAttributes": a},
	})
	if err != nil {
		return false, false, err
	}
	var out struct{ Status struct{ Allowed bool } }
	err = c.post(ctx, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body, &out)
	var s *statusError
	if err == nil {
		return out.Status.Allowed, true, nil
	}
	if !errors.As(err, &s) || s.code != http.StatusNotFound && s.code != http.StatusForbidden {
		return false, false, err
	}
	if verb != "list" {
		return true, false, nil
	}
	_, _, err = c.getAll(ctx, c.path(k), url.Values{"limit": {"1"}}, acceptMetaJSON+",application/json")
	if forbidden(err) {
		return false, true, nil
	}
	return err == nil, false, err
}

// post sends one POST; nothing that we post changes anything.
func (c *Client) post(ctx context.Context, path string, body []byte, into any) error {
	ctx, cancel := context.WithTimeout(ctx, c.opt.Policy.RequestTimeout)
	defer cancel()
	if err := c.limit.Wait(ctx); err != nil {
		return err
	}
	r, err := c.newRequest(ctx, http.MethodPost, path, nil, body)
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json")
	resp, err := c.http.Do(r)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusCreated {
		return c.readStatus(resp)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(newCapped(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	return c.unmarshal(b, into)
}
