package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	utilnet "k8s.io/apimachinery/pkg/util/net"
)

const (
	jsonType       = "application/json"
	mergePatchType = "application/merge-patch+json"
	metadataType   = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
)

// A server that reads a large collection into its cache answers 429 meanwhile.
const (
	busyWait  = 250 * time.Millisecond
	busyTries = 240
)

// refusal is an answer of the server that is not a success.
type refusal struct {
	code    int
	message string
}

func (r *refusal) Error() string { return r.message }

// hasCode says whether err is a refusal with one of the status codes.
func hasCode(err error, codes ...int) bool {
	r, ok := errors.AsType[*refusal](err)
	return ok && slices.Contains(codes, r.code)
}

// answer is the body of a success, and what the server warned of.
type answer struct {
	body     []byte
	warnings []string
}

// send makes a request, again while the server says that it is not ready for it. Anything but a 2xx is a *refusal.
func (l *Loader) send(ctx context.Context, method, path, accept, contentType string, body any) (answer, error) {
	for range busyTries {
		a, err := l.sendOnce(ctx, method, path, accept, contentType, body)
		if !hasCode(err, http.StatusTooManyRequests) {
			return a, err
		}
		again := time.NewTimer(busyWait)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return answer{}, ctx.Err()
		}
	}
	return l.sendOnce(ctx, method, path, accept, contentType, body)
}

func (l *Loader) sendOnce(ctx context.Context, method, path, accept, contentType string, body any) (answer, error) {
	var data []byte
	if body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			return answer{}, err
		}
	}
	r, err := http.NewRequestWithContext(ctx, method, l.base+path, bytes.NewReader(data))
	if err != nil {
		return answer{}, err
	}
	r.Header.Set("Accept", accept)
	if body != nil {
		r.Header.Set("Content-Type", contentType)
	}
	resp, err := l.client.RoundTrip(r)
	if err != nil {
		return answer{}, fmt.Errorf("%s %s: %w", method, path, err)
	}
	defer func() { _ = resp.Body.Close() }()
	var a answer
	if a.body, err = io.ReadAll(resp.Body); err != nil {
		return answer{}, fmt.Errorf("%s %s: %w", method, path, err)
	}
	if resp.StatusCode/100 != 2 {
		return answer{}, asRefusal(resp.StatusCode, a.body)
	}
	warnings, _ := utilnet.ParseWarningHeaders(resp.Header["Warning"])
	for _, w := range warnings {
		a.warnings = append(a.warnings, w.Text)
	}
	return a, nil
}

func asRefusal(code int, body []byte) error {
	var status struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(body, &status) != nil || status.Message == "" {
		status.Message = fmt.Sprintf("%d %s: %.200s", code, http.StatusText(code), body)
	}
	return &refusal{code, status.Message}
}

// get reads one object or list into out.
func (l *Loader) get(ctx context.Context, path, accept string, out any) error {
	a, err := l.send(ctx, http.MethodGet, path, accept, "", nil)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(a.body, out); err != nil {
		return fmt.Errorf("GET %s: %w", path, err)
	}
	return nil
}

// resource is what discovery says about a kind.
type resource struct {
	group, version, plural string
	namespaced, status     bool
}

// path of one object; with an empty name, of the collection.
func (r resource) path(namespace, name string) string {
	p := "/apis/" + r.group + "/" + r.version
	if r.group == "" {
		p = "/api/" + r.version
	}
	if r.namespaced && namespace != "" {
		p += "/namespaces/" + url.PathEscape(namespace)
	}
	p += "/" + r.plural
	if name != "" {
		p += "/" + url.PathEscape(name)
	}
	return p
}

func metadata(o Object) map[string]any {
	m, _ := o["metadata"].(map[string]any)
	return m
}

func nameOf(o Object) string {
	s, _ := metadata(o)["name"].(string)
	return s
}

func namespaceOf(o Object) string {
	s, _ := metadata(o)["namespace"].(string)
	return s
}

func versionOf(o Object) string {
	s, _ := metadata(o)["resourceVersion"].(string)
	return s
}
