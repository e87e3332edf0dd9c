package lab

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Did is what an edit did to its object.
type Did string

// The three.
const (
	Created Did = "created"
	Updated Did = "updated"
	Deleted Did = "deleted"
)

// Edit is one change that an API server confirmed.
type Edit struct {
	Fabric int
	Did    Did
	Object        // as it was after the edit; without a version when deleted
	Value  string // of spec.description, unique in the Fleet; "" when deleted
	// The change became visible to others between these two.
	Asked, Answered time.Time
}

// Mix is what a Churn does.
type Mix int

const (
	// Updates sets descriptions of servers that were there before: they are
	// small, which spares the API server more than half of the work.
	Updates Mix = iota
	// Varied is four updates in five edits, also of what it made itself, and
	// makes and deletes servers with the rest. Half of the new ones take the
	// name of one that was deleted.
	Varied
)

// Churn edits fabrics at a steady rate.
type Churn struct {
	fleet   *Fleet
	fabrics []int
	mix     Mix
	tickets chan int
	stop    context.CancelFunc
	workers sync.WaitGroup

	mu     sync.Mutex
	edits  []Edit
	failed int
	first  error // of those that failed
}

// Churn begins to make so many edits a second, of the fabrics in turn (nil: all
// of them), until Stop is called or ctx ends. A server that is slower gets what
// it takes, and what was missed is not made up for: vlab on two processors
// takes about 600 a second, less while others use them. The error of an edit
// ends nothing, so that a Churn outlives an outage of the server.
func (f *Fleet) Churn(ctx context.Context, perSecond float64, fabrics []int, mix Mix) *Churn {
	c := &Churn{fleet: f, fabrics: fabrics, mix: mix, tickets: make(chan int)}
	if fabrics == nil {
		for i := range f.n {
			c.fabrics = append(c.fabrics, i)
		}
	}
	// A request that is under way when ctx ends is waited for: half a request
	// would be an edit of which nobody knows whether it was made.
	whole := context.WithoutCancel(ctx)
	ctx, c.stop = context.WithCancel(ctx)
	for i := range connections {
		w := &worker{churn: c, turn: i}
		c.workers.Go(func() {
			for n := range c.tickets {
				w.edit(whole, n)
			}
		})
	}
	// So few at once that the rate is steady, and enough for the grain of timers.
	steady := rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond/50)))
	c.workers.Go(func() {
		defer close(c.tickets)
		for n := 0; steady.Wait(ctx) == nil; n++ {
			select {
			case c.tickets <- n:
			case <-ctx.Done():
				return
			}
		}
	})
	return c
}

// Stop ends the edits, waits for those under way, and returns all that were
// confirmed, in the order of the answers. The error tells how many were not,
// and the first reason: whether those were made is not known.
func (c *Churn) Stop() ([]Edit, error) {
	c.stop()
	c.workers.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	slices.SortStableFunc(c.edits, func(a, b Edit) int { return a.Answered.Compare(b.Answered) })
	if c.failed > 0 {
		return c.edits, fmt.Errorf("%d of %d edits failed, the first: %w", c.failed, c.failed+len(c.edits), c.first)
	}
	return c.edits, nil
}

func (c *Churn) note(e Edit, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		c.edits = append(c.edits, e)
		return
	}
	if c.failed++; c.first == nil {
		c.first = err
	}
}

// Made is how many edits were confirmed so far.
func (c *Churn) Made() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.edits)
}
