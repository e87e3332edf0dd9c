package agents

import "time"

// enforceEvery is how often a machine applies its configuration again though nothing changed.
const enforceEvery = 2 * time.Minute

// progress is how far a machine is with applying its spec.
type progress struct {
	created time.Time
	// generation is the spec's as the cluster last told it.
	generation  int64
	attemptGen  int64
	attemptTime time.Time
	appliedGen  int64
	appliedTime time.Time
	// transition is when the Applied condition last changed its mind.
	transition time.Time
	// due is when the running attempt will have been applied; zero when none runs.
	due time.Time
}

// applied says whether the machine does what the spec says.
func (p *progress) applied() bool { return p.appliedGen != 0 && p.due.IsZero() }

// advance moves the machine to now: it starts on a generation that it has not tried, and finishes what is due.
func (p *progress) advance(now time.Time, apply time.Duration) {
	if !p.due.IsZero() && !now.Before(p.due) {
		p.transition = p.due
		p.appliedGen, p.appliedTime, p.due = p.attemptGen, p.due, time.Time{}
	}
	switch {
	case p.generation != p.attemptGen:
		if p.due.IsZero() {
			p.transition = now
		}
		p.attemptGen, p.attemptTime, p.due = p.generation, now, now.Add(apply)
	case p.due.IsZero() && now.Sub(p.appliedTime) >= enforceEvery:
		// Enforcing what is already there is over at once, and was never pending.
		p.attemptTime, p.appliedTime = now, now
	}
}

// resume reads the progress back from a status, so that a restart of the simulation is not a restart of its machines.
func resume(status map[string]any, created time.Time) progress {
	p := progress{created: created}
	gen := func(field string) int64 {
		n, _ := status[field].(float64)
		return int64(n)
	}
	at := func(field string) time.Time {
		s, _ := status[field].(string)
		t, _ := time.Parse(time.RFC3339, s)
		return t
	}
	p.appliedGen, p.appliedTime = gen("lastAppliedGen"), at("lastAppliedTime")
	// What was under way is begun again.
	p.attemptGen, p.attemptTime = p.appliedGen, at("lastAttemptTime")
	p.transition = p.appliedTime
	return p
}
