// Package agents plays the agents of a fabric: for each Switch (and Gateway) of a cluster it keeps an Agent (or
// GatewayAgent) whose status looks as if a machine reported it, heartbeat after heartbeat.
//
// It is responsible for what the reports say: that they fit the wiring (ports, neighbours, sessions), that counters only
// rise, that a new generation is first pending and then applied. Agents of deleted Switches stay behind, as they do in
// reality. What a report says at an instant follows from the wiring, the seed and that instant alone, so that a report
// can be tested without waiting, and the two ends of a cable agree.
//
// It must not know how requests travel: no URLs beyond paths, no TLS, no tokens. It shares nothing with the product, and
// nothing with the API server but requests.
package agents

import (
	"context"
	"io"
	"log/slog"
	"time"
)

// Canary is part of every made-up secret that the rendered specs hold (password hashes, registry and telemetry
// credentials), so that a search for it proves that somebody stored what must not be stored.
const Canary = "vlab-fake-secret"

// Client sends one request to the API server. The path starts with /apis. Bodies and answers are JSON objects.
//
// An error means that there was no answer; an answer with any status is not an error.
type Client interface {
	Do(ctx context.Context, method, path string, body []byte) (status int, answer []byte, err error)
}

// Options say how the machines behave. The zero value is ready for use.
type Options struct {
	// Every is the time between two reports of a machine, and between two looks at the wiring. Default 15 s.
	Every time.Duration
	// Apply is the least time that a machine takes to apply a new generation; it may take up to twice that. Default 3 s.
	Apply time.Duration
	// Log receives what failed. Default: nothing is logged.
	Log *slog.Logger
	// Now is the clock that reports are made by. Default time.Now.
	Now func() time.Time
	// Seed varies every made-up number. The same seed makes the same machines.
	Seed uint64
}

func (o Options) withDefaults() Options {
	if o.Every <= 0 {
		o.Every = 15 * time.Second
	}
	if o.Apply <= 0 {
		o.Apply = 3 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Run plays the agents of namespace default until ctx ends, and then returns nil. Requests that fail are logged and made
// again when their machine's next report is due. It starts no goroutines.
func Run(ctx context.Context, c Client, o Options) error {
	o = o.withDefaults()
	f := &floor{api: api{c}, options: o, dice: dice(o.Seed), machines: map[string]*machine{}}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		timer.Reset(max(0, f.work(ctx).Sub(o.Now())))
	}
}
