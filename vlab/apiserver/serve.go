// Package apiserver runs a small but real Kubernetes API server inside this process: CustomResourceDefinitions and the
// resources that they define (k8s.io/apiextensions-apiserver), namespaces and access reviews, on an embedded etcd, with
// TLS, bearer tokens and rules.
//
// It knows nothing of Hedgehog: what it serves beyond namespaces is what somebody installs. Several servers may run in
// one process.
package apiserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"hedgerow/vlab/access"
	"hedgerow/vlab/etcd"
)

const (
	// readyTimeout bounds the wait for every start hook; a second is usual.
	readyTimeout = 2 * time.Minute
	// readyPoll is how often readiness is asked for, in process.
	readyPoll = 5 * time.Millisecond
)

// Options says how to run a server. Data is required.
type Options struct {
	// Data is the directory of everything that is kept: etcd, certificates, tokens.
	Data string
	// Listen is host:port; port 0 takes a free one. Default 127.0.0.1:0.
	Listen string
	// Tokens is a users file (see package access), read again when it changes. Default Data/tokens.yaml, which is made
	// with random tokens when it does not exist.
	Tokens string
	// Log gets what a person should know, such as a broken edit of the users file. Default: nothing.
	Log *slog.Logger
}

// Server is a running API server.
type Server struct {
	// URL is the address, https://host:port.
	URL string
	// CA is the certificate authority that signed the server's certificate, as PEM.
	CA []byte

	handler  http.Handler
	loopback string // bearer token of the server's own, all-powerful user
	policy   *atomic.Pointer[access.Policy]

	cancel context.CancelFunc
	done   chan struct{}
	err    error
}

// Start runs a server until ctx ends or Stop is called, and returns when it answers requests.
func Start(ctx context.Context, o Options) (*Server, error) {
	if o.Data == "" {
		return nil, errors.New("start the API server: no data directory given")
	}
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	users, err := newUsersFile(o, time.Now())
	if err != nil {
		return nil, err
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", o.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", o.Listen, err)
	}
	store, err := etcd.Start(ctx, o.Data)
	if err != nil {
		_ = ln.Close()
		return nil, err
	}
	s := &Server{URL: "https://" + ln.Addr().String(), policy: &users.policy, done: make(chan struct{})}
	prepared, err := s.assemble(o, ln, store.Endpoint)
	if err != nil {
		_ = ln.Close()
		store.Stop()
		return nil, fmt.Errorf("assemble the API server: %w", err)
	}
	// Upstream ends the process when it is told to stop before its start hooks are through, so an early end of ctx
	// waits for them.
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	var wg sync.WaitGroup
	wg.Go(func() { users.watch(run) })
	go func() {
		defer close(s.done)
		s.err = prepared.RunWithContext(run)
		cancel()
		wg.Wait()
		store.Stop()
	}()
	if err := s.waitReady(run); err != nil {
		o.Log.Error("the API server does not start", "error", err)
		return nil, errors.Join(err, s.Stop())
	}
	unhook := context.AfterFunc(ctx, cancel)
	context.AfterFunc(run, func() { unhook() })
	return s, nil
}

// Stop ends the server and returns when nothing of it runs any more. Calling it again only returns the same error.
func (s *Server) Stop() error {
	s.cancel()
	<-s.done
	return s.err
}

// Done is closed when the server has stopped, whatever the reason.
func (s *Server) Done() <-chan struct{} { return s.done }

// Users returns the users as the users file lists them now.
func (s *Server) Users() []access.User { return s.policy.Load().Users() }

func (s *Server) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	poll := time.NewTicker(readyPoll)
	defer poll.Stop()
	client := s.Client()
	for {
		status, answer, err := client.Do(ctx, http.MethodGet, "/readyz", nil)
		if err == nil && status == http.StatusOK {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the API server did not become ready: %w: last answer %d %.200s", context.Cause(ctx), status, answer)
		case <-s.done:
			return fmt.Errorf("the API server stopped while starting: %w", s.err)
		case <-poll.C:
		}
	}
}

// hosts are the names that the server certificate is good for.
func hosts(listen net.Addr) []string {
	h := []string{"localhost", "kubernetes.default", "127.0.0.1", "::1"}
	if tcp, ok := listen.(*net.TCPAddr); ok && !tcp.IP.IsLoopback() && !tcp.IP.IsUnspecified() {
		h = append(h, tcp.IP.String())
	}
	return h
}

func pkiDir(o Options) string { return filepath.Join(o.Data, "pki") }

// prepared is the part of upstream's prepared server that is used here; its type has no exported name.
type prepared interface {
	RunWithContext(ctx context.Context) error
}
