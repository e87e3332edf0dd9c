package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"hedgerow"
	"hedgerow/internal/httpd"
	"hedgerow/internal/jobs"
	"hedgerow/internal/kinds"
	"hedgerow/internal/live"
	"hedgerow/internal/store"
	"hedgerow/internal/syncer"
)

// service is a running serve or worker: the parts, wired by hand.
type service struct {
	*app
	flags     serveFlags
	process   hedgerow.Process
	hub       *live.Hub
	clients   *clients
	syncer    *syncer.Syncer
	engine    *jobs.Engine
	member    *jobs.Member
	followers *syncer.Followers
	metrics   *httpd.Metrics
	fleet     *fleet
	pages     http.Handler
	listeners map[string]net.Listener // web, metrics
	draining  chan struct{}           // closed when it stops taking on work
}

// serve runs until ctx is done.
func (a *app) serve(ctx context.Context, role string, f serveFlags) error {
	s := &service{app: a, flags: f, hub: live.New(a.log), listeners: map[string]net.Listener{}, draining: make(chan struct{})}
	defer s.closeListeners()
	// What another program has taken is better known before anything is done.
	if err := s.listen(role); err != nil {
		return err
	}
	a.moved = s.hub.Poke
	db, err := a.store(ctx)
	if err != nil {
		return err
	}
	db.SetPasses(f.workers, jobs.Overtime(f.workers))
	tracing, stopTracing, err := httpd.Tracing(ctx, a.environ, version(), a.log)
	if err != nil {
		return err
	}
	defer s.within(stopTracing, "traces not sent")
	s.metrics = httpd.NewMetrics(version(), a.now)
	s.clients = &clients{app: a}
	defer s.clients.close()
	s.syncer = &syncer.Syncer{Store: db, Now: a.now, Log: a.log, Tracer: tracing.Tracer("hedgerow")}

	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	s.process = hedgerow.Process{Host: host, PID: os.Getpid(), Role: role, Release: version(), Workers: f.workers, StartedAt: a.now()}
	session, err := db.Join(ctx, &s.process)
	if err != nil {
		return err
	}
	defer s.within(func(ctx context.Context) error { return session.Leave(ctx, s.process.ID) }, "leave not taken")
	queue, err := db.Queue(ctx)
	if err != nil {
		return err
	}
	defer queue.Close()
	s.engine, err = jobs.New(ctx, jobs.Config{
		ID: s.process.ID, Workers: f.workers, Store: db, Passes: s, Now: a.now, Log: a.log, Meter: s.metrics,
		Database: jobs.Database(*queue),
	})
	if err != nil {
		return err
	}
	s.fleet = newFleet(a)
	s.metrics.Watch(s.fleet, s.engine)
	gone := make(chan struct{}, 1)
	s.member = &jobs.Member{Process: s.process, Session: session, Reaper: db, Engine: s.engine, Full: store.Full, Now: a.now, Log: a.log, Gone: func() {
		select {
		case gone <- struct{}{}:
		default:
		}
	}}
	if s.pages, err = s.site(); err != nil {
		return err
	}
	s.followers = &syncer.Followers{Store: db, Process: s.process.ID, New: s.follower, Wake: gone, Now: a.now, Log: a.log}
	return s.run(ctx, db)
}

// run starts the parts and stops them in order: first what takes on work, then
// what it stands on.
func (s *service) run(ctx context.Context, db *store.DB) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	base, stopBase := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBase()
	var work, ground sync.WaitGroup
	start := func(wg *sync.WaitGroup, ctx context.Context, what string, run func(context.Context) error) {
		wg.Go(func() {
			if err := run(ctx); err != nil && !errors.Is(err, context.Canceled) {
				s.log.Error("part failed", "part", what, "error", err.Error())
				stop(err)
			}
		})
	}
	start(&ground, base, "live", func(ctx context.Context) error { return s.hub.Run(ctx, db) })
	start(&ground, base, "member", s.member.Run)
	for name, ln := range s.listeners {
		h := httpd.Recover(s.log, s.pages)
		if name == "metrics" {
			h = httpd.Debug(s.metrics, httpd.Health(s.ready), s.log)
		}
		start(&ground, base, name, func(ctx context.Context) error { return httpd.Serve(ctx, ln, h, httpGrace, s.log) })
		s.log.Info("listening", "for", name, "address", ln.Addr().String())
	}
	start(&work, ctx, "queue", func(ctx context.Context) error { return s.engine.Run(ctx, s.flags.grace) })
	if s.flags.workers > 0 {
		start(&work, ctx, "followers", s.followers.Run)
	}
	start(&ground, base, "clients", s.clients.prune)
	start(&ground, base, "systemd", s.supervised)
	s.log.Info("started", "process", s.process.ID, "role", s.process.Role, "workers", s.flags.workers, "engine", db.Engine(), "release", s.process.Release)
	<-ctx.Done()
	s.log.Info("stopping", "grace", s.flags.grace)
	close(s.draining)
	s.member.Drain(base)
	work.Wait()
	stopBase()
	ground.Wait()
	s.log.Info("stopped")
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// httpGrace is how long answers under way have to end.
const httpGrace = 5 * time.Second

func (s *service) listen(role string) error {
	addresses := map[string]string{"metrics": s.flags.metrics}
	if role == "serve" {
		addresses["web"] = s.flags.listen
	}
	for name, address := range addresses {
		if address == "" {
			continue
		}
		ln, err := net.Listen("tcp", address)
		if err != nil {
			return hedgerow.Errorf(hedgerow.CodeInvalid, "the %s port cannot be opened: %w", name, err).WithHint("Choose another address: --listen for the web, --metrics-listen for the metrics.")
		}
		s.listeners[name] = ln
	}
	return nil
}

func (s *service) closeListeners() {
	for _, ln := range s.listeners {
		_ = ln.Close() // the server has closed it already, if it ran
	}
}

// within calls what ends something, which has a few seconds for it.
func (s *service) within(end func(context.Context) error, otherwise string) {
	ctx, cancel := context.WithTimeout(context.Background(), httpGrace)
	defer cancel()
	if err := end(ctx); err != nil {
		s.log.Warn(otherwise, "error", err.Error())
	}
}

// Observe makes one pass of a fabric. A fabric whose cluster cannot even be
// tried has a run that says why.
func (s *service) Observe(ctx context.Context, w jobs.Wanted) (hedgerow.Run, error) {
	var src syncer.Source
	c, err := s.clients.of(ctx, w.Fabric)
	if src = c; err != nil {
		src = syncer.Unreachable(err)
	}
	return s.syncer.Observe(ctx, src, syncer.Request{Fabric: w.Fabric, Trigger: w.Trigger, Actor: w.Actor, Met: w.Met, Begun: w.Begun})
}

// Probe asks a fabric's cluster whether it answers at all.
func (s *service) Probe(ctx context.Context, f hedgerow.Fabric) error {
	c, err := s.clients.of(ctx, f)
	if err != nil {
		return err
	}
	return c.Probe(ctx)
}

// follower returns a follower of a fabric.
func (s *service) follower(ctx context.Context, f hedgerow.Fabric) (*syncer.Follower, func(), error) {
	c, err := s.clients.of(ctx, f)
	if err != nil {
		return nil, nil, err
	}
	sub := s.hub.Subscribe(func(id int64, before, after hedgerow.Moment) bool {
		return id == f.ID && (before.Pass != after.Pass || before.Running != after.Running)
	})
	return &syncer.Follower{
		Store: s.db, Source: c, Fabric: f, Process: s.process.ID, Merge: kinds.Merge, Wake: sub.C(), Now: s.now, Log: s.log,
		Demand: func(ctx context.Context) error {
			_, err := s.engine.Request(ctx, f.ID, jobs.Gap, "follower")
			return err
		},
	}, sub.Close, nil
}
