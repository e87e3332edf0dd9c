package hedgerow

import (
	"encoding/binary"
	"hash/fnv"
	"time"
)

// A Schedule says when a fabric is to be read next without being asked, and
// what stands in the way. It holds facts only; [StatusOf] words them.
type Schedule struct {
	Next     time.Time // zero: on request only
	Failures int       // passes in a row that failed through the cluster's fault
	// OpenSince is when the breaker opened, zero while it is closed. While it
	// is open the cluster is probed with one request every ProbeEvery, and not
	// read before a probe has succeeded.
	OpenSince  time.Time
	ProbedAt   time.Time // the last probe since then, zero before the first
	ProbeError string    // why it failed
}

// Due is a fabric whose moment has come.
type Due struct {
	Fabric   int64
	Name     string
	At       time.Time
	Interval time.Duration
}

// The numbers of the schedule.
const (
	// BreakerAfter failures in a row open the breaker.
	BreakerAfter = 5
	// RetryFirst is the wait after a first failure; it doubles with each
	// further one up to RetryMost.
	RetryFirst = 30 * time.Second
	RetryMost  = 5 * time.Minute
	// ProbeEvery is the time between two probes of a cluster whose breaker is
	// open.
	ProbeEvery = 5 * time.Minute
	// Lateness is how late a scheduled pass may begin and still be on time: a
	// reading is not called stale before its interval and this have passed.
	Lateness = 10 * time.Second
)

// DueAfter is the first regular moment for a pass of a fabric after now: zero
// for a fabric that is observed on request only.
//
// The moments of a fabric are a fixed grid, one interval apart, whose phase
// follows from the fabric's number. So they do not drift however long a pass
// takes, need no memory of the one before, are the same for every process, do
// not pile up over a time in which nobody kept them, and differ from fabric to
// fabric, which spreads the load. A random share of each interval, as
// schedulers often add, would do the last only, and make some readings older
// than the interval that was promised.
func DueAfter(fabric int64, interval time.Duration, now time.Time) time.Time {
	if interval <= 0 {
		return time.Time{}
	}
	h := fnv.New64a()
	_ = binary.Write(h, binary.BigEndian, fabric) // a hash never fails
	step, at := max(interval.Microseconds(), 1), now.UnixMicro()
	phase := int64(h.Sum64()>>1) % step
	since := (at - phase) % step
	if since < 0 {
		since += step
	}
	return time.UnixMicro(at - since + step).UTC()
}

// Ended is the schedule after a pass. A number in [0, 1) spreads retries.
//
// Only a pass that failed through the cluster counts as a failure: not one
// that read a part, that stopped to ask, or that was interrupted.
func (s Schedule) Ended(r Run, interval time.Duration, now time.Time, random float64) Schedule {
	switch {
	case r.Code == CodeInterrupted:
		if interval > 0 {
			s.Next = now // what it was to find out is still not known
		}
		return s
	case r.Outcome == RunComplete || r.Outcome == RunPartial:
		if s.Failures == 0 {
			return s
		}
		return Schedule{Next: DueAfter(r.FabricID, interval, now)}
	case r.Outcome != RunFailed || !sourceFault(r.Code):
		return s
	}
	s.Failures++
	wait := Backoff(s.Failures, random)
	if s.Failures >= BreakerAfter && s.OpenSince.IsZero() {
		s.OpenSince = now
	}
	if !s.OpenSince.IsZero() {
		wait = jittered(ProbeEvery, random)
	}
	if interval > 0 {
		s.Next = now.Add(wait)
	}
	return s
}

// Probed is the schedule after a probe that failed.
func (s Schedule) Probed(why string, now time.Time, random float64) Schedule {
	s.ProbedAt, s.ProbeError = now, why
	if !s.Next.IsZero() {
		s.Next = now.Add(jittered(ProbeEvery, random))
	}
	return s
}

// Backoff is the wait after so many failures in a row.
func Backoff(failures int, random float64) time.Duration {
	wait := RetryFirst
	for range failures - 1 {
		if wait *= 2; wait >= RetryMost {
			wait = RetryMost
			break
		}
	}
	return jittered(wait, random)
}

// jittered takes up to a tenth off a wait.
func jittered(d time.Duration, random float64) time.Duration {
	return d - time.Duration(random*float64(d)/10)
}

// sourceFault reports whether a pass that failed with c did so because of its
// cluster or the way to it, so that trying again soon is of use and trying too
// often is none.
func sourceFault(c Code) bool {
	switch c {
	case CodeGuard, CodeInterrupted, CodeStore, CodeInternal, CodeBusy, CodeSuspended, CodeKey, CodeUnconfigured, CodeInvalid:
		return false
	}
	return true
}
