package syncer

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"hedgerow"
)

// Watcher is where the changes of one fabric come from.
type Watcher interface {
	// Watch streams the changes of a kind after a revision; see
	// [hedgerow/internal/kube.Client.Watch].
	Watch(ctx context.Context, k hedgerow.Kind, revision string, fn func(hedgerow.Sighting, error) error) error
}

// FollowStore is the record as a follower needs it.
type FollowStore interface {
	NewestPass(ctx context.Context, fabric int64) (hedgerow.Run, error)
	Evidence(ctx context.Context, fabric int64) ([]hedgerow.KindEvidence, error)
	Revisions(ctx context.Context, fabric int64) (map[hedgerow.KindID]string, error)
	Kinds(ctx context.Context, fabric int64) ([]hedgerow.Kind, error)
	Amend(ctx context.Context, a hedgerow.Amendment, decide func(map[hedgerow.Ref]hedgerow.Mark) []hedgerow.Move) (hedgerow.Amended, error)
	SetFollow(ctx context.Context, fabric int64, process string, state hedgerow.FollowState, message string, now time.Time) (mine bool, err error)
}

// A Follower records the changes of one fabric as they happen, between passes.
//
// It resumes every kind where the record left off, and never lists: what it
// cannot resume it leaves to a pass, which it demands. Each change is committed
// once, however often it is told: nothing is taken from before the revision
// up to which the record knows a kind, nor an object that is older than the
// one recorded, and both are looked at in the transaction that commits.
type Follower struct {
	Store   FollowStore
	Source  Watcher
	Fabric  hedgerow.Fabric
	Process string                            // that holds the claim to this fabric
	Merge   func(hedgerow.Kind) hedgerow.Kind // adds to a recorded kind what we know of it
	Demand  func(ctx context.Context) error   // asks for a pass, soon
	Wake    <-chan struct{}                   // the fabric moved on by another's doing
	Now     func() time.Time
	Log     *slog.Logger

	in      chan sighting
	streams map[hedgerow.KindID]*stream
	gate    gate
	group   sync.WaitGroup

	mu     sync.Mutex // of what the streams tell
	states map[hedgerow.KindID]streamState
	told   chan struct{} // states changed

	said  hedgerow.FollowState // state last recorded, its message, and since when it holds
	why   string
	since time.Time

	demanded time.Time // the last time that a pass was asked for

	basis  int64
	floors map[hedgerow.KindID]uint64
	seen   map[hedgerow.Ref]identity // of kinds that are rewritten all the time
}

// sighting is one change, and when it reached us.
type sighting struct {
	hedgerow.Sighting
	kind     hedgerow.KindID
	revision uint64
	at       time.Time
}

type identity struct {
	uid    string
	digest hedgerow.Digest
}

const (
	// queued bounds the sightings that wait to be committed; when it is
	// reached the streams wait, and the server keeps what is to come.
	queued = 256
	// batch bounds the sightings of one commit.
	batch = 128
	// pause is how long a follower waits before it asks again whether a pass
	// that is under way has ended, when nobody tells it.
	pause = 100 * time.Millisecond
	// recheck is how often a follower looks by itself whether there has been
	// another pass.
	recheck = 30 * time.Second
	// demandEvery is the least time between two passes that a follower asks
	// for.
	demandEvery = time.Minute
)

// errLost says that another process follows the fabric now.
var errLost = errors.New("the fabric is followed by another process")

// Run follows the fabric until ctx is done, or the fabric is another
// process's to follow: then the error is nil.
func (f *Follower) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer f.group.Wait()
	defer cancel()
	f.in = make(chan sighting, queued)
	f.streams = map[hedgerow.KindID]*stream{}
	f.states = map[hedgerow.KindID]streamState{}
	f.told = make(chan struct{}, 1)
	f.gate.one = make(chan struct{}, 1)
	f.seen = map[hedgerow.Ref]identity{}
	f.basis = -1
	timer := time.NewTicker(recheck)
	defer timer.Stop()
	var next *sighting // taken from the queue, but not into the last batch
	err := f.rebase(ctx)
	for err == nil {
		if next != nil {
			next, err = f.commit(ctx, *next)
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case s := <-f.in:
			next = &s
		case <-f.told:
			err = f.report(ctx)
		case <-f.Wake:
			err = f.rebase(ctx)
		case <-timer.C:
			err = f.rebase(ctx)
		}
	}
	if errors.Is(err, errLost) {
		return nil
	}
	return err
}

// rebase reads what the newest pass left, and makes the streams fit it.
func (f *Follower) rebase(ctx context.Context) error {
	pass, err := f.Store.NewestPass(ctx, f.Fabric.ID)
	if err != nil {
		return err
	}
	if pass.ID == f.basis || pass.Outcome == hedgerow.Running {
		if f.basis < 0 {
			return f.state(ctx, hedgerow.Starting, "a pass is to read the fabric first")
		}
		return nil
	}
	evidence, err := f.Store.Evidence(ctx, f.Fabric.ID)
	if err != nil {
		return err
	}
	recorded, err := f.Store.Revisions(ctx, f.Fabric.ID)
	if err != nil {
		return err
	}
	kinds, err := f.kinds(ctx, evidence)
	if err != nil {
		return err
	}
	f.basis, f.floors = pass.ID, map[hedgerow.KindID]uint64{}
	clear(f.seen) // the pass may have read what no stream told
	closed := map[hedgerow.KindID]streamState{}
	for _, e := range evidence {
		id := e.ID()
		if e.Kind == "" || e.Verdict == hedgerow.Absent {
			continue
		}
		k, floor, err := f.follows(e, kinds, recorded[id])
		if err != nil || floor == 0 {
			closed[id] = streamState{err: err, at: f.Now()}
			continue
		}
		f.floors[id] = floor
		f.open(ctx, k, floor)
	}
	for id, s := range f.streams {
		if f.floors[id] == 0 {
			f.end(id, s)
		}
	}
	f.mu.Lock()
	maps.DeleteFunc(f.states, func(id hedgerow.KindID, _ streamState) bool { return f.streams[id] == nil })
	maps.Copy(f.states, closed)
	f.mu.Unlock()
	return f.report(ctx)
}

// follows says from where on a kind is to be followed: from nowhere, with the
// reason or without one yet, unless a pass has read it whole since the fabric
// was last changed, which may have made it another cluster's.
func (f *Follower) follows(e hedgerow.KindEvidence, kinds map[hedgerow.KindID]hedgerow.Kind, recorded string) (k hedgerow.Kind, floor uint64, err error) {
	k, known := kinds[e.ID()]
	switch {
	case e.Verdict == hedgerow.Forbidden || e.Code == hedgerow.CodeGuard || e.CompleteRun == 0 && e.Code != "":
		return k, 0, hedgerow.Errorf(e.Code, "%s", e.Message)
	case e.CompleteRun == 0 || !known || e.CompleteAt.Before(f.Fabric.UpdatedAt):
		return k, 0, nil
	}
	if floor, err = strconv.ParseUint(e.Revision, 10, 64); err != nil || floor == 0 {
		return k, 0, unordered(f.Fabric.Name, e.Revision)
	}
	if r, err := strconv.ParseUint(recorded, 10, 64); err == nil && r > floor {
		floor = r
	}
	return k, floor, nil
}

// unordered says that changes cannot be put in order.
func unordered(fabric, revision string) error {
	return hedgerow.Errorf(hedgerow.CodeGarbage, "the API server's resourceVersion %q is not a number, so that changes cannot be put in order", revision).
		WithHint("Set the fabric to passes only: hedgerow fabric edit %s --mode poll", fabric)
}

// kinds returns the kinds that evidence is of. Those that are streamed as they
// are read are not asked for again: a definition is large.
func (f *Follower) kinds(ctx context.Context, evidence []hedgerow.KindEvidence) (map[hedgerow.KindID]hedgerow.Kind, error) {
	kinds := make(map[hedgerow.KindID]hedgerow.Kind, len(evidence))
	for _, e := range evidence {
		if s := f.streams[e.ID()]; s != nil && e.Fingerprint == s.kind.Reading() {
			kinds[e.ID()] = s.kind
		}
	}
	if len(kinds) == len(evidence) {
		return kinds, nil
	}
	known, err := f.Store.Kinds(ctx, f.Fabric.ID)
	for _, k := range known {
		k = f.Merge(k)
		k.Schema, k.Columns = nil, nil
		kinds[k.ID()] = k
	}
	return kinds, err
}

// open makes sure that a kind is streamed from its floor on.
func (f *Follower) open(ctx context.Context, k hedgerow.Kind, floor uint64) {
	if s := f.streams[k.ID()]; s != nil {
		// A cluster that counts from further back was restored from a backup,
		// and tells nothing to who waits for its old revisions.
		if s.kind.Reading() == k.Reading() && s.kind.Version == k.Version && floor >= s.floor {
			s.floor = floor
			select { // the newest counts
			case <-s.restart:
			default:
			}
			s.restart <- floor // in case it waits for a pass
			return
		}
		f.end(k.ID(), s)
	}
	ctx, cancel := context.WithCancel(ctx)
	s := &stream{follower: f, kind: k, floor: floor, revision: floor, restart: make(chan uint64, 1), cancel: cancel, done: make(chan struct{})}
	f.streams[k.ID()] = s
	f.tell(k.ID(), streamState{})
	f.group.Go(func() {
		defer close(s.done)
		s.run(ctx)
	})
}

func (f *Follower) end(id hedgerow.KindID, s *stream) {
	s.cancel()
	<-s.done
	delete(f.streams, id)
	f.mu.Lock()
	delete(f.states, id)
	f.mu.Unlock()
}

// commit commits a sighting with those that follow it in the queue, and
// returns the one that has to wait for the next commit, if any.
func (f *Follower) commit(ctx context.Context, first sighting) (next *sighting, err error) {
	all := []sighting{first}
	taken := map[hedgerow.Ref]bool{first.Ref: true}
	for len(all) < batch && next == nil {
		select {
		case s := <-f.in:
			if taken[s.Ref] { // each state of an object is one of its history
				next = &s
				continue
			}
			all, taken[s.Ref] = append(all, s), true
			continue
		default:
		}
		break
	}
	for {
		all = f.fresh(all)
		if len(all) == 0 {
			return next, nil
		}
		a := f.amendment(all)
		out, err := f.Store.Amend(ctx, a, func(marks map[hedgerow.Ref]hedgerow.Mark) []hedgerow.Move { return decide(a.Sightings, marks) })
		switch {
		case err != nil:
			return nil, err
		case out.Lost:
			return nil, errLost
		case out.Moved && !out.Busy:
			if err := f.rebase(ctx); err != nil {
				return nil, err
			}
		case out.Busy:
			if err := f.wait(ctx, pause); err != nil {
				return nil, err
			}
		default:
			f.remember(all, out.Run)
			f.logged(out.Run)
			return next, nil
		}
	}
}

func (f *Follower) wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-f.Wake:
	case <-t.C:
	}
	return nil
}

// fresh drops what the record knows already, without asking it.
func (f *Follower) fresh(all []sighting) []sighting {
	kept := all[:0]
	for _, s := range all {
		if floor, ok := f.floors[s.kind]; !ok || s.revision <= floor {
			continue // a pass has read it since
		}
		if id, ok := f.seen[s.Ref]; ok && !s.Deleted && id == (identity{s.UID, s.Digest}) {
			continue
		}
		kept = append(kept, s)
	}
	return kept
}

// remember keeps how far the record is, and what was just recorded of objects
// that are written again and again with nothing but vitals in them.
func (f *Follower) remember(all []sighting, r hedgerow.Run) {
	for _, s := range all {
		if on := f.streams[s.kind]; on != nil && r.ID != 0 {
			on.floor = max(on.floor, s.revision)
		}
		// A stream that was opened anew tells it again.
		f.floors[s.kind] = max(f.floors[s.kind], s.revision)
		switch {
		case s.Deleted:
			delete(f.seen, s.Ref)
		case s.Vitals != nil:
			f.seen[s.Ref] = identity{s.UID, s.Digest}
		}
	}
}

func (f *Follower) amendment(all []sighting) hedgerow.Amendment {
	a := hedgerow.Amendment{
		Fabric: f.Fabric.ID, Process: f.Process, Actor: "follower", Basis: f.basis, At: all[0].at, Now: f.Now,
		Revisions: map[hedgerow.KindID]string{}, Evidence: f.evidence,
	}
	for _, s := range all {
		a.Sightings = append(a.Sightings, s.Sighting)
		a.Revisions[s.kind] = s.ResourceVersion
	}
	return a
}

// decide says what sightings mean against what is recorded.
func decide(seen []hedgerow.Sighting, marks map[hedgerow.Ref]hedgerow.Mark) []hedgerow.Move {
	index := map[hedgerow.KindID]int{}
	var moves []hedgerow.Move
	for _, s := range seen {
		mark, known := marks[s.Ref]
		if known && older(s.ResourceVersion, mark.ResourceVersion) || !known && s.Deleted {
			continue
		}
		same := known && mark.UID == s.UID && mark.Digest == s.Digest
		if same && !s.Deleted {
			continue
		}
		id := hedgerow.KindID{Group: s.Group, Kind: s.Kind}
		i, ok := index[id]
		if !ok {
			i = len(moves)
			index[id], moves = i, append(moves, hedgerow.Move{Kind: id, Began: hedgerow.Created})
		}
		switch m := &moves[i]; {
		case s.Deleted:
			m.Deleted = append(m.Deleted, mark)
		case !known:
			m.Created = append(m.Created, s.Object)
		case mark.UID != s.UID:
			m.Renewed = append(m.Renewed, s.Object)
		default:
			m.Updated = append(m.Updated, s.Object)
		}
	}
	return moves
}

// older reports whether a is no newer than b; both count up.
func older(a, b string) bool {
	x, errX := strconv.ParseUint(a, 10, 64)
	y, errY := strconv.ParseUint(b, 10, 64)
	return errX == nil && errY == nil && x <= y
}

// evidence is what the run that records moves proved.
func (f *Follower) evidence(moves []hedgerow.Move) []hedgerow.KindEvidence {
	var all []hedgerow.KindEvidence
	for _, m := range moves {
		plural := ""
		if s := f.streams[m.Kind]; s != nil {
			plural = s.kind.Plural
		}
		n := len(m.Renewed)
		all = append(all, hedgerow.KindEvidence{Group: m.Kind.Group, Kind: m.Kind.Kind, Plural: plural, Verdict: hedgerow.Followed, Counts: hedgerow.Counts{
			Created: len(m.Created) + n, Updated: len(m.Updated), Deleted: len(m.Deleted) + n,
		}})
	}
	return all
}

func (f *Follower) logged(r hedgerow.Run) {
	if r.ID == 0 {
		return
	}
	c := r.Counts()
	f.Log.Debug("changes followed", "fabric", f.Fabric.Name, "run", r.ID, "created", c.Created, "updated", c.Updated, "deleted", c.Deleted,
		"duration", r.FinishedAt.Sub(r.StartedAt))
}

// demand asks for a pass, unless one was just asked for; that it could not be
// is no reason to stop.
func (f *Follower) demand(ctx context.Context) {
	now := f.Now()
	f.mu.Lock()
	again := now.Sub(f.demanded) < demandEvery
	if !again {
		f.demanded = now
	}
	f.mu.Unlock()
	if again {
		return
	}
	if err := f.Demand(ctx); err != nil && ctx.Err() == nil {
		f.Log.Warn("no pass could be asked for", "fabric", f.Fabric.Name, "error", err.Error())
	}
}

// jitter spreads a wait over half of itself and one and a half.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d) }
