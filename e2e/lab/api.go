package lab

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// connections is how many connections of HTTP/1.1 a client keeps open. More
// edits at a time make an API server on two processors no faster.
const connections = 8

// API is a plain HTTPS client of a cluster's API, with nothing of Hedgerow or
// client-go in it. It may be used by several goroutines.
type API struct {
	server, token string
	http          *http.Client
}

// Connect reads a kubeconfig as vlab and kube-apiserver's helpers write them.
// It connects at the first request, and lets go when the test ends.
func Connect(tb testing.TB, kubeconfig string) *API {
	tb.Helper()
	b, err := os.ReadFile(kubeconfig)
	if err != nil {
		tb.Fatal(err)
	}
	var c struct {
		Clusters []struct {
			Cluster struct {
				Server string
				CA     string `yaml:"certificate-authority-data"`
			}
		}
		Users []struct {
			User struct {
				Token string
				Cert  string `yaml:"client-certificate-data"`
				Key   string `yaml:"client-key-data"`
			}
		}
	}
	if err := yaml.Unmarshal(b, &c); err != nil || len(c.Clusters) == 0 || len(c.Users) == 0 {
		tb.Fatalf("kubeconfig %s: %v", kubeconfig, err)
	}
	decode := func(s string) []byte {
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			tb.Fatalf("kubeconfig %s: %v", kubeconfig, err)
		}
		return b
	}
	conf := &tls.Config{RootCAs: x509.NewCertPool()}
	conf.RootCAs.AppendCertsFromPEM(decode(c.Clusters[0].Cluster.CA))
	if u := c.Users[0].User; u.Cert != "" {
		pair, err := tls.X509KeyPair(decode(u.Cert), decode(u.Key))
		if err != nil {
			tb.Fatalf("kubeconfig %s: %v", kubeconfig, err)
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	tr := &http.Transport{TLSClientConfig: conf, MaxIdleConnsPerHost: connections}
	tb.Cleanup(tr.CloseIdleConnections)
	return &API{c.Clusters[0].Cluster.Server, c.Users[0].User.Token, &http.Client{Transport: tr, Timeout: time.Minute}}
}

// Refused is an answer that is no success.
type Refused struct {
	Method, Path string
	Status       int // of HTTP
	Body         string
}

func (r *Refused) Error() string {
	return fmt.Sprintf("%s %s: %d: %s", r.Method, r.Path, r.Status, r.Body)
}

// Do makes a request and returns the answer, its numbers as json.Number; an
// answer that is no success is a *Refused. A server that asks to wait a moment,
// as kube-apiserver does for a new kind, gets it.
func (a *API) Do(ctx context.Context, method, path, contentType string, body []byte) (map[string]any, error) {
	b, err := a.send(ctx, method, path, "", contentType, body)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v map[string]any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	return v, nil
}

// into decodes the answer to a GET.
func (a *API) into(ctx context.Context, path, accept string, v any) error {
	b, err := a.send(ctx, http.MethodGet, path, accept, "", nil)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("GET %s: %w", path, err)
	}
	return nil
}

func (a *API) send(ctx context.Context, method, path, accept, contentType string, body []byte) ([]byte, error) {
	const attempts = 20
	for i := 1; ; i++ {
		header, b, err := a.once(ctx, method, path, accept, contentType, body)
		var refused *Refused
		if !errors.As(err, &refused) || refused.Status != http.StatusTooManyRequests || i == attempts {
			return b, err
		}
		seconds, _ := strconv.Atoi(header.Get("Retry-After")) // at once without
		wait := time.NewTimer(time.Duration(seconds) * time.Second)
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return nil, ctx.Err()
		}
	}
}

func (a *API) once(ctx context.Context, method, path, accept, contentType string, body []byte) (http.Header, []byte, error) {
	q, err := http.NewRequestWithContext(ctx, method, a.server+path, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	q.Header.Set("Authorization", "Bearer "+a.token)
	for k, v := range map[string]string{"Accept": accept, "Content-Type": contentType} {
		if v != "" {
			q.Header.Set(k, v)
		}
	}
	r, err := a.http.Do(q)
	if err != nil {
		return nil, nil, err // which names method and URL
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	if r.StatusCode >= 300 {
		return r.Header, nil, &Refused{method, path, r.StatusCode, string(b)}
	}
	return r.Header, b, nil
}

// Resource is a kind as the API serves it.
type Resource struct {
	Group  string // "/apis/group/version"
	Plural string
	Kind   string
}

// path of its objects: of one namespace, or with "" of all.
func (r Resource) path(namespace string) string {
	if namespace == "" {
		return r.Group + "/" + r.Plural
	}
	return r.Group + "/namespaces/" + namespace + "/" + r.Plural
}

// Resources returns everything that the Hedgehog groups serve, in the order of
// discovery.
func (a *API) Resources(ctx context.Context) (all []Resource, err error) {
	var groups struct {
		Groups []struct {
			Name             string
			PreferredVersion struct{ GroupVersion string }
		}
	}
	if err := a.into(ctx, "/apis", "", &groups); err != nil {
		return nil, err
	}
	for _, g := range groups.Groups {
		if !strings.HasSuffix(g.Name, ".githedgehog.com") {
			continue
		}
		path := "/apis/" + g.PreferredVersion.GroupVersion
		var list struct{ Resources []struct{ Name, Kind string } }
		if err := a.into(ctx, path, "", &list); err != nil {
			return nil, err
		}
		for _, r := range list.Resources {
			if !strings.Contains(r.Name, "/") {
				all = append(all, Resource{path, r.Name, r.Kind})
			}
		}
	}
	return all, nil
}
