package syncer

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"hedgerow"
)

// ClaimStore is the record as it says who follows what.
type ClaimStore interface {
	Claims(ctx context.Context) ([]hedgerow.Claim, error)
	Claim(ctx context.Context, fabric int64, process string, now time.Time) (bool, error)
	Release(ctx context.Context, fabric int64, process string) error
	Processes(ctx context.Context) ([]hedgerow.Process, error)
	SetFollow(ctx context.Context, fabric int64, process string, state hedgerow.FollowState, message string, now time.Time) (mine bool, err error)
}

// Followers are those of one process. They share the fabrics with the other
// processes: each takes its part, and takes over from those that are gone.
type Followers struct {
	Store   ClaimStore
	Process string
	// New returns a follower of a fabric, and what to call when it has ended.
	New func(ctx context.Context, f hedgerow.Fabric) (*Follower, func(), error)
	// Wake holds something when it may be worth looking at once.
	Wake <-chan struct{}
	Now  func() time.Time
	Log  *slog.Logger

	running map[int64]*following
}

// following is one follower at work.
type following struct {
	fabric hedgerow.Fabric
	cancel context.CancelFunc
	done   chan struct{}
	after  time.Time // it has ended: not before then again
}

const (
	// lookEvery is how often a process looks for fabrics to follow.
	lookEvery = 2 * time.Second
	// againAfter is how long it waits with one whose follower failed.
	againAfter = 10 * time.Second
)

// Run follows until ctx is done, and then lets go of every fabric.
func (m *Followers) Run(ctx context.Context) error {
	m.running = map[int64]*following{}
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	for ctx.Err() == nil {
		if err := m.look(ctx); err != nil && ctx.Err() == nil {
			m.Log.Warn("not known what to follow", "error", err.Error())
		}
		select {
		case <-ctx.Done():
		case <-m.Wake:
		case <-t.C:
		}
	}
	for _, r := range m.running {
		r.cancel()
	}
	// All together: what cannot be let go of in time is free when the process
	// is gone.
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	for id := range m.running {
		m.stop(end, id, true)
	}
	return ctx.Err()
}

// look claims what nobody follows, up to this process's share, lets go of what
// is above it, and starts and stops followers accordingly.
func (m *Followers) look(ctx context.Context) error {
	all, err := m.Store.Claims(ctx)
	if err != nil {
		return err
	}
	processes, err := m.Store.Processes(ctx)
	if err != nil {
		return err
	}
	share := len(all)
	if n := able(processes); n > 1 {
		share = (len(all) + n - 1) / n
	}
	mine := map[int64]hedgerow.Fabric{}
	for _, c := range all {
		if c.Process == m.Process {
			mine[c.Fabric.ID] = c.Fabric
		}
	}
	for id, r := range m.running {
		if f, ok := mine[id]; !ok || !f.UpdatedAt.Equal(r.fabric.UpdatedAt) {
			m.stop(ctx, id, false)
		}
	}
	for id := range mine {
		if len(mine) <= share {
			break
		}
		m.stop(ctx, id, true)
		delete(mine, id)
	}
	for _, c := range all {
		if c.Process != "" || len(mine) >= share {
			continue
		}
		ok, err := m.Store.Claim(ctx, c.Fabric.ID, m.Process, m.Now())
		if err != nil {
			return err
		}
		if ok {
			mine[c.Fabric.ID] = c.Fabric
		}
	}
	for id, f := range mine {
		m.start(ctx, id, f)
	}
	return nil
}

// able counts the processes that can follow.
func able(all []hedgerow.Process) (n int) {
	for _, p := range all {
		if p.Workers > 0 && !p.Gone {
			n++
		}
	}
	return n
}

func (m *Followers) start(ctx context.Context, id int64, f hedgerow.Fabric) {
	if r := m.running[id]; r != nil {
		select {
		case <-r.done:
			if m.Now().Before(r.after) {
				return
			}
		default:
			return
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	r := &following{fabric: f, cancel: cancel, done: make(chan struct{}), after: m.Now().Add(againAfter/2 + rand.N(againAfter))}
	m.running[id] = r
	go func() {
		defer close(r.done)
		defer cancel()
		if err := m.follow(ctx, f); err != nil && ctx.Err() == nil {
			m.Log.Warn("fabric not followed", "fabric", f.Name, "error", err.Error())
			if _, err := m.Store.SetFollow(ctx, id, m.Process, hedgerow.Broken, err.Error(), m.Now()); err != nil {
				m.Log.Warn("follower's state not recorded", "fabric", f.Name, "error", err.Error())
			}
		}
	}()
}

func (m *Followers) follow(ctx context.Context, f hedgerow.Fabric) error {
	follower, ended, err := m.New(ctx, f)
	if err != nil {
		return err
	}
	defer ended()
	return follower.Run(ctx)
}

// stop ends a follower, if it runs, and waits for it.
func (m *Followers) stop(ctx context.Context, id int64, release bool) {
	if r := m.running[id]; r != nil {
		r.cancel()
		<-r.done
		delete(m.running, id)
	}
	if !release {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, releaseTimeout)
	defer cancel()
	if err := m.Store.Release(ctx, id, m.Process); err != nil {
		m.Log.Warn("fabric not let go of", "error", err.Error()) // the lease ends by itself
	}
}

const releaseTimeout = 2 * time.Second
