// Package live tells who wants to know that a fabric has moved on: within the
// process at once, and from other processes as soon as the database says so,
// with a look at it now and then as a safety net.
//
// It carries no data, only where each fabric is. A subscriber has one slot, so
// a slow one is never behind and nothing overflows: it finds the newest moment
// when it looks, and misses nothing by missing the ones before. The package
// knows neither what a fabric holds nor where that is stored.
package live

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"time"

	"hedgerow"
)

// Source is the record, as far as it says where fabrics are.
type Source interface {
	Moments(ctx context.Context) (map[int64]hedgerow.Moment, error)
	// Listen calls fn when another process has moved a fabric on, until ctx
	// is done or it can listen no more.
	Listen(ctx context.Context, fn func(fabric int64)) error
}

const (
	// gap is the least time between two looks at the record.
	gap = 50 * time.Millisecond
	// net is how often the record is looked at though nobody told us to.
	net = 5 * time.Second
	// relisten is the wait before listening again after it broke off.
	relisten = time.Second
)

// A Hub spreads the news. Its zero value is not usable; see [New].
type Hub struct {
	log  *slog.Logger
	poke chan struct{}

	mu   sync.Mutex
	last map[int64]hedgerow.Moment
	subs map[*Subscription]bool
}

// New returns a hub that is silent until Run.
func New(log *slog.Logger) *Hub {
	return &Hub{log: log, poke: make(chan struct{}, 1), subs: map[*Subscription]bool{}}
}

// Poke says that this process has moved a fabric on.
func (h *Hub) Poke(int64) {
	select {
	case h.poke <- struct{}{}:
	default:
	}
}

// Run watches the record until ctx is done.
func (h *Hub) Run(ctx context.Context, src Source) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { h.listen(ctx, src) })
	look := time.NewTicker(net)
	defer look.Stop()
	for ctx.Err() == nil {
		if err := h.refresh(ctx, src); err != nil && ctx.Err() == nil {
			h.log.Warn("not known where the fabrics are", "error", err.Error())
		}
		if !sleep(ctx, gap) {
			break
		}
		select {
		case <-ctx.Done():
		case <-h.poke:
		case <-look.C:
		}
	}
	return ctx.Err()
}

func (h *Hub) listen(ctx context.Context, src Source) {
	for {
		err := src.Listen(ctx, h.Poke)
		if ctx.Err() != nil {
			return
		}
		if err != nil && !errors.Is(err, context.Canceled) {
			h.log.Warn("changes by other processes are seen late", "error", err.Error())
		}
		if !sleep(ctx, relisten) {
			return
		}
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

func (h *Hub) refresh(ctx context.Context, src Source) error {
	now, err := src.Moments(ctx)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.subs {
		for id, m := range now {
			if old, ok := h.last[id]; !ok || old != m {
				s.hear(id, old, m)
			}
		}
		for id, old := range h.last {
			if _, ok := now[id]; !ok {
				s.hear(id, old, hedgerow.Moment{})
			}
		}
	}
	h.last = now
	return nil
}

// A Subscription hears of the fabrics that its holder asked for. Close it.
type Subscription struct {
	hub   *Hub
	wants func(fabric int64, before, after hedgerow.Moment) bool
	slot  chan struct{}
}

// Subscribe returns a subscription to the moves that wants picks. A fabric
// that was removed is at its zero moment.
func (h *Hub) Subscribe(wants func(fabric int64, before, after hedgerow.Moment) bool) *Subscription {
	s := &Subscription{hub: h, wants: wants, slot: make(chan struct{}, 1)}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.subs[s] = true
	return s
}

// C holds something when there has been a move since it was last taken.
func (s *Subscription) C() <-chan struct{} { return s.slot }

// Close ends the subscription.
func (s *Subscription) Close() {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	delete(s.hub.subs, s)
}

func (s *Subscription) hear(id int64, before, after hedgerow.Moment) {
	if !s.wants(id, before, after) {
		return
	}
	select {
	case s.slot <- struct{}{}:
	default:
	}
}

// Moments returns where every fabric was when last looked at.
func (h *Hub) Moments() map[int64]hedgerow.Moment {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.last)
}
