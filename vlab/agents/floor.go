package agents

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// floor is where the machines stand: it looks at the wiring, and lets each machine report when it is due.
type floor struct {
	api      api
	options  Options
	dice     dice
	machines map[string]*machine
	nextLook time.Time
}

// work does what is due and returns when it wants to be called again.
func (f *floor) work(ctx context.Context) time.Time {
	now := f.options.Now()
	if !now.Before(f.nextLook) {
		f.nextLook = now.Add(f.options.Every)
		if err := f.look(ctx, now); err != nil && ctx.Err() == nil {
			f.options.Log.Warn("wiring not read, keeping what was known", "error", err)
		}
	}
	due := make([]*machine, 0, len(f.machines))
	for _, m := range f.machines {
		if !m.next.After(now) {
			due = append(due, m)
		}
	}
	slices.SortFunc(due, func(a, b *machine) int { return cmp.Or(a.next.Compare(b.next), cmp.Compare(a.key(), b.key())) })
	for _, m := range due {
		if ctx.Err() != nil {
			break
		}
		now := f.options.Now()
		m.next = f.turn(m, now)
		if err := m.step(ctx, f.api, now); err != nil && ctx.Err() == nil {
			f.options.Log.Warn("agent not written", "kind", m.home.kind, "name", m.name, "error", err)
			continue
		}
		if apply := m.progress.due; !apply.IsZero() && apply.Before(m.next) {
			m.next = apply
		}
	}
	next := f.nextLook
	for _, m := range f.machines {
		if m.next.Before(next) {
			next = m.next
		}
	}
	return next
}

// turn returns a machine's next regular report after now. Each has a phase of its own, so that reports spread evenly over
// the period however the machines came to be.
func (f *floor) turn(m *machine, now time.Time) time.Time {
	phase := time.Duration(f.dice.unit("phase", m.key()) * float64(f.options.Every))
	next := now.Truncate(f.options.Every).Add(phase)
	if !next.After(now) {
		next = next.Add(f.options.Every)
	}
	return next
}

// look reads the wiring and gives every machine its spec. Machines of devices that are gone fall silent; their agents
// stay.
func (f *floor) look(ctx context.Context, now time.Time) error {
	w, err := f.api.wiring(ctx)
	if err != nil {
		return err
	}
	present := map[string]bool{}
	for _, d := range w.describe(f.dice) {
		key := d.home.kind + "/" + d.name
		present[key] = true
		m, known := f.machines[key]
		if !known {
			m = &machine{apply: f.applyTime(key)}
			// A new floor fills within seconds rather than over a whole period, but not at once.
			m.next = now.Add(time.Duration(f.dice.unit("start", key) * float64(min(f.options.Every/5, time.Second))))
			f.machines[key] = m
		}
		if m.describe(d) && known {
			m.next = now
		}
	}
	for key := range f.machines {
		if !present[key] {
			delete(f.machines, key)
		}
	}
	return nil
}

func (f *floor) applyTime(key string) time.Duration {
	return time.Duration((1 + f.dice.unit("apply", key)) * float64(f.options.Apply))
}
