package hedgerow_test

import (
	"math"
	"testing"
	"time"
	_ "time/tzdata" // Berlin, on any machine

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"hedgerow"
)

// instants are all that the record can hold, and a schedule may be asked
// about: from long before 1970 to far beyond 2262, where nanoseconds end.
func instants() *rapid.Generator[time.Time] {
	return rapid.Custom(func(t *rapid.T) time.Time {
		return time.Unix(rapid.Int64Range(-1<<36, 1<<38).Draw(t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanoseconds"))
	})
}

// intervals are those that a policy may have, and any other.
func intervals() *rapid.Generator[time.Duration] {
	return rapid.OneOf(
		rapid.Map(rapid.IntRange(30, 24*60*60), func(s int) time.Duration { return time.Duration(s) * time.Second }),
		rapid.Map(rapid.Int64Range(1, math.MaxInt64), func(n int64) time.Duration { return time.Duration(n) }),
	)
}

// TestDueAfter: the next moment is within one interval, the same whoever asks
// and whenever before it, and the one after it is an interval later.
func TestDueAfter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fabric, interval, at := rapid.Int64().Draw(t, "fabric"), intervals().Draw(t, "interval"), instants().Draw(t, "now")
		due := hedgerow.DueAfter(fabric, interval, at)
		if wait := due.Sub(at); wait <= 0 || wait > max(interval, time.Microsecond) {
			t.Fatalf("after %s at %s: %s later", interval, at, wait)
		}
		if due.Location() != time.UTC || due.Nanosecond()%1000 != 0 {
			t.Errorf("%s cannot be recorded as it is", due)
		}
		between := at.Add(time.Duration(rapid.Int64Range(0, int64(due.Sub(at))-1).Draw(t, "later")))
		if again := hedgerow.DueAfter(fabric, interval, between); !again.Equal(due) {
			t.Errorf("at %s it was to be %s, and at %s %s", at, due, between, again)
		}
		step := max(interval.Truncate(time.Microsecond), time.Microsecond)
		if after := hedgerow.DueAfter(fabric, interval, due); !after.Equal(due.Add(step)) {
			t.Errorf("%s is followed by %s", due, after)
		}
	})
}

// TestNoSchedule: what is observed on request only is never due.
func TestNoSchedule(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		interval := time.Duration(rapid.Int64Range(math.MinInt64, 0).Draw(t, "interval"))
		if due := hedgerow.DueAfter(rapid.Int64().Draw(t, "fabric"), interval, instants().Draw(t, "now")); !due.IsZero() {
			t.Errorf("every %s: %s", interval, due)
		}
	})
}

// TestNoDrift: over 24 hours at 300 seconds there are 288 moments, exactly 300
// seconds apart, however late each of them was noticed.
func TestNoDrift(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const interval = 300 * time.Second
		fabric, start := rapid.Int64Range(1, 1<<40).Draw(t, "fabric"), instants().Draw(t, "start")
		n := 0
		first := hedgerow.DueAfter(fabric, interval, start)
		for due := first; due.Sub(start) <= 24*time.Hour; n++ {
			if !due.Equal(first.Add(time.Duration(n) * interval)) {
				t.Fatalf("moment %d is %s, the first was %s", n, due, first)
			}
			late := time.Duration(rapid.Int64Range(0, int64(interval)-1).Draw(t, "late"))
			due = hedgerow.DueAfter(fabric, interval, due.Add(late))
		}
		if n != 288 {
			t.Errorf("%d moments", n)
		}
	})
}

// TestCatchUp: after a time in which nobody kept the schedule one moment is
// overdue, and the next is in the future and on the grid.
func TestCatchUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fabric, interval, at := rapid.Int64().Draw(t, "fabric"), 30*time.Second+time.Duration(rapid.IntRange(0, 3600).Draw(t, "more"))*time.Second, instants().Draw(t, "now")
		missed := hedgerow.DueAfter(fabric, interval, at)
		woke := missed.Add(time.Duration(rapid.Int64Range(0, int64(72*time.Hour)).Draw(t, "slept")))
		next := hedgerow.DueAfter(fabric, interval, woke)
		if !next.After(woke) || next.Sub(missed)%interval != 0 {
			t.Errorf("missed %s, woke at %s, next %s", missed, woke, next)
		}
	})
}

// TestSpread: fabrics that were added one after another are spread evenly: no
// tenth of an interval has much more than its share of them.
func TestSpread(t *testing.T) {
	const fabrics, most = 200, 40 // on average 20
	at := time.Date(2026, 3, 14, 0, 0, 0, 0, time.UTC)
	for _, interval := range []time.Duration{30 * time.Second, time.Minute, 300 * time.Second, 7 * time.Minute, 10 * time.Minute, time.Hour, 24 * time.Hour} {
		for _, from := range []int64{1, 190, 1000, 1 << 33} {
			var phases []time.Duration
			for i := range int64(fabrics) {
				phases = append(phases, hedgerow.DueAfter(from+i, interval, at).Sub(at))
			}
			for _, begin := range phases {
				n := 0
				for _, p := range phases {
					if (p-begin+interval)%interval < interval/10 {
						n++
					}
				}
				if n > most {
					t.Fatalf("every %s, fabrics from %d: %d of %d within a tenth from %s on", interval, from, n, fabrics, begin)
				}
			}
		}
	}
}

// TestDaylightSaving: the clocks of people have no part in it. Both changes of
// a year in Berlin are gone through.
func TestDaylightSaving(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range []time.Time{time.Date(2026, 3, 29, 1, 0, 0, 0, time.UTC), time.Date(2026, 10, 25, 1, 0, 0, 0, time.UTC)} {
		_, before := change.Add(-time.Second).In(berlin).Zone()
		if _, after := change.In(berlin).Zone(); before == after {
			t.Fatalf("nothing changes in Berlin at %s", change)
		}
		const interval = 300 * time.Second
		at := change.Add(-4 * time.Hour)
		due := hedgerow.DueAfter(7, interval, at)
		for ; at.Before(change.Add(4 * time.Hour)); at = at.Add(97 * time.Second) {
			utc, local := hedgerow.DueAfter(7, interval, at), hedgerow.DueAfter(7, interval, at.In(berlin))
			if !utc.Equal(local) {
				t.Fatalf("%s is followed by %s, in Berlin by %s", at, utc, local)
			}
			if step := utc.Sub(due); step != 0 && step != interval {
				t.Fatalf("%s is followed by %s", due, utc)
			}
			due = utc
		}
	}
}

// TestIntervalChange: another interval holds from the moment it is asked
// about: nothing of the one before is remembered.
func TestIntervalChange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fabric, at := rapid.Int64().Draw(t, "fabric"), instants().Draw(t, "now")
		long := hedgerow.DueAfter(fabric, 24*time.Hour, at)
		short := hedgerow.DueAfter(fabric, 30*time.Second, at)
		if wait := short.Sub(at); wait > 30*time.Second {
			t.Errorf("due in %s", wait)
		}
		if again := hedgerow.DueAfter(fabric, 24*time.Hour, at); !again.Equal(long) {
			t.Errorf("%s, and then %s", long, again)
		}
	})
}

// TestBackoff: 30 seconds, doubling to 5 minutes, of which a random number
// takes up to a tenth.
func TestBackoff(t *testing.T) {
	full := map[int]time.Duration{
		-5: 30 * time.Second, 0: 30 * time.Second, 1: 30 * time.Second, 2: time.Minute, 3: 2 * time.Minute, 4: 4 * time.Minute,
		5: 5 * time.Minute, 6: 5 * time.Minute, 64: 5 * time.Minute, math.MaxInt: 5 * time.Minute,
	}
	got := map[int]time.Duration{}
	for n := range full {
		got[n] = hedgerow.Backoff(n, 0)
	}
	if diff := cmp.Diff(full, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if t.Failed() {
		return
	}
	rapid.Check(t, func(t *rapid.T) {
		n, random := rapid.IntRange(1, 100).Draw(t, "failures"), rapid.Float64Range(0, math.Nextafter(1, 0)).Draw(t, "random")
		wait, most := hedgerow.Backoff(n, random), hedgerow.Backoff(n, 0)
		if wait > most || wait < most-most/10 {
			t.Errorf("%d failures: %s, and %s at most", n, wait, most)
		}
	})
}
