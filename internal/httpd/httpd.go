// Package httpd is the ground that every HTTP answer of ours stands on: a
// server that bounds what a client may take and stops in order, health,
// metrics, profiles and traces.
//
// It knows no page, no SQL, no cluster and no queue: what it tells about them
// comes through small interfaces of its own, as facts of the vocabulary. It
// alone knows Prometheus.
package httpd

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"hedgerow"
)

// The limits of one request. A handler that needs more time says so with
// [Stream].
const (
	headerTimeout = 10 * time.Second
	readTimeout   = 30 * time.Second // the whole request
	answerTimeout = time.Minute      // the whole answer, from the end of the request's header
	idleTimeout   = 2 * time.Minute  // between two requests of one connection
	headerBytes   = 64 << 10
	// afterCut is how long a request that was cut off has to notice.
	afterCut = 5 * time.Second
)

// Serve answers requests on ln with h until ctx is done. Then it takes no more,
// tells streams to end, gives the others the grace to do so by themselves, and
// cuts off those that do not. It returns when all have ended: nil, unless the
// listener failed or a request would not end. It closes ln.
func Serve(ctx context.Context, ln net.Listener, h http.Handler, grace time.Duration, log *slog.Logger) error {
	stopping, stop := context.WithCancel(ctx)
	defer stop()
	// Requests outlive ctx, by the grace.
	requests, cut := context.WithCancel(context.WithValue(context.WithoutCancel(ctx), stoppingKey{}, stopping))
	defer cut()
	inside := &gate{empty: make(chan struct{})}
	s := &http.Server{
		Handler:           inside.before(bounded(h)),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    headerBytes,
		BaseContext:       func(net.Listener) context.Context { return requests },
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ln) }()
	var err error
	select {
	case err = <-ended:
	case <-ctx.Done():
	}
	stop()
	left, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if s.Shutdown(left) != nil {
		log.Warn("requests cut off: they did not end by themselves", "address", ln.Addr().String(), "grace", grace.String())
		_ = s.Close()
	}
	cut()
	if err == nil {
		err = <-ended
	}
	if !inside.close(afterCut) {
		return hedgerow.Errorf(hedgerow.CodeInternal, "stop serving %s: a request did not end though it was cut off", ln.Addr())
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return hedgerow.Errorf(hedgerow.CodeInternal, "serve %s: %w", ln.Addr(), err)
}

// stoppingKey is where a request's context keeps the context that ends when
// the server begins to stop.
type stoppingKey struct{}

// bounded gives every answer a deadline that is not the server's, so that a
// handler can move it.
func bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// It fails only where there is no connection that could hang.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTimeout))
		next.ServeHTTP(w, r)
	})
}

// Stream allows next an answer that goes on for at most so long. Its context
// ends with that time, and as soon as the server begins to stop. It should
// bound each write, for the client may have stopped reading.
func Stream(most time.Duration, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), most)
		defer cancel()
		if stopping, ok := ctx.Value(stoppingKey{}).(context.Context); ok {
			defer context.AfterFunc(stopping, cancel)()
		}
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(most + answerTimeout))
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// A gate counts the requests inside, and lets none in once it is closed.
// http.Server does not wait for those that it has cut off.
type gate struct {
	mu     sync.Mutex
	inside int
	closed bool
	empty  chan struct{} // closed when the gate is and nobody is inside
}

func (g *gate) before(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !g.move(1) {
			panic(http.ErrAbortHandler)
		}
		defer g.move(-1)
		next.ServeHTTP(w, r)
	})
}

func (g *gate) move(n int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed && n > 0 {
		return false
	}
	g.inside += n
	if g.closed && g.inside == 0 {
		close(g.empty)
	}
	return true
}

// close reports whether everybody was out in time.
func (g *gate) close(most time.Duration) bool {
	g.mu.Lock()
	g.closed = true
	if g.inside == 0 {
		close(g.empty)
	}
	g.mu.Unlock()
	t := time.NewTimer(most)
	defer t.Stop()
	select {
	case <-g.empty:
		return true
	case <-t.C:
		return false
	}
}
