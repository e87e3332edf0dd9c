package apiserver

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Client asks the server inside this process, as its own user who may do everything: no socket, no TLS. Answers are
// whole, so it is not for watching.
type Client struct {
	handler http.Handler
	token   string
}

// userAgent makes "vlab" the field manager of what the client writes.
const userAgent = "vlab/" + Version

// Client returns a client of this server.
func (s *Server) Client() *Client { return &Client{handler: s.handler, token: s.loopback} }

// RoundTrip implements http.RoundTripper; scheme and host of the request do not matter.
func (c *Client) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	in := r.Clone(r.Context())
	if in.Body == nil {
		in.Body = http.NoBody
	}
	in.RequestURI, in.RemoteAddr, in.Host = r.URL.RequestURI(), "127.0.0.1:0", "127.0.0.1"
	in.Header.Set("Authorization", "Bearer "+c.token)
	if in.Header.Get("User-Agent") == "" {
		in.Header.Set("User-Agent", userAgent)
	}
	w := &answer{header: http.Header{}}
	c.handler.ServeHTTP(w, in)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	w.WriteHeader(http.StatusOK) // when the handler wrote nothing
	return &http.Response{
		Status: fmt.Sprintf("%d %s", w.status, http.StatusText(w.status)), StatusCode: w.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.sent, Body: io.NopCloser(&w.body), ContentLength: int64(w.body.Len()), Request: r,
	}, nil
}

// Do sends one request and returns the answer. Bodies are JSON; a PATCH is a server-side apply when its path names a
// fieldManager, else a merge patch.
func (c *Client) Do(ctx context.Context, method, path string, body []byte) (status int, answer []byte, err error) {
	r, err := http.NewRequestWithContext(ctx, method, "http://127.0.0.1"+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	r.Header.Set("Accept", "application/json")
	switch {
	case method == http.MethodPatch && strings.Contains(r.URL.RawQuery, "fieldManager="):
		r.Header.Set("Content-Type", "application/apply-patch+yaml")
	case method == http.MethodPatch:
		r.Header.Set("Content-Type", "application/merge-patch+json")
	default:
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.RoundTrip(r)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(resp.Body)
	return resp.StatusCode, answer, err
}

// answer is an http.ResponseWriter that keeps everything. The server never uses one from two goroutines at a time.
type answer struct {
	header, sent http.Header
	status       int
	body         bytes.Buffer
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(b)
}

func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status, a.sent = status, a.header.Clone()
	}
}

// Flush implements http.Flusher, which some handlers insist on.
func (a *answer) Flush() {}
