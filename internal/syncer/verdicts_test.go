package syncer_test

import (
	"context"
	"fmt"
	"testing"

	"hedgerow"
	"hedgerow/internal/syncer"
)

// TestVerdicts: every mix of verdicts of three kinds, of which two hold
// objects in the record, ends as it should and loses nothing.
func TestVerdicts(t *testing.T) {
	codes := map[hedgerow.Verdict]hedgerow.Code{
		hedgerow.Complete: "", hedgerow.Absent: hedgerow.CodeNotServed, hedgerow.Forbidden: hedgerow.CodeForbidden, hedgerow.Failed: hedgerow.CodeTimeout,
	}
	verdicts := []hedgerow.Verdict{hedgerow.Complete, hedgerow.Absent, hedgerow.Forbidden, hedgerow.Failed}
	kept := map[string]hedgerow.Object{"switches": object(switches, "sw", "u1", "1", "x"), "servers": object(servers, "srv", "u2", "1", "x")}
	b := newBench(t)
	tell := func(k hedgerow.Kind, v hedgerow.Verdict) {
		if v != hedgerow.Complete {
			b.src.reads[k.Plural] = fails(v, codes[v], k.Plural+" are "+string(v))
		} else if o, ok := kept[k.Plural]; ok {
			b.src.reads[k.Plural] = holds(o)
		} else {
			b.src.reads[k.Plural] = holds()
		}
	}
	for _, k := range all {
		tell(k, hedgerow.Complete)
	}
	b.next()
	names := b.names()
	for _, x := range verdicts {
		for _, y := range verdicts {
			for _, z := range verdicts {
				mix := map[string]hedgerow.Verdict{"vpcs": x, "servers": y, "switches": z}
				var codeWant hedgerow.Code
				complete, bad := 0, 0
				for _, k := range all { // in the order of the run's kinds
					v := mix[k.Plural]
					tell(k, v)
					_, recorded := kept[k.Plural]
					switch {
					case v == hedgerow.Complete:
						complete++
					case v == hedgerow.Absent && !recorded: // as before: there is nothing of it
					default:
						if bad++; codeWant == "" {
							codeWant = codes[v]
						}
					}
				}
				want := hedgerow.RunPartial
				switch {
				case complete == 0:
					want = hedgerow.RunFailed
				case bad == 0:
					want = hedgerow.RunComplete
				}
				run := b.observe()
				if run.Outcome != want || run.Code != codeWant || (run.Message == "") != (want == hedgerow.RunComplete) {
					t.Errorf("%v: %s (%s) %q; want %s (%s)", mix, run.Outcome, run.Code, run.Message, want, codeWant)
				}
				for _, k := range all {
					if e := b.evidence(run, k); e.Verdict != mix[k.Plural] || e.Code != codes[mix[k.Plural]] || e.CompleteRun == 0 || e.CompleteAt.IsZero() {
						t.Errorf("%v: %s: evidence %+v", mix, k.Plural, e)
					}
				}
				b.unchanged(run, names)
			}
		}
	}
}

// TestSentences: one sentence for what failed alike, naming a few of many.
func TestSentences(t *testing.T) {
	b := newBench(t)
	b.src.served = nil
	var plurals []string
	for i := range 6 {
		k := kind("wiring.githedgehog.com", fmt.Sprint("K", i), fmt.Sprint("k", i, "s"))
		b.src.served, plurals = append(b.src.served, k), append(plurals, k.Plural)
	}
	for _, p := range plurals[:5] {
		b.src.reads[p] = fails(hedgerow.Forbidden, hedgerow.CodeForbidden, p+": you may not")
	}
	b.ended(b.observe(), hedgerow.RunPartial, hedgerow.CodeForbidden, "5 of 6 kinds could not be read (k0s, k1s, k2s and 2 more): k0s: you may not")
	b.src.reads["k4s"] = fails(hedgerow.Failed, hedgerow.CodeTimeout, "k4s: no answer")
	b.ended(b.observe(), hedgerow.RunPartial, hedgerow.CodeForbidden, "4 of 6 kinds could not be read (k0s, k1s, k2s and 1 more): k0s: you may not; nor could k4s (timeout)")
}

// TestDiscoveryFails: nothing is known, nothing is lost, and the proofs keep
// their age.
func TestDiscoveryFails(t *testing.T) {
	b := newBench(t)
	b.src.err = hedgerow.Errorf(hedgerow.CodeConnect, "connection refused")
	run := b.observe() // the first ever
	b.ended(run, hedgerow.RunFailed, hedgerow.CodeConnect, "connection refused")
	b.src.err = nil
	b.src.reads["switches"] = holds(object(switches, "a", "u1", "1", "x"))
	first := b.next()
	b.same("events", []string{"first seen Switch a"}, b.events(first))
	names := b.names()
	for code, verdict := range map[hedgerow.Code]hedgerow.Verdict{
		hedgerow.CodeConnect: hedgerow.Failed, hedgerow.CodeTLSExpired: hedgerow.Failed, hedgerow.CodeUnauthorized: hedgerow.Failed, hedgerow.CodeForbidden: hedgerow.Forbidden,
	} {
		b.src.err = hedgerow.Errorf(code, "no")
		run := b.observe()
		b.ended(run, hedgerow.RunFailed, code, "no")
		b.unchanged(run, names)
		if len(run.Kinds) != 3 {
			t.Errorf("evidence of %d kinds", len(run.Kinds))
		}
		if e := b.evidence(run, switches); e.Verdict != verdict || e.Code != code || e.CompleteRun != first.ID || e.Present != 1 || e.Revision != "100" {
			t.Errorf("%s: evidence %+v", code, e)
		}
	}
	b.src.err = nil
	b.unchanged(b.next(), names)
}

// TestFailedGroup: the kinds of a group that cannot be asked are not absent.
func TestFailedGroup(t *testing.T) {
	b := newBench(t)
	b.src.reads["vpcs"] = holds(object(vpcs, "v", "u1", "1", "x"))
	first := b.observe()
	names := b.names()
	b.src.served = []hedgerow.Kind{servers, switches}
	b.src.failed = map[string]error{
		vpcs.Group:           hedgerow.Errorf(hedgerow.CodeServer, "vpc.githedgehog.com: 503"),
		"gw.githedgehog.com": hedgerow.Errorf(hedgerow.CodeForbidden, "gw.githedgehog.com: you may not"), // nothing is recorded of it
	}
	run := b.observe()
	if run.Outcome != hedgerow.RunPartial {
		t.Errorf("outcome %s: %s", run.Outcome, run.Message)
	}
	b.unchanged(run, names)
	if e := b.evidence(run, vpcs); e.Verdict != hedgerow.Failed || e.Code != hedgerow.CodeServer || e.CompleteRun != first.ID || e.Present != 1 {
		t.Errorf("evidence %+v", e)
	}
	if e := b.evidence(run, hedgerow.Kind{Group: "gw.githedgehog.com"}); e.Code != hedgerow.CodeForbidden || e.Plural != "*" {
		t.Errorf("evidence of the unknown group %+v", e)
	}
	b.src.served, b.src.failed = all, nil
	b.unchanged(b.next(), names)
}

// TestAbsent: a kind that is not served any more keeps its objects, which is
// no complete pass; one of which nothing is recorded does not matter.
func TestAbsent(t *testing.T) {
	b := newBench(t)
	b.src.reads["vpcs"] = holds(object(vpcs, "v", "u1", "1", "x"))
	b.observe()
	names := b.names()
	b.src.served = []hedgerow.Kind{vpcs, switches}
	run := b.next()
	if e := b.evidence(run, servers); e.Verdict != hedgerow.Absent || e.Code != hedgerow.CodeNotServed {
		t.Errorf("evidence %+v", e)
	}
	b.src.served = []hedgerow.Kind{servers, switches}
	run = b.observe()
	b.ended(run, hedgerow.RunPartial, hedgerow.CodeNotServed, "1 of 3 kinds could not be read: the cluster no longer serves vpcs.vpc.githedgehog.com. "+
		"If that is meant, leave the kind out: hedgerow fabric edit lab --exclude vpcs")
	b.unchanged(run, names)
	b.src.served = nil
	run = b.observe()
	if run.Outcome != hedgerow.RunFailed || run.Code != hedgerow.CodeNotServed {
		t.Errorf("%s (%s): %s", run.Outcome, run.Code, run.Message)
	}
	b.unchanged(run, names)

	empty := newBench(t)
	empty.src.served = nil
	run = empty.observe()
	empty.ended(run, hedgerow.RunFailed, hedgerow.CodeNotServed, "the cluster serves no kind of a *.githedgehog.com group; is it the cluster of a Hedgehog fabric?")
}

// TestExcluded: a kind that the policy excludes is not read, and keeps what is
// recorded of it.
func TestExcluded(t *testing.T) {
	b := newBench(t)
	b.src.reads["vpcs"] = holds(object(vpcs, "v", "u1", "1", "x"))
	b.observe()
	names := b.names()
	b.fabric.Policy.Exclude = []string{"vpcs.vpc.githedgehog.com", "servers"}
	b.src.reads["vpcs"] = fails(hedgerow.Failed, hedgerow.CodeServer, "must not be read")
	run := b.next()
	b.unchanged(run, names)
	if len(run.Kinds) != 1 || run.Kinds[0].Plural != "switches" {
		t.Errorf("kinds %+v", run.Kinds)
	}
	// Nor is it missed when the cluster does not serve it.
	b.src.served = []hedgerow.Kind{switches}
	b.unchanged(b.next(), names)
}

// TestGuard: a pass that finds much of the fabric gone stops and asks.
func TestGuard(t *testing.T) {
	cases := []struct {
		name        string
		have, left  int // switches
		renewed     int // of those left
		share       float64
		floor       int
		stops, lost bool
	}{
		{name: "all of many", have: 20, left: 0, stops: true},
		{name: "just over half", have: 20, left: 9, stops: true},
		{name: "half", have: 20, left: 10},
		{name: "all of few", have: 9, left: 0},
		{name: "the floor", have: 10, left: 0, stops: true},
		{name: "over a lower share", have: 20, left: 9, share: 0.1, floor: 11, stops: true},
		{name: "under a higher floor", have: 20, left: 5, floor: 16},
		{name: "others of the same name", have: 20, left: 20, renewed: 20, stops: true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			b.fabric.Policy.MaxDeleteShare, b.fabric.Policy.MaxDeleteFloor = c.share, c.floor
			b.fabric.Policy = b.fabric.Policy.WithDefaults()
			have := many(switches, c.have)
			b.src.reads["switches"] = holds(have...)
			first := b.observe()
			names := b.names()
			left := many(switches, c.left)
			for i := range c.renewed {
				left[i].UID += "-2"
			}
			b.src.reads["switches"] = holds(left...)
			b.src.reads["servers"] = holds(object(servers, "new", "u", "1", "x"))
			b.src.reads["vpcs"] = fails(hedgerow.Forbidden, hedgerow.CodeForbidden, "you may not")
			run := b.observe()
			if !c.stops {
				if len(b.names()) != c.left+1 || run.Outcome != hedgerow.RunPartial {
					t.Errorf("%s (%s): %d objects", run.Outcome, run.Message, len(b.names()))
				}
				return
			}
			b.ended(run, hedgerow.RunFailed, hedgerow.CodeGuard, fmt.Sprintf("%d of the %d objects recorded are gone from the cluster, or others of the same name; nothing was recorded. If that is right: hedgerow sync lab --accept-deletions. If this is another cluster, add it as a fabric of its own", c.have-c.left+c.renewed, c.have))
			b.unchanged(run, names)
			if e := b.evidence(run, switches); e.Verdict != hedgerow.Failed || e.Code != hedgerow.CodeGuard || e.CompleteRun != first.ID || e.Present != c.have || e.Counts != (hedgerow.Counts{}) {
				t.Errorf("evidence %+v", e)
			}
			// What could not be read for its own reason keeps that reason.
			if e := b.evidence(run, vpcs); e.Verdict != hedgerow.Forbidden || e.Code != hedgerow.CodeForbidden {
				t.Errorf("evidence of the forbidden kind %+v", e)
			}
			b.unchanged(b.observe(), names) // it asks as often as it is run
			accepted := b.observeWith(t.Context(), syncer.Request{AcceptDeletions: true})
			if accepted.Counts().Deleted != c.have-c.left+c.renewed || len(b.names()) != c.left+1 {
				t.Errorf("accepted: %+v, %d objects", accepted.Counts(), len(b.names()))
			}
		})
	}
}

// TestUnreadable: an object that is there and cannot be understood is neither
// deleted nor changed, and makes the pass partial.
func TestUnreadable(t *testing.T) {
	b := newBench(t)
	a, bad := object(switches, "a", "u1", "1", "x"), object(switches, "bad", "u2", "1", "x")
	b.src.reads["switches"] = holds(a, bad, object(switches, "gone", "u3", "1", "x"))
	b.observe()
	snap := holds(a)(t.Context(), hedgerow.Prior{})
	for i := range 25 { // one recorded, 24 never seen before
		ref := bad.Ref
		if i > 0 {
			ref.Name = fmt.Sprint("new-", i)
		}
		snap.Unreadable = append(snap.Unreadable, hedgerow.Unreadable{Ref: ref, Err: hedgerow.Errorf(hedgerow.CodeGarbage, "%s: spec is a number", ref)})
	}
	b.src.reads["switches"] = func(context.Context, hedgerow.Prior) hedgerow.KindSnapshot { return snap }
	run := b.observe()
	b.ended(run, hedgerow.RunPartial, hedgerow.CodeGarbage, "25 objects of switches could not be read: Switch default/bad: spec is a number")
	b.same("events", []string{"deleted Switch gone"}, b.events(run))
	b.same("objects", []string{"Switch default/a", "Switch default/bad"}, b.names())
	e := b.evidence(run, switches)
	b.same("counts", hedgerow.Counts{Listed: 26, Unchanged: 1, Deleted: 1, Failed: 25}, e.Counts)
	if e.Verdict != hedgerow.Complete || e.CompleteRun != run.ID || e.Present != 2 || len(e.Unreadable) != 20 {
		t.Errorf("evidence %+v", e)
	}
	// Readable again.
	b.src.reads["switches"] = holds(a, object(switches, "bad", "u2", "2", "y"))
	b.same("events", []string{"updated Switch bad"}, b.events(b.next()))
}
