package httpd

import (
	"context"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"hedgerow"
)

// Where spans go is said in these, which are OpenTelemetry's own; the first
// wins.
const (
	tracesEndpoint = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
	endpoint       = "OTEL_EXPORTER_OTLP_ENDPOINT"
)

// Tracing returns a provider that sends spans, in batches, to the OTLP receiver
// that environ names, or drops them when it names none. The exporter reads
// its other settings, OTEL_EXPORTER_OTLP_*, from the process's environment; it
// speaks HTTP only. shutdown sends what is left. Nothing global is set.
func Tracing(ctx context.Context, environ []string, release string, log *slog.Logger) (_ trace.TracerProvider, shutdown func(context.Context) error, err error) {
	set := map[string]string{}
	for _, e := range environ {
		name, value, _ := strings.Cut(e, "=")
		set[name] = strings.TrimSpace(value)
	}
	named := endpoint
	if set[tracesEndpoint] != "" {
		named = tracesEndpoint
	}
	if set[named] == "" || set["OTEL_TRACES_EXPORTER"] == "none" || strings.EqualFold(set["OTEL_SDK_DISABLED"], "true") {
		return noop.NewTracerProvider(), func(context.Context) error { return nil }, nil
	}
	// The exporter would go on with a default where it does not understand.
	// The value may hold a password, and is not repeated.
	if u, err := url.Parse(set[named]); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, nil, hedgerow.Errorf(hedgerow.CodeInvalid, "%s is not an http:// or https:// address", named)
	}
	for _, p := range []string{"OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"} {
		if set[p] == "grpc" {
			return nil, nil, hedgerow.Errorf(hedgerow.CodeInvalid, "%s is grpc, but spans are sent over HTTP only: use http/protobuf, and the receiver's port for it (4318 by default)", p)
		}
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, nil, hedgerow.Errorf(hedgerow.CodeInvalid, "send spans as %s says: %w", named, err)
	}
	// OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win. Detectors of the
	// process are left out: they tell the command line.
	of, err := resource.New(ctx, resource.WithTelemetrySDK(),
		resource.WithAttributes(attribute.String("service.name", "hedgerow"), attribute.String("service.version", release)),
		resource.WithFromEnv())
	if err != nil {
		return nil, nil, hedgerow.Errorf(hedgerow.CodeInvalid, "describe the process in spans: %w", err)
	}
	p := sdk.NewTracerProvider(sdk.WithBatcher(quiet{exporter, log}, sdk.WithExportTimeout(exportTimeout)), sdk.WithResource(of))
	return p, p.Shutdown, nil
}

// quiet logs what an exporter fails with, where the library would write it to
// standard error in a way of its own.
type quiet struct {
	sdk.SpanExporter
	log *slog.Logger
}

// ExportSpans sends spans; those that could not be sent are lost.
func (q quiet) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	if err := q.SpanExporter.ExportSpans(ctx, spans); err != nil {
		q.log.Warn("traces not sent", "error", err.Error())
	}
	return nil
}

// exportTimeout bounds one batch, retries included.
const exportTimeout = 30 * time.Second
