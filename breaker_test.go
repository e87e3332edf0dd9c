package hedgerow_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"hedgerow"
)

// clusterFaults are the codes of a failed pass that count against its cluster;
// those that do not are ours, or ask for a person.
var clusterFaults = []hedgerow.Code{
	hedgerow.CodeDNS, hedgerow.CodeConnect, hedgerow.CodeTimeout, hedgerow.CodeSlow, hedgerow.CodeTLSExpired, hedgerow.CodeTLSAuthority,
	hedgerow.CodeTLSName, hedgerow.CodeTLS, hedgerow.CodeUnauthorized, hedgerow.CodeForbidden, hedgerow.CodeNotServed, hedgerow.CodeExpired,
	hedgerow.CodeThrottled, hedgerow.CodeServer, hedgerow.CodeCut, hedgerow.CodeGarbage, hedgerow.CodeTooLarge,
}

func failed(c hedgerow.Code) hedgerow.Run {
	return hedgerow.Run{FabricID: 7, Outcome: hedgerow.RunFailed, Code: c}
}

var complete = hedgerow.Run{FabricID: 7, Outcome: hedgerow.RunComplete}

const every = 300 * time.Second

// schedules are all that a fabric may have, as facts go together.
func schedules() *rapid.Generator[hedgerow.Schedule] {
	return rapid.Custom(func(t *rapid.T) hedgerow.Schedule {
		s := hedgerow.Schedule{Next: now.Add(time.Duration(rapid.IntRange(-600, 600).Draw(t, "next")) * time.Second), Failures: rapid.IntRange(0, 9).Draw(t, "failures")}
		if s.Failures >= 5 {
			s.OpenSince = now.Add(-time.Hour)
			if rapid.Bool().Draw(t, "probed") {
				s.ProbedAt, s.ProbeError = now.Add(-time.Minute), "no route"
			}
		}
		return s
	})
}

// TestBreaker: it opens with the fifth failure in a row, not before, whatever
// the cluster's fault was; from then on it is tried every five minutes.
func TestBreaker(t *testing.T) {
	waits := []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 5 * time.Minute, 5 * time.Minute, 5 * time.Minute}
	rapid.Check(t, func(t *rapid.T) {
		s := hedgerow.Schedule{Next: now.Add(time.Minute)}
		at := now
		var opened time.Time
		for i, wait := range waits {
			at = at.Add(time.Hour)
			if i == 4 {
				opened = at
			}
			s = s.Ended(failed(rapid.SampledFrom(clusterFaults).Draw(t, "code")), every, at, 0)
			want := hedgerow.Schedule{Next: at.Add(wait), Failures: i + 1, OpenSince: opened}
			if diff := cmp.Diff(want, s); diff != "" {
				t.Fatalf("after %d failures (-want +got):\n%s", i+1, diff)
			}
		}
	})
}

// TestCloses: a pass that read anything forgets all failures, and the schedule
// goes on as if there had been none.
func TestCloses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, interval := schedules().Draw(t, "schedule"), rapid.SampledFrom([]time.Duration{every, hedgerow.Manual}).Draw(t, "interval")
		if interval < 0 {
			s.Next = time.Time{}
		}
		r := complete
		r.Outcome = rapid.SampledFrom([]hedgerow.Outcome{hedgerow.RunComplete, hedgerow.RunPartial}).Draw(t, "outcome")
		if r.Outcome == hedgerow.RunPartial {
			r.Code = rapid.SampledFrom(clusterFaults).Draw(t, "code")
		}
		want := s // the tick has moved it on already
		if s.Failures > 0 {
			want = hedgerow.Schedule{Next: hedgerow.DueAfter(7, interval, now)}
		}
		if diff := cmp.Diff(want, s.Ended(r, interval, now, 0.5)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// TestDoesNotCount: what failed through us, or stopped to ask, is neither a
// failure of the cluster nor a proof that it is well. An interrupted pass is
// made again at once.
func TestDoesNotCount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := schedules().Draw(t, "schedule")
		for _, c := range codes {
			if slices.Contains(clusterFaults, c) || c == hedgerow.CodeNotFound || c == hedgerow.CodeExists { // those two end no pass
				continue
			}
			want := s
			if c == hedgerow.CodeInterrupted {
				want.Next = now
			}
			if diff := cmp.Diff(want, s.Ended(failed(c), every, now, 0)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c, diff)
			}
		}
		want := s
		want.Next = now
		if diff := cmp.Diff(want, s.Ended(hedgerow.Run{FabricID: 7, Outcome: hedgerow.Interrupted, Code: hedgerow.CodeInterrupted}, every, now, 0)); diff != "" {
			t.Errorf("interrupted (-want +got):\n%s", diff)
		}
	})
}

// TestManualStaysManual: nothing that happens to a fabric that is observed on
// request only makes it due.
func TestManualStaysManual(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s hedgerow.Schedule
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			switch rapid.IntRange(0, 2).Draw(t, "what") {
			case 0:
				s = s.Ended(failed(rapid.SampledFrom(codes).Draw(t, "code")), hedgerow.Manual, now, 0)
			case 1:
				s = s.Ended(complete, hedgerow.Manual, now, 0)
			case 2:
				s = s.Probed("no route", now, 0)
			}
			if !s.Next.IsZero() {
				t.Fatalf("due at %s", s.Next)
			}
		}
	})
}

// TestProbed: a probe in vain leaves the breaker as it was, with why, and the
// next follows in five minutes, less up to a tenth.
func TestProbed(t *testing.T) {
	open := hedgerow.Schedule{Next: now, Failures: 6, OpenSince: now.Add(-time.Hour)}
	want := open
	want.Next, want.ProbedAt, want.ProbeError = now.Add(5*time.Minute), now, "no route"
	if diff := cmp.Diff(want, open.Probed("no route", now, 0)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	want.Next = now.Add(5*time.Minute - 15*time.Second)
	if diff := cmp.Diff(want, open.Probed("no route", now, 0.5)); diff != "" {
		t.Errorf("with jitter (-want +got):\n%s", diff)
	}
	// Half open: a pass that fails keeps it open, since when it was.
	again := want.Ended(failed(hedgerow.CodeConnect), every, now.Add(time.Minute), 0)
	if again.Failures != 7 || !again.OpenSince.Equal(open.OpenSince) || !again.Next.Equal(now.Add(6*time.Minute)) {
		t.Errorf("after the pass: %+v", again)
	}
}

// TestService: those that have died do not count; the newest tick does,
// whoever made it, for it was made.
func TestService(t *testing.T) {
	full, busy := hedgerow.Problem{Reason: "DiskFull", Since: now}, hedgerow.Problem{Reason: "WorkersBusy", Since: now}
	all := []hedgerow.Process{
		{ID: "a", TickedAt: now.Add(-20 * time.Second), Problems: []hedgerow.Problem{full}},
		{ID: "b", Problems: []hedgerow.Problem{busy}},
		{ID: "c", TickedAt: now.Add(-10 * time.Second), Problems: []hedgerow.Problem{{Reason: "Dead"}}, Gone: true},
	}
	want := hedgerow.ServiceFacts{Alive: []string{"a", "b"}, TickedAt: now.Add(-10 * time.Second), KeptAt: now.Add(-20 * time.Second), Problems: []hedgerow.Problem{full, busy}}
	if diff := cmp.Diff(want, hedgerow.Service(all)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(hedgerow.ServiceFacts{}, hedgerow.Service(nil)); diff != "" {
		t.Errorf("of none (-want +got):\n%s", diff)
	}
}
