package httpd_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"hedgerow/internal/httpd"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.DiscardHandler)

// served is a server under test.
type served struct {
	url   string
	stop  context.CancelFunc
	ended chan error
}

func serve(t *testing.T, h http.Handler, grace time.Duration) served {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	s := served{"http://" + ln.Addr().String(), stop, make(chan error, 1)}
	go func() { s.ended <- httpd.Serve(ctx, ln, h, grace, quiet) }()
	return s
}

// fetch gets an address, on a connection of its own.
func fetch(url string) (body string, err error) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

type fetched struct {
	body string
	err  error
}

func fetching(url string) chan fetched {
	c := make(chan fetched, 1)
	go func() {
		body, err := fetch(url)
		c <- fetched{body, err}
	}()
	return c
}

// A stop lets a request end that is under way, ends streams at once, and takes
// no new one.
func TestServeStopsInOrder(t *testing.T) {
	began, release, streaming := make(chan bool), make(chan bool), make(chan bool)
	mux := http.NewServeMux()
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		began <- true
		<-release
		if r.Context().Err() != nil {
			t.Error("the request under way was cancelled by the stop")
		}
		fmt.Fprint(w, "whole")
	})
	mux.Handle("/stream", httpd.Stream(time.Hour, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "begun ")
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		streaming <- true
		<-r.Context().Done()
		fmt.Fprint(w, "ended")
	})))
	s := serve(t, httpd.Recover(quiet, mux), time.Minute)
	slow, stream := fetching(s.url+"/slow"), fetching(s.url+"/stream")
	<-began
	<-streaming
	s.stop()
	if got := <-stream; got.err != nil || got.body != "begun ended" {
		t.Errorf("the stream: %q, %v", got.body, got.err)
	}
	select {
	case err := <-s.ended:
		t.Fatalf("Serve did not wait for the request under way: %v", err)
	default:
	}
	close(release)
	if got := <-slow; got.err != nil || got.body != "whole" {
		t.Errorf("the request under way: %q, %v", got.body, got.err)
	}
	if err := <-s.ended; err != nil {
		t.Error(err)
	}
	if _, err := fetch(s.url); err == nil {
		t.Error("answers after it has ended")
	}
}

func TestServeCutsAtGrace(t *testing.T) {
	began, cut := make(chan bool), make(chan error, 1)
	s := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		began <- true
		<-r.Context().Done()
		cut <- r.Context().Err()
	}), time.Nanosecond)
	got := fetching(s.url)
	<-began
	s.stop()
	if err := <-s.ended; err != nil {
		t.Error(err)
	}
	select {
	case err := <-cut:
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	default:
		t.Error("Serve returned before the request that it cut off had ended")
	}
	if f := <-got; f.err == nil {
		t.Errorf("the client took %q for an answer", f.body)
	}
}

type deaf struct{ net.Listener }

func (deaf) Accept() (net.Conn, error) { return nil, errors.New("no more sockets") }

func TestServeSaysWhyItCannot(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	err = httpd.Serve(t.Context(), deaf{ln}, http.NotFoundHandler(), 0, quiet)
	if want := "serve " + ln.Addr().String() + ": no more sockets"; err == nil || err.Error() != want {
		t.Errorf("%v, not %s", err, want)
	}
}

// pipes is a listener whose connections are pipes, so that time in a bubble
// does not pass while something is still to be done.
type pipes struct {
	conns  chan net.Conn
	closed chan bool
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p pipes) Close() error {
	select {
	case <-p.closed:
	default:
		close(p.closed)
	}
	return nil
}
func (p pipes) Addr() net.Addr { return &net.UnixAddr{Net: "pipe", Name: "pipe"} }

// dial returns the client's end of a new connection.
func (p pipes) dial() net.Conn {
	ours, theirs := net.Pipe()
	p.conns <- theirs
	return ours
}

// Whoever is slow, or stops, is let go of, also when it never says anything.
func TestLimits(t *testing.T) {
	const get = "GET / HTTP/1.1\r\nHost: x\r\n"
	answered := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "answer") })
	endless := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	})
	for _, tc := range []struct {
		name, sent string
		h          http.Handler
		deaf       bool // the client does not read what it is sent
		want       time.Duration
	}{
		{"says nothing", "", answered, false, 10 * time.Second},
		{"does not end its header", get, answered, false, 10 * time.Second},
		{
			"does not end its body", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nbody",
			http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }), false, 30 * time.Second,
		},
		{"does not ask again", get + "\r\n", answered, false, 2 * time.Minute},
		{"does not read", get + "\r\n", endless, true, time.Minute},
		{"does not read a stream", get + "\r\n", httpd.Stream(time.Hour, endless), true, time.Hour + time.Minute},
		{"waits for a stream", get + "\r\n", httpd.Stream(time.Hour, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			panic(http.ErrAbortHandler)
		})), false, time.Hour},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ln := pipes{make(chan net.Conn), make(chan bool)}
				ctx, stop := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				done := make(chan bool, 1)
				h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					defer func() { done <- true }()
					tc.h.ServeHTTP(w, r)
				})
				go func() { ended <- httpd.Serve(ctx, ln, h, 0, quiet) }()
				c := ln.dial()
				began := time.Now()
				go func() { _, _ = io.WriteString(c, tc.sent) }()
				if tc.deaf {
					<-done
				} else {
					_, _ = io.Copy(io.Discard, c)
				}
				if got := time.Since(began); got != tc.want {
					t.Errorf("let go of after %s, not %s", got, tc.want)
				}
				c.Close()
				stop()
				if err := <-ended; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestHeaderTooLong(t *testing.T) {
	s := serve(t, http.NotFoundHandler(), time.Minute)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X", strings.Repeat("x", 100<<10))
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Error(resp.Status)
	}
	s.stop()
	<-s.ended
}

// A request that heeds nothing is given up, and said to be.
func TestServeGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, release := make(chan bool), make(chan bool)
		ln := pipes{make(chan net.Conn), make(chan bool)}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- httpd.Serve(ctx, ln, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
				began <- true
				<-release
			}), time.Second, quiet)
		}()
		c := ln.dial()
		go func() { _, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n") }()
		<-began
		stop()
		want := "stop serving pipe: a request did not end though it was cut off"
		if err := <-ended; err == nil || err.Error() != want {
			t.Errorf("%v, not %s", err, want)
		}
		close(release)
		c.Close()
	})
}

func TestRecover(t *testing.T) {
	var log bytes.Buffer
	h := httpd.Recover(slog.New(slog.NewTextHandler(&log, nil)), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000")
		w.Header().Set("ETag", "x")
		switch r.URL.Path {
		case "/late":
			fmt.Fprint(w, "half of")
		case "/flushed":
			_ = http.NewResponseController(w).Flush()
		case "/abort":
			panic(http.ErrAbortHandler)
		}
		panic("the secret is out")
	}))
	for _, tc := range []struct {
		path   string
		code   int
		logged bool
	}{
		{"/", 500, true},
		{"/late", 0, true}, // cut off
		{"/flushed", 0, true},
		{"/abort", 0, false},
	} {
		t.Run(tc.path, func(t *testing.T) {
			log.Reset()
			w := httptest.NewRecorder()
			cut := func() (cut bool) {
				defer func() { cut = recover() != nil }()
				h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, tc.path, nil))
				return false
			}()
			if want := tc.code == 0; cut != want {
				t.Errorf("cut off: %t", cut)
			}
			if got := strings.Contains(log.String(), "the secret is out"); got != tc.logged {
				t.Errorf("logged: %t: %s", got, &log)
			}
			if strings.Contains(w.Body.String(), "secret") {
				t.Error("the client is told of the panic")
			}
			if tc.code == 0 {
				return
			}
			want := http.Header{
				"Cache-Control": {"no-store"}, "Content-Type": {"text/plain; charset=utf-8"}, "X-Content-Type-Options": {"nosniff"},
			}
			if diff := cmp.Diff(want, w.Header()); diff != "" || w.Code != tc.code || w.Body.String() != "Something went wrong here. The log says what.\n" {
				t.Errorf("%d %q (-want +got):\n%s", w.Code, w.Body, diff)
			}
		})
	}
}

func TestDebug(t *testing.T) {
	s := serve(t, httpd.Debug(metrics(t), httpd.Health(well), quiet), time.Minute)
	for path, want := range map[string]string{
		"/healthz":                       "ok",
		"/readyz":                        "readyz check passed",
		"/metrics":                       "hedgerow_build_info",
		"/debug/pprof/":                  "Types of profiles available",
		"/debug/pprof/goroutine?debug=1": "goroutine profile:",
		"/debug/pprof/symbol":            "num_symbols",
		"/debug/pprof/cmdline":           "There is nothing at this address.",
		"/":                              "There is nothing at this address.",
	} {
		if body, err := fetch(s.url + path); err != nil || !strings.Contains(body, want) {
			t.Errorf("%s: %v, %.300s", path, err, body)
		}
	}
	// A profile over a time is a stream: a stop does not wait for it.
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET /debug/pprof/trace?seconds=500 HTTP/1.1\r\nHost: x\r\n\r\n")
	in := bufio.NewReader(conn)
	if line, err := in.ReadString('\n'); err != nil || !strings.Contains(line, "200") {
		t.Fatal(line, err)
	}
	s.stop()
	if err := <-s.ended; err != nil {
		t.Error(err)
	}
}
