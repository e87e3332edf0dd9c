// Package syncer holds the use cases: observe a fabric, compare what was read
// with the record, and commit the difference once.
//
// It decides what a pass may claim. A deletion is inferred only from a
// complete list of the same pass; a kind that could not be read keeps its
// objects and the age of its last proof; a pass that would lose a large part
// of a fabric stops and asks. It knows neither clusters nor SQL: both are
// behind small interfaces.
package syncer

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"golang.org/x/sync/errgroup"

	"hedgerow"
)

// Source is where the snapshot of one fabric comes from.
type Source interface {
	// Discover says which kinds are served. Those defined as in known keep
	// what is known of them.
	Discover(ctx context.Context, known []hedgerow.Kind) (hedgerow.Discovery, error)
	// Read reads one kind whole. Objects with the content that prior has
	// come without it.
	Read(ctx context.Context, k hedgerow.Kind, prior hedgerow.Prior) hedgerow.KindSnapshot
}

// Store is the record.
type Store interface {
	Begin(ctx context.Context, o hedgerow.Opening) (*hedgerow.Pass, error)
	Kinds(ctx context.Context, fabric int64) ([]hedgerow.Kind, error)
	Marks(ctx context.Context, fabric int64) (map[hedgerow.KindID][]hedgerow.Mark, error)
	Commit(ctx context.Context, c hedgerow.Commit) (version int64, err error)
}

// Request says what pass to make, and for whom.
type Request struct {
	Fabric  hedgerow.Fabric
	Trigger string
	Actor   string
	// AcceptDeletions lets the pass commit deletions however many they are.
	AcceptDeletions bool
	// Progress, when set, is called as kinds are read, never concurrently.
	Progress func(Progress)
	// Met, when set, tells whether the newest pass is as good as the one asked
	// for; see [hedgerow.Opening].
	Met func(newest hedgerow.Run) bool
	// Begun, when set, is called once the run is in the record.
	Begun func()
}

// Progress tells how far a pass has come.
type Progress struct {
	Kinds, Done int // kinds to read, kinds read
	Objects     int // objects read
	Last        *hedgerow.KindSnapshot
}

// A Syncer makes passes. It is safe for concurrent use.
type Syncer struct {
	Store Store
	Now   func() time.Time
	Log   *slog.Logger
	// Tracer traces passes, nil for nobody.
	Tracer trace.Tracer
}

// trace begins a span.
func (s *Syncer) trace(ctx context.Context, name string, about ...attribute.KeyValue) (context.Context, trace.Span) {
	t := s.Tracer
	if t == nil {
		t = noop.Tracer{}
	}
	return t.Start(ctx, name, trace.WithAttributes(about...))
}

// Unreachable is a source that cannot even be tried, for a reason that every
// pass over it will record.
func Unreachable(why error) Source { return unreachable{why} }

type unreachable struct{ why error }

func (u unreachable) Discover(context.Context, []hedgerow.Kind) (hedgerow.Discovery, error) {
	return hedgerow.Discovery{}, u.why
}

func (u unreachable) Read(_ context.Context, k hedgerow.Kind, _ hedgerow.Prior) hedgerow.KindSnapshot {
	return hedgerow.KindSnapshot{Kind: k, Verdict: hedgerow.Failed, Err: u.why}
}

const (
	// parallel is how many kinds of one fabric are read at a time.
	parallel = 4
)

// Observe makes one pass over a fabric's cluster and returns its run as it was
// recorded. The error tells only of a run that could not be made or recorded;
// how the pass went is in the run's outcome.
func (s *Syncer) Observe(ctx context.Context, src Source, q Request) (hedgerow.Run, error) {
	ctx, span := s.trace(ctx, "pass", attribute.String("fabric", q.Fabric.Name), attribute.String("trigger", q.Trigger))
	defer span.End()
	pass, err := s.Store.Begin(ctx, hedgerow.Opening{Fabric: q.Fabric, Trigger: q.Trigger, Actor: q.Actor, Clock: s.Now, Met: q.Met})
	if err != nil {
		return hedgerow.Run{}, err
	}
	defer pass.End()
	if q.Begun != nil {
		q.Begun()
	}
	o := &observation{Syncer: s, src: src, request: q, run: pass.Run, before: map[hedgerow.KindID]hedgerow.KindEvidence{}}
	for _, e := range pass.Before {
		o.before[e.ID()] = e
	}
	log := s.Log.With("fabric", q.Fabric.Name, "run", pass.Run.ID)
	log.Debug("run begins", "trigger", q.Trigger, "actor", q.Actor)

	passCtx, cancel := context.WithTimeout(ctx, q.Fabric.Policy.PassTimeout)
	var commit hedgerow.Commit
	err = guard(log, "read the cluster", func() (err error) {
		commit, err = o.observe(passCtx)
		return err
	})
	cancel()
	if err != nil {
		commit = o.unread(pass.Before, err)
	}
	if ctx.Err() != nil && commit.Run.Outcome != hedgerow.RunComplete {
		// Whatever failed then, this is why.
		commit.Run.Outcome, commit.Run.Code, commit.Run.Message = hedgerow.Interrupted, hedgerow.CodeInterrupted, "it was cancelled before it was done"
	}
	// How the pass ended must be recorded also when it was cancelled.
	commitCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), hedgerow.CommitTimeout)
	defer cancel()
	commit.Run.FinishedAt = s.Now()
	commit.Settings = pass.Settings
	schedule := pass.Schedule.Ended(commit.Run, q.Fabric.Policy.Interval, commit.Run.FinishedAt, rand.Float64())
	if schedule != pass.Schedule {
		commit.Schedule = &schedule
	}
	for i := range commit.Run.Kinds {
		e := &commit.Run.Kinds[i]
		if e.Verdict == hedgerow.Complete && e.CompleteRun == commit.Run.ID {
			e.CompleteAt = commit.Run.FinishedAt
		}
	}
	log.Debug("commit begins")
	span.SetAttributes(attribute.Int64("run", commit.Run.ID), attribute.String("outcome", string(commit.Run.Outcome)))
	if commit.Run.Outcome != hedgerow.RunComplete {
		span.SetStatus(codes.Error, string(commit.Run.Code))
	}
	commitCtx, committing := s.trace(commitCtx, "commit")
	defer committing.End()
	if commit.Run.VersionAfter, err = s.Store.Commit(commitCtx, commit); err != nil {
		// At least that it could not be recorded should be. If that fails too,
		// the next process closes the run as interrupted.
		lost := o.unread(pass.Before, fmt.Errorf("what was read could not be recorded: %w", err))
		lost.Run.FinishedAt = commit.Run.FinishedAt
		if _, err := s.Store.Commit(commitCtx, lost); err != nil {
			log.Error("run not recorded", "error", err.Error())
		}
		return commit.Run, err
	}
	c := commit.Run.Counts()
	log.Info("run ended", "outcome", commit.Run.Outcome, "code", commit.Run.Code, "message", commit.Run.Message,
		"listed", c.Listed, "created", c.Created, "updated", c.Updated, "deleted", c.Deleted, "failed", c.Failed,
		"duration", commit.Run.FinishedAt.Sub(commit.Run.StartedAt))
	return commit.Run, nil
}

// observation is one pass under way.
type observation struct {
	*Syncer
	src     Source
	request Request
	run     hedgerow.Run
	before  map[hedgerow.KindID]hedgerow.KindEvidence
	left    int // kinds that are served but excluded
}

// observe reads the cluster and says what to commit. Its error tells that the
// record could not be read.
func (o *observation) observe(ctx context.Context) (hedgerow.Commit, error) {
	fabric := o.request.Fabric
	known, err := o.Store.Kinds(ctx, fabric.ID)
	if err != nil {
		return hedgerow.Commit{}, err
	}
	// The record and the cluster can be asked at the same time.
	var marks map[hedgerow.KindID][]hedgerow.Mark
	var marksErr error
	var wg sync.WaitGroup
	wg.Go(func() { marks, marksErr = o.Store.Marks(ctx, fabric.ID) })
	discoverCtx, span := o.trace(ctx, "discover")
	found, err := o.src.Discover(discoverCtx, known)
	span.End()
	wg.Wait()
	if marksErr != nil {
		return hedgerow.Commit{}, marksErr
	}
	if err != nil {
		return o.nothing(known, marks, err), nil
	}
	serve, unserved := o.sort(found, known)
	snaps := o.read(ctx, serve, marks)
	return o.conclude(snaps, unserved, known, marks), nil
}

// unread concludes a pass that could not read the record, or was cancelled
// over it. What was proven before stays proven.
func (o *observation) unread(before []hedgerow.KindEvidence, err error) hedgerow.Commit {
	r := o.run
	r.Outcome, r.Code, r.Message = hedgerow.RunFailed, hedgerow.CodeOf(err), err.Error()
	for _, e := range before {
		e = o.carry(hedgerow.Kind{Group: e.Group, Kind: e.Kind, Plural: e.Plural}, e.Present)
		e.Verdict, e.Code, e.Message = hedgerow.Failed, r.Code, r.Message
		r.Kinds = append(r.Kinds, e)
	}
	return hedgerow.Commit{Run: r}
}

// read reads kinds a few at a time; the snapshots are in the order of ks.
func (o *observation) read(ctx context.Context, ks []hedgerow.Kind, marks map[hedgerow.KindID][]hedgerow.Mark) []hedgerow.KindSnapshot {
	snaps := make([]hedgerow.KindSnapshot, len(ks))
	var mu sync.Mutex
	p := Progress{Kinds: len(ks)}
	report := func(s *hedgerow.KindSnapshot) {
		if o.request.Progress == nil {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if s != nil {
			p.Done, p.Objects, p.Last = p.Done+1, p.Objects+len(s.Objects), s
		}
		o.request.Progress(p)
	}
	report(nil)
	var eg errgroup.Group
	eg.SetLimit(parallel)
	for i, k := range ks {
		eg.Go(func() error {
			ctx, span := o.trace(ctx, "read", attribute.String("kind", k.ID().String()))
			defer span.End()
			err := guard(o.Log.With("fabric", o.request.Fabric.Name, "run", o.run.ID), "read "+k.Plural, func() error {
				snaps[i] = o.src.Read(ctx, k, hedgerow.Prior{Marks: marks[k.ID()], Fingerprint: o.before[k.ID()].Fingerprint})
				return nil
			})
			if err != nil {
				snaps[i] = hedgerow.KindSnapshot{Kind: k, Verdict: hedgerow.Failed, Err: err}
			}
			if err := snaps[i].Err; err != nil {
				o.Log.Info("kind not read", "fabric", o.request.Fabric.Name, "run", o.run.ID, "kind", k.ID().String(), "verdict", snaps[i].Verdict, "error", err.Error())
			}
			report(&snaps[i])
			return nil
		})
	}
	_ = eg.Wait() // the functions return nil
	return snaps
}

// describe names a few of many.
func describe(what []string) string {
	const few = 3
	if len(what) <= few {
		return join(what)
	}
	return fmt.Sprintf("%s and %d more", join(what[:few]), len(what)-few)
}
