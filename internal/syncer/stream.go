package syncer

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"hedgerow"
)

// stream follows one kind of a fabric.
type stream struct {
	follower *Follower
	kind     hedgerow.Kind
	floor    uint64      // the record is as far as this; the follower's own
	revision uint64      // come so far
	restart  chan uint64 // a pass has read the kind at this revision
	cancel   context.CancelFunc
	done     chan struct{}
}

// streamState is how one stream is: open, or why not.
type streamState struct {
	open bool
	err  error     // nil: not tried yet
	at   time.Time // of the error
}

// run streams until ctx is done.
func (s *stream) run(ctx context.Context) {
	for short := 0; ctx.Err() == nil; {
		if s.rest(ctx, short) != nil {
			return
		}
		begun := time.Now()
		leave := s.follower.gate.enter(ctx)
		err := guard(s.follower.Log.With("fabric", s.follower.Fabric.Name), "follow "+s.kind.Plural, func() error {
			return s.follower.Source.Watch(ctx, s.kind, strconv.FormatUint(s.revision, 10), func(seen hedgerow.Sighting, problem error) error {
				leave(nil)
				return s.saw(ctx, seen, problem)
			})
		})
		leave(err)
		if ctx.Err() != nil {
			return
		}
		if short++; time.Since(begun) > shortWatch {
			short = 0
		}
		if err == nil {
			continue // servers end streams now and then
		}
		s.follower.Log.Info("watch ended", "fabric", s.follower.Fabric.Name, "kind", s.kind.ID().String(), "error", err.Error())
		s.follower.tell(s.kind.ID(), streamState{err: err, at: s.follower.Now()})
		switch hedgerow.CodeOf(err) {
		case hedgerow.CodeExpired, hedgerow.CodeGarbage, hedgerow.CodeTooLarge, hedgerow.CodeInternal:
			// Only a new list says what happened in between.
			s.await(ctx, s.follower.demand)
		case hedgerow.CodeForbidden, hedgerow.CodeNotServed:
			// A pass finds out whether that is so, and for how long.
			s.await(ctx, func(context.Context) {})
		}
	}
}

// shortWatch is the life below which a watch counts as none.
const shortWatch = 5 * time.Second

// rest waits before another try, after so many short watches in a row.
func (s *stream) rest(ctx context.Context, short int) error {
	if short == 0 {
		return ctx.Err()
	}
	t := time.NewTimer(jitter(min(gateFirst<<min(short-1, 10), gateMost)))
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
	return ctx.Err()
}

// await waits until a pass that begins now or later has read the kind, and
// demands it until then: one that was just asked for may have come too early.
func (s *stream) await(ctx context.Context, demand func(context.Context)) {
	select { // of an earlier one
	case <-s.restart:
	default:
	}
	t := time.NewTicker(demandEvery)
	defer t.Stop()
	for {
		demand(ctx)
		select {
		case <-ctx.Done():
			return
		case s.revision = <-s.restart:
			return
		case <-t.C:
		}
	}
}

// saw takes what a stream tells.
func (s *stream) saw(ctx context.Context, seen hedgerow.Sighting, problem error) error {
	revision, err := strconv.ParseUint(seen.ResourceVersion, 10, 64)
	if err != nil {
		return unordered(s.follower.Fabric.Name, seen.ResourceVersion)
	}
	if seen.Name == "" { // a bookmark, or the beginning
		s.revision = max(s.revision, revision)
		s.follower.tell(s.kind.ID(), streamState{open: true})
		return nil
	}
	if problem != nil {
		// It is there, and a pass will say so; what is recorded of it stays.
		s.follower.Log.Warn("change not read", "fabric", s.follower.Fabric.Name, "ref", seen.String(), "error", problem.Error())
		s.revision = revision
		return nil
	}
	select {
	case s.follower.in <- sighting{seen, s.kind.ID(), revision, s.follower.Now()}:
		s.revision = revision
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// tell records how a stream is, for report.
func (f *Follower) tell(id hedgerow.KindID, state streamState) {
	f.mu.Lock()
	before, known := f.states[id]
	f.states[id] = state
	f.mu.Unlock()
	if known && before.open && state.open {
		return
	}
	select {
	case f.told <- struct{}{}:
	default:
	}
}

// report records the state of the whole, when it is another.
func (f *Follower) report(ctx context.Context) error {
	f.mu.Lock()
	var broken, waiting []string
	var why streamState // the newest: the others may be of what was before
	for id, s := range f.states {
		switch {
		case s.open:
		case s.err == nil:
			waiting = append(waiting, id.Kind)
		default:
			broken = append(broken, id.Kind)
			if why.err == nil || s.at.After(why.at) || s.at.Equal(why.at) && s.err.Error() < why.err.Error() {
				why = s
			}
		}
	}
	n := len(f.states)
	closed := len(broken) + len(waiting)
	f.mu.Unlock()
	switch {
	case n == 0:
		return f.state(ctx, hedgerow.Starting, "no kind has been read whole yet")
	case len(broken) > 0:
		slices.Sort(broken)
		what, reason := describe(broken), strings.TrimSuffix(why.err.Error(), ".")
		if closed == n { // the others will find out one by one
			what = "every kind"
			if op, rest, ok := strings.Cut(reason, ": "); ok && strings.HasPrefix(op, "watch ") {
				reason = rest // it is not about the one that was tried last
			}
		}
		return f.state(ctx, hedgerow.Broken, what+": "+reason)
	case len(f.streams) == 0:
		return f.state(ctx, hedgerow.Starting, "a pass is to read the fabric first")
	case len(waiting) > 0:
		return f.state(ctx, hedgerow.Starting, "connecting")
	}
	return f.state(ctx, hedgerow.Following, "")
}

// state records how far the follower has come, when that is another than
// before; its time is that of the state, not of the message.
func (f *Follower) state(ctx context.Context, state hedgerow.FollowState, message string) error {
	if state == f.said && message == f.why {
		return nil
	}
	if before := f.said; state != before {
		f.since = f.Now()
		if before == hedgerow.Broken && state == hedgerow.Following {
			f.demand(ctx) // to close any gap, and a breaker whose next probe may be far
		}
	}
	f.said, f.why = state, message
	mine, err := f.Store.SetFollow(ctx, f.Fabric.ID, f.Process, state, message, f.since)
	if err == nil && !mine {
		return errLost
	}
	return err
}

// answered reports whether a watch failed with an answer of the cluster about
// its kind, which says nothing of the cluster itself.
func answered(err error) bool {
	switch hedgerow.CodeOf(err) {
	case hedgerow.CodeExpired, hedgerow.CodeForbidden, hedgerow.CodeNotServed:
		return true
	}
	return false
}

// gate lets the streams of one fabric go to its cluster. While the cluster
// does not answer they go one at a time, after a wait that grows: a dead
// cluster is asked once, not once for every kind.
type gate struct {
	mu    sync.Mutex
	fails int
	until time.Time
	one   chan struct{} // holds something of the one that tries, while the cluster fails
}

const (
	gateFirst = 500 * time.Millisecond
	gateMost  = 20 * time.Second
)

// enter waits for its turn. The function returned must be called at least
// once; the first call tells whether the cluster answered.
func (g *gate) enter(ctx context.Context) (leave func(error)) {
	alone := false
	for {
		g.mu.Lock()
		fails, wait := g.fails, time.Until(g.until)
		g.mu.Unlock()
		if fails == 0 {
			break
		}
		if !alone {
			select {
			case <-ctx.Done():
				return func(error) {}
			case g.one <- struct{}{}:
			}
			alone = true
			continue // how is it now?
		}
		if wait <= 0 {
			break
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
		case <-t.C:
		}
		if ctx.Err() != nil {
			break
		}
	}
	var once sync.Once
	return func(err error) {
		once.Do(func() {
			g.mu.Lock()
			if err == nil || ctx.Err() != nil || answered(err) {
				g.fails = 0
			} else if !g.until.After(time.Now()) {
				g.fails++
				g.until = time.Now().Add(jitter(min(gateFirst<<min(g.fails-1, 10), gateMost)))
			}
			g.mu.Unlock()
			if alone {
				<-g.one
			}
		})
	}
}
