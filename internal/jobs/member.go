package jobs

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"hedgerow"
)

// Session is a process's place among the others in the record.
type Session interface {
	Beat(ctx context.Context, p *hedgerow.Process) error
}

// Reaper forgets processes that have died.
type Reaper interface {
	Reap(ctx context.Context, me string) (dead int, err error)
	// Space is a problem when there is about no room left for the record.
	Space() error
}

// A Member reports its process to the others, and notices when one of them is
// gone.
type Member struct {
	Process hedgerow.Process
	Session Session
	Reaper  Reaper
	Engine  *Engine
	// Full reports whether an error came from a disk without space.
	Full func(error) bool
	// Gone is called when other processes have died.
	Gone func()
	Now  func() time.Time
	Log  *slog.Logger

	beating  sync.Mutex
	mu       sync.Mutex
	draining bool
	last     time.Time // of the last beat that was recorded
	own      map[string]hedgerow.Problem
}

// beatTimeout bounds one beat.
const beatTimeout = hedgerow.Lease / 3

// skew is the difference to the database's clock above which ages are wrong.
const skew = 5 * time.Second

// Run beats until ctx is done. The process should take its leave after that.
func (m *Member) Run(ctx context.Context) error {
	for {
		early := m.beat(ctx)
		wait := hedgerow.Beat
		if m.Process.Workers > 0 && early {
			wait = soon // that it keeps the schedule should be known as soon as it does
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		case <-t.C:
		}
	}
}

// Drain tells the others that the process takes on no more work, so that they
// share it among themselves.
func (m *Member) Drain(ctx context.Context) {
	m.mu.Lock()
	m.draining = true
	m.mu.Unlock()
	m.beat(ctx)
}

// soon is the wait for what happens right after the start.
const soon = 200 * time.Millisecond

// beat reports the process once. It was early when the process did not keep the
// schedule yet, so that this is what was recorded.
func (m *Member) beat(ctx context.Context) (early bool) {
	m.beating.Lock()
	defer m.beating.Unlock()
	ctx, cancel := context.WithTimeout(ctx, beatTimeout)
	defer cancel()
	space := m.Reaper.Space()
	if space != nil {
		m.set("DiskFull", space)
	}
	p := m.Process
	m.mu.Lock()
	if m.draining {
		p.Workers = 0
	}
	m.mu.Unlock()
	p.Problems, p.TickedAt = m.Problems(), m.Engine.TickedAt()
	before := m.Now()
	err := m.Session.Beat(ctx, &p)
	if err == nil {
		took := m.Now().Sub(before)
		m.set("ClockSkew", astray(p.BeatAt.Sub(before), took))
		m.mu.Lock()
		m.last = m.Now()
		m.mu.Unlock()
	}
	early = err == nil && p.TickedAt.IsZero()
	if ctx.Err() != nil && err != nil && errors.Is(ctx.Err(), context.Canceled) {
		return early
	}
	switch {
	case err != nil && m.Full(err):
		m.set("DiskFull", err)
	default:
		m.set("RecordNotWritable", err)
	}
	if err != nil {
		return early
	}
	m.set("DiskFull", space) // it could be written: whether there is room is the last word
	dead, err := m.Reaper.Reap(ctx, m.Process.ID)
	if err != nil {
		m.Log.Warn("dead processes not looked for", "error", err.Error())
	}
	if dead > 0 {
		m.Log.Warn("other processes have died; their work is taken over", "processes", dead)
		m.Gone()
	}
	return early
}

// astray is an error when the database's clock, read within took, is another
// than ours.
func astray(ahead, took time.Duration) error {
	if ahead > took+skew {
		return hedgerow.Errorf(hedgerow.CodeInternal, "the clock of this machine is %s behind that of the database: ages are wrong by as much", hedgerow.Age(ahead))
	}
	if ahead < -skew {
		return hedgerow.Errorf(hedgerow.CodeInternal, "the clock of this machine is %s ahead of that of the database: ages are wrong by as much", hedgerow.Age(-ahead))
	}
	return nil
}

func (m *Member) set(reason string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p, had := m.own[reason]
	switch {
	case err == nil:
		delete(m.own, reason)
		return
	case !had:
		p = hedgerow.Problem{Reason: reason, Since: m.Now()}
		m.Log.Error("process in trouble", "reason", reason, "error", err.Error())
	}
	if m.own == nil {
		m.own = map[string]hedgerow.Problem{}
	}
	p.Message = err.Error()
	m.own[reason] = p
}

// Problems returns everything that is wrong with the process and what it
// stands on.
func (m *Member) Problems() []hedgerow.Problem {
	all := m.Engine.Problems()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.own {
		all = append(all, p)
	}
	return all
}

// BeatAt is when the process last reported itself, zero before the first time.
func (m *Member) BeatAt() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.last
}
