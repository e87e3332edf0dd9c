package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hedgerow/e2e/lab"
)

// readyWithin bounds the time from a start to the first "ready", also after a
// crash and on a busy machine; what it was is logged.
const readyWithin = 20 * time.Second

// keeper is a serve on SQLite that is killed again and again.
type keeper struct {
	*testing.T
	h     *lab.Hedgerow
	r     record
	fleet *lab.Fleet
	dice  *rand.Rand
	edits []lab.Edit

	ready, caught []time.Duration // after each start
	interrupted   int             // runs that a kill did
}

// TestChaosServe kills a serve on SQLite at random instants under load: while it
// starts, follows, reads and commits. After each kill the record is whole, and
// the next start closes what was under way, follows again, and catches up with
// the clusters.
func TestChaosServe(t *testing.T) {
	kills := 8
	if chaosFull() {
		kills = 100
	} else {
		t.Parallel()
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	h, r := install(t, "sqlite")
	x := &keeper{T: t, h: h, r: r, fleet: lab.NewFleet(t, 4, 48), dice: rand.New(rand.NewPCG(seed, 0))}
	x.fleet.Add(t, h, "--interval", "30s")
	p := x.start()
	x.well("the first start")
	for i := range kills {
		p = x.round(i, p)
		if t.Failed() {
			t.Fatalf("stopped after kill %d of seed %d", i+1, seed)
		}
	}
	if code := p.Stop(t); code != 0 {
		t.Errorf("%s ended with %d", p, code)
	}
	c := r.whole(t, "after it all", true)
	v, told, over := c.history(x.fleet, live(x.edits))
	if len(v) > 0 {
		t.Errorf("the history is not what happened:\n%s", v)
	}
	slices.Sort(x.ready)
	slices.Sort(x.caught)
	middle := func(all []time.Duration) string {
		return fmt.Sprintf("%s (at most %s)", all[len(all)/2].Round(time.Millisecond), all[len(all)-1].Round(time.Millisecond))
	}
	t.Logf("%d kills, %d runs interrupted by them; ready after %s, caught up after %s", kills, x.interrupted, middle(x.ready), middle(x.caught))
	t.Logf("%d edits: %d states told in %d runs, %d passed over by passes", len(x.edits), told, len(c.runs), over)
}

func (x *keeper) start() *lab.Process {
	x.Helper()
	begun := time.Now()
	p := lab.Start(x.T, x.h, "serve", "--workers", "4")
	p.WaitReady(x.T, readyWithin)
	x.ready = append(x.ready, time.Since(begun))
	return p
}

// well wants that every fabric is followed and the record is up to date.
func (x *keeper) well(when string) {
	x.Helper()
	begun := time.Now()
	var state []string
	waitFor(x.T, time.Minute, "every fabric to be followed, after "+when, func(context.Context) bool {
		state = x.r.rows(x.T, `SELECT * FROM followers JOIN processes p ON p.id = process_id WHERE state = 'following'`)
		return len(state) == x.fleet.Size()
	}, func() string { return strings.Join(state, "\n") })
	x.caught = append(x.caught, x.r.catchesUp(x.T, x.fleet, begun, caughtUpWithin))
}

// round kills a serve that works, looks at what it left, and starts another.
func (x *keeper) round(i int, p *lab.Process) *lab.Process {
	x.Helper()
	c := x.fleet.Churn(x.Context(), 60, nil, lab.Varied)
	ctx, cancel := context.WithCancel(x.Context())
	defer cancel()
	var syncs sync.WaitGroup
	syncs.Go(func() { // passes, in this process and in another
		for n := 0; ctx.Err() == nil; n++ {
			args := []string{"sync", x.fleet.Name(n % x.fleet.Size())}
			if n%2 == 0 {
				args = append(args, "--queue")
			}
			_ = x.h.Command(ctx, x.T, args...).Run() // busy, or killed
		}
	})
	after := time.Duration(x.dice.Int64N(int64(1500 * time.Millisecond)))
	pause(x.T, after)
	p.Kill()
	what := fmt.Sprintf("kill %d, %s into its work", i+1, after.Round(time.Millisecond))
	if i%2 == 1 {
		// Another one, while it starts over.
		p = lab.Launch(x.T, x.h, "serve", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0")
		after = time.Duration(x.dice.Int64N(int64(800 * time.Millisecond)))
		pause(x.T, after)
		p.Kill()
		what += fmt.Sprintf(" and %s into the next start", after.Round(time.Millisecond))
	}
	cancel()
	syncs.Wait()
	edits, err := c.Stop()
	if err != nil {
		x.Fatal(err)
	}
	x.edits = append(x.edits, edits...)
	x.r.whole(x.T, what, false)
	open := x.r.rows(x.T, `SELECT id FROM runs WHERE outcome = 'running'`)
	x.interrupted += len(open)

	p = x.start()
	for _, run := range open {
		id := strings.TrimPrefix(strings.TrimSpace(run), "id=")
		if got := x.r.rows(x.T, `SELECT outcome FROM runs WHERE id = `+id); !slices.Equal(got, []string{"outcome=interrupted "}) {
			x.Errorf("%s: run %s was left running, and is %v after the next start", what, id, got)
		}
	}
	x.well(what)
	return p
}
