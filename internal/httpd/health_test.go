package httpd_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"hedgerow/internal/httpd"
)

func well(context.Context) []httpd.Check { return []httpd.Check{{Name: "record"}} }

// ask sends one request to h and returns status, content type and body.
func ask(h http.Handler, path, accept string) string {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	if accept != "" {
		r.Header.Set("Accept", accept)
	}
	h.ServeHTTP(w, r)
	return fmt.Sprint(w.Code, " ", w.Header().Get("Content-Type"), "\n", w.Body)
}

func TestReadyz(t *testing.T) {
	const text, json = " text/plain; charset=utf-8\n", " application/json\n"
	mixed := []httpd.Check{{Name: "record"}, {Name: "schedule", Err: errors.New("nothing has kept it\nfor 40s.")}}
	warned := []httpd.Check{{Name: "record"}, {Name: "follow", Err: errors.New("dc1: the watch broke."), Warn: true}}
	for _, tc := range []struct {
		name, accept string
		checks       []httpd.Check
		want         string
	}{
		{"all is well", "", []httpd.Check{{Name: "record"}, {Name: "schedule"}}, "200" + text + "[+]record ok\n[+]schedule ok\nreadyz check passed\n"},
		{"one is not", "*/*", mixed, "503" + text + "[+]record ok\n[-]schedule failed: nothing has kept it\\u000afor 40s.\nreadyz check failed\n"},
		{"nothing is proved by nothing", "", nil, "503" + text + "[-]checks failed: nothing was checked\nreadyz check failed\n"},
		{"JSON", "application/json", mixed, "503" + json + `{"ready":false,"checks":[{"name":"record","ok":true},{"name":"schedule","ok":false,"reason":"nothing has kept it\\u000afor 40s."}]}` + "\n"},
		{"JSON among others", "text/html, application/json;q=0.9", mixed[:1], "200" + json + `{"ready":true,"checks":[{"name":"record","ok":true}]}` + "\n"},
		{"a warning", "", warned, "200" + text + "[+]record ok\n[!]follow: dc1: the watch broke.\nreadyz check passed\n"},
		{"a warning in JSON", "application/json", warned, "200" + json + `{"ready":true,"checks":[{"name":"record","ok":true},{"name":"follow","ok":false,"warning":true,"reason":"dc1: the watch broke."}]}` + "\n"},
		{"anything but JSON", "application/json;q=0.0", mixed[:1], "200" + text + "[+]record ok\nreadyz check passed\n"},
		{"nonsense", ";;,", mixed[:1], "200" + text + "[+]record ok\nreadyz check passed\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := httpd.Health(func(context.Context) []httpd.Check { return tc.checks })
			if diff := cmp.Diff(tc.want, ask(h, "/readyz", tc.accept)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A check that ends at once is never taken for one that takes too long.
func TestReadyzAtOnce(t *testing.T) {
	h := httpd.Health(well)
	for range 5000 {
		if diff := cmp.Diff("200 text/plain; charset=utf-8\n[+]record ok\nreadyz check passed\n", ask(h, "/readyz", "")); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	}
}

func TestReadyzOverrun(t *testing.T) {
	t.Run("a check", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h := httpd.Health(func(ctx context.Context) []httpd.Check {
				<-ctx.Done()
				return []httpd.Check{{Name: "process"}, {Name: "record", Err: fmt.Errorf("read the record: %w", ctx.Err())}}
			})
			want := "503 text/plain; charset=utf-8\n[+]process ok\n[-]record failed: no answer within 5s\nreadyz check failed\n"
			if diff := cmp.Diff(want, ask(h, "/readyz", "")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	})
	t.Run("all, and heedlessly", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			release := make(chan bool)
			var calls atomic.Int32
			h := httpd.Health(func(context.Context) []httpd.Check {
				calls.Add(1)
				<-release
				return nil
			})
			want := "503 text/plain; charset=utf-8\n[-]checks failed: no answer within 5s\nreadyz check failed\n"
			for range 3 {
				if diff := cmp.Diff(want, ask(h, "/readyz", "")); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			}
			if n := calls.Load(); n != 1 {
				t.Errorf("%d calls hang, not one", n)
			}
			if got := ask(h, "/healthz", ""); got != "200 text/plain; charset=utf-8\nok\n" {
				t.Error(got)
			}
			close(release)
		})
	})
}

// Probes that meet share the answer; the next gets a new one.
func TestReadyzShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		h := httpd.Health(func(ctx context.Context) []httpd.Check {
			calls.Add(1)
			<-time.After(time.Second)
			return well(ctx)
		})
		for round := range int32(3) {
			var wg sync.WaitGroup
			for range 20 {
				wg.Go(func() { ask(h, "/readyz", "") })
			}
			wg.Wait()
			if n := calls.Load(); n != round+1 {
				t.Errorf("%d calls after round %d", n, round+1)
			}
		}
	})
}

// A bug in a check is a bug, not an answer; and it does not end the process.
func TestReadyzPanic(t *testing.T) {
	h := httpd.Recover(quiet, httpd.Health(func(context.Context) []httpd.Check { panic("a bug") }))
	if diff := cmp.Diff("500 text/plain; charset=utf-8\nSomething went wrong here. The log says what.\n", ask(h, "/readyz", "")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Who has gone is not waited for.
func TestReadyzGone(t *testing.T) {
	release := make(chan bool)
	defer close(release)
	h := httpd.Health(func(context.Context) []httpd.Check {
		<-release
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/readyz", nil))
	if w.Body.Len() > 0 {
		t.Errorf("%s", w.Body)
	}
}
