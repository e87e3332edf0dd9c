package httpd_test

import (
	"compress/gzip"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"hedgerow"
	"hedgerow/internal/httpd"
)

// receiver is an OTLP receiver: what it was sent, as "service release: span".
type receiver struct {
	mu    sync.Mutex
	paths []string
	spans []string
}

func (c *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		body = z
	}
	b, err := io.ReadAll(body)
	var request collector.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(b, &request)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.paths = append(c.paths, r.URL.Path)
	for _, of := range request.ResourceSpans {
		about := map[string]string{}
		for _, a := range of.Resource.Attributes {
			about[a.Key] = a.Value.GetStringValue()
			if strings.HasPrefix(a.Key, "process.") {
				c.spans = append(c.spans, "the process is told of: "+a.Key)
			}
		}
		for _, scope := range of.ScopeSpans {
			for _, s := range scope.Spans {
				c.spans = append(c.spans, about["service.name"]+" "+about["service.version"]+": "+s.Name)
			}
		}
	}
}

func TestTracing(t *testing.T) {
	for _, tc := range []struct {
		name, variable, suffix string
		more                   map[string]string
		path, service          string
	}{
		{"base", "OTEL_EXPORTER_OTLP_ENDPOINT", "", nil, "/v1/traces", "hedgerow"},
		{"traces only", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "/here", nil, "/here", "hedgerow"},
		{
			"compressed, under a name of its own", "OTEL_EXPORTER_OTLP_ENDPOINT", "/base",
			map[string]string{"OTEL_EXPORTER_OTLP_COMPRESSION": "gzip", "OTEL_SERVICE_NAME": "mine"},
			"/base/v1/traces", "mine",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := &receiver{}
			s := httptest.NewServer(c)
			defer s.Close()
			t.Setenv(tc.variable, s.URL+tc.suffix)
			for name, value := range tc.more {
				t.Setenv(name, value)
			}
			global := otel.GetTracerProvider()
			p, shutdown, err := httpd.Tracing(t.Context(), os.Environ(), "1.2.3", slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			if otel.GetTracerProvider() != global {
				t.Error("the global provider was set")
			}
			for _, name := range []string{"pass", "commit"} {
				_, span := p.Tracer("test").Start(t.Context(), name)
				span.End()
			}
			if err := shutdown(context.Background()); err != nil {
				t.Fatal(err)
			}
			want := []string{tc.service + " 1.2.3: pass", tc.service + " 1.2.3: commit"}
			if diff := cmp.Diff(want, c.spans); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]string{tc.path}, c.paths); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestNoTracing(t *testing.T) {
	const set = "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1"
	for _, environ := range [][]string{
		nil,
		{"OTEL_EXPORTER_OTLP_ENDPOINT="},
		{"OTEL_SERVICE_NAME=x"},
		{set, "OTEL_TRACES_EXPORTER=none"},
		{set, "OTEL_SDK_DISABLED=True"},
	} {
		p, shutdown, err := httpd.Tracing(t.Context(), environ, "1", slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(environ, err)
		}
		_, span := p.Tracer("test").Start(t.Context(), "x")
		if span.IsRecording() || span.SpanContext().IsValid() {
			t.Errorf("%v: spans are recorded", environ)
		}
		span.End()
		if err := shutdown(t.Context()); err != nil {
			t.Error(environ, err)
		}
	}
}

func TestTracingRefuses(t *testing.T) {
	for _, tc := range []struct {
		environ []string
		want    string
	}{
		{[]string{"OTEL_EXPORTER_OTLP_ENDPOINT=collector:4318"}, "OTEL_EXPORTER_OTLP_ENDPOINT is not an http:// or https:// address"},
		{[]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://u:hunter2@[", "OTEL_EXPORTER_OTLP_ENDPOINT=http://x"}, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is not an http:// or https:// address"},
		{[]string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://"}, "OTEL_EXPORTER_OTLP_ENDPOINT is not an http:// or https:// address"},
		{
			[]string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://x:4317", "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"},
			"OTEL_EXPORTER_OTLP_PROTOCOL is grpc, but spans are sent over HTTP only: use http/protobuf, and the receiver's port for it (4318 by default)",
		},
	} {
		_, _, err := httpd.Tracing(t.Context(), tc.environ, "1", slog.New(slog.DiscardHandler))
		if err == nil || err.Error() != tc.want || hedgerow.CodeOf(err) != hedgerow.CodeInvalid {
			t.Errorf("%v: %v, not %s", tc.environ, err, tc.want)
		}
	}
}
