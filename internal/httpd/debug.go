package httpd

import (
	"log/slog"
	"net/http"
	"net/http/pprof"
	"time"
)

// longestProfile bounds a profile that is taken over a time.
const longestProfile = 10 * time.Minute

// Debug answers on the port that operators alone should reach: metrics,
// profiles, and health. Profiles show no data, only code and sizes; the
// command line, which net/http/pprof would also show, may hold the password of
// a database, and is not served.
func Debug(m *Metrics, health http.Handler, log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", NotFound())
	mux.Handle("/healthz", health)
	mux.Handle("/readyz", health)
	mux.Handle("/metrics", reading(m.Handler()))
	for path, h := range map[string]http.HandlerFunc{
		"/debug/pprof/":        pprof.Index, // and the named profiles
		"/debug/pprof/profile": pprof.Profile,
		"/debug/pprof/symbol":  pprof.Symbol,
		"/debug/pprof/trace":   pprof.Trace,
	} {
		mux.Handle(path, Stream(longestProfile, h))
	}
	mux.Handle("/debug/pprof/cmdline", NotFound())
	return Recover(log, Headers(mux))
}
