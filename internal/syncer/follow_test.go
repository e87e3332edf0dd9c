package syncer_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hedgerow"
	"hedgerow/internal/pgtest"
	"hedgerow/internal/syncer"
)

func postgres(t *testing.T) string { return pgtest.URL(t) }

// TestFollow: what happens between passes is recorded as it happens, each
// state once.
func TestFollow(t *testing.T) {
	t.Parallel()
	onBoth(t, func(h *house) {
		h.write(switches, "a", "1")
		h.write(switches, "b", "1")
		f := h.follow()
		h.is(hedgerow.Starting, "no kind has been read whole yet")
		first := h.pass()
		f.poke()
		h.is(hedgerow.Following, "")
		var want []string
		for _, s := range []struct {
			do    func()
			event string
		}{
			{func() { h.write(switches, "a", "2") }, "updated a"},
			{func() { h.write(switches, "c", "1") }, "created c"},
			{func() { h.remove(switches, "b") }, "deleted b"},
			{func() { h.write(vpcs, "v", "1") }, "created v"},
			{func() { h.write(switches, "a", "2") }, ""}, // written, but not changed
		} {
			s.do()
			synctest.Wait()
			h.agrees()
			if s.event != "" {
				want = append(want, s.event)
			}
			h.same("story", want, h.story())
		}
		runs := h.runs()
		if len(runs) != 1+len(want) {
			h.Errorf("%d runs, want one a change", len(runs))
		}
		last := runs[len(runs)-1]
		h.same("its run", hedgerow.Run{
			ID: last.ID, FabricID: h.fabric.ID, Trigger: hedgerow.TriggerFollow, Actor: "follower", Outcome: hedgerow.RunComplete,
			StartedAt: last.StartedAt, FinishedAt: last.FinishedAt, VersionBefore: first.VersionAfter + 3, VersionAfter: first.VersionAfter + 4,
			Kinds: []hedgerow.KindEvidence{{Group: vpcs.Group, Kind: "VPC", Plural: "vpcs", Verdict: hedgerow.Followed, Counts: hedgerow.Counts{Created: 1}}},
		}, last)
		// A pass finds nothing left to do, and no pass was asked for.
		run := h.pass()
		if c := run.Counts(); c.Created+c.Updated+c.Deleted != 0 || run.VersionAfter != run.VersionBefore {
			h.Errorf("the pass found %+v", c)
		}
		if f.asked() != 0 {
			h.Errorf("%d passes were asked for", f.asked())
		}
	})
}

// TestFollowBurst: an object that changes many times before anybody looks has
// each of its states in history, in order, and other objects share the runs.
func TestFollowBurst(t *testing.T) {
	t.Parallel()
	onBoth(t, func(h *house) {
		h.pass()
		h.follow()
		h.hold(switches)
		var want []string
		for i := range 5 {
			h.write(switches, "a", fmt.Sprint(i))
			want = append(want, []string{"updated a", "created a"}[min(1, 1/(i+1))])
		}
		h.remove(switches, "a")
		h.write(switches, "a", "4") // deleted and made again with the same content
		h.remove(switches, "a")
		want = append(want, "deleted a", "created a", "deleted a")
		for i := range 300 { // more than a batch, and than the queue
			h.write(switches, fmt.Sprintf("x%03d", i), "1")
		}
		h.show(switches, -1)
		synctest.Wait()
		h.agrees()
		story := h.story()
		h.same("story of a", want, slices.DeleteFunc(slices.Clone(story), func(s string) bool { return !strings.HasSuffix(s, " a") }))
		if len(story) != len(want)+300 {
			h.Errorf("%d events, want %d", len(story), len(want)+300)
		}
		if n := len(h.runs()); n > 1+len(want)+4 {
			h.Errorf("%d runs for 300 creations that came together", n)
		}
	})
}

// TestFollowRestart: a follower goes on where the last one left off, and what
// it is told again is not recorded again.
func TestFollowRestart(t *testing.T) {
	t.Parallel()
	onBoth(t, func(h *house) {
		h.write(switches, "a", "1") // 101
		h.pass()
		f := h.follow()
		h.write(switches, "a", "2") // 102
		h.write(switches, "a", "3") // 103
		synctest.Wait()
		f.stop()
		h.write(switches, "a", "4") // 104
		h.remove(switches, "a")     // 105
		h.write(switches, "a", "4") // 106
		h.follow()
		h.same("begun at", []string{"101", "103"}, h.begun(switches))
		want := []string{"updated a", "updated a", "updated a", "deleted a", "created a"}
		h.same("story", want, h.story())
		// As a record restored from a copy would be: everything is told again.
		f = h.follow(func(f *syncer.Follower) { f.Store = &forgetful{FollowStore: h.db} })
		if b := h.begun(switches); b[len(b)-1] != "101" {
			h.Errorf("begun at %s", b)
		}
		f.stop()
		h.same("story", want, h.story())
		h.agrees()
	})
}

// TestFollowFloor: nothing that a pass has read is taken from a stream again,
// wherever in the stream the pass comes.
func TestFollowFloor(t *testing.T) {
	t.Parallel()
	onBoth(t, func(h *house) {
		h.write(switches, "a", "1")
		h.pass()
		f := h.follow()
		h.hold(switches)
		h.write(switches, "a", "2")
		h.write(switches, "b", "1")
		h.remove(switches, "b")
		h.write(switches, "a", "3")
		h.show(switches, 1)
		synctest.Wait()
		h.pass() // finds a as 3, and never hears of b
		h.show(switches, 2)
		f.poke()
		h.write(switches, "a", "4")
		h.show(switches, -1)
		synctest.Wait()
		h.agrees()
		h.same("story", []string{"updated a", "updated a", "updated a"}, h.story())
	})
}

// TestFollowDuringPass: what comes while a pass is under way waits for it, and
// is then taken as far as the pass has not read it.
func TestFollowDuringPass(t *testing.T) {
	t.Parallel()
	onBoth(t, func(h *house) {
		h.write(switches, "a", "1")
		h.pass()
		h.follow()
		h.hold(switches)
		h.write(switches, "a", "2") // before the list
		held := 0
		h.listed = func(k hedgerow.Kind) {
			if k.Plural != switches.Plural {
				return
			}
			h.write(switches, "a", "3") // after it
			h.write(switches, "b", "1")
			h.show(switches, -1)
			time.Sleep(time.Minute) // the pass takes its time
			held = len(h.runs())
		}
		h.pass()
		h.listed = nil
		if held != 2 { // the first pass and this one
			h.Errorf("%d runs while the pass was under way", held)
		}
		h.eventually("all recorded", func() bool { return len(h.story()) == 3 })
		h.agrees()
		h.same("story", []string{"updated a", "updated a", "created b"}, sortedAfter(1, h.story()))
	})
}

// sortedAfter sorts what follows the first n of what happened: the events of
// one run have no order.
func sortedAfter(n int, story []string) []string {
	slices.Sort(story[n:])
	slices.Reverse(story[n:])
	return story
}

// TestFollowLatePass: a pass that fetches objects after its list has read some
// as they were later; their changes up to then are not news.
func TestFollowLatePass(t *testing.T) {
	t.Parallel()
	onBoth(t, func(h *house) {
		h.write(switches, "a", "1")
		h.write(switches, "b", "1")
		h.write(switches, "c", "1")
		h.pass()
		f := h.follow()
		h.hold(switches)
		h.late = true
		for _, name := range []string{"a", "b", "c"} {
			h.write(switches, name, "2")
		}
		h.listed = func(k hedgerow.Kind) {
			if k.Plural == switches.Plural {
				h.write(switches, "a", "3")
				h.write(switches, "a", "4")
				h.remove(switches, "b")
				h.write(switches, "b", "4")
			}
		}
		h.pass()
		h.listed = nil
		h.write(switches, "a", "5")
		h.show(switches, -1)
		f.poke()
		h.agrees()
		h.same("story", []string{"created b", "deleted b", "updated a", "updated c", "updated a"}, sortedStory(h.story(), 4))
	})
}

func sortedStory(story []string, n int) []string {
	slices.Sort(story[:n])
	return story
}

// TestFollowUnknown: the deletion of an object that the record does not know
// is nothing.
func TestFollowUnknown(t *testing.T) {
	t.Parallel()
	onBoth(t, func(h *house) {
		h.pass()
		h.follow()
		before := h.runs()
		h.tell(event{plural: "switches", Sighting: hedgerow.Sighting{Object: object(switches, "nobody", "u", "", "x"), Deleted: true}})
		synctest.Wait()
		h.same("runs", before, h.runs())
	})
}

// TestFollowAgents: an object that is rewritten all the time, with nothing but
// vitals moving, is not written at all.
func TestFollowAgents(t *testing.T) {
	t.Parallel()
	onBoth(t, func(h *house) {
		h.writeVitals(switches, "a", "1", `{"beat":0}`)
		h.pass()
		f := h.follow()
		before := h.dump()
		for i := range 5 {
			h.writeVitals(switches, "a", "1", fmt.Sprintf(`{"beat":%d}`, i))
			synctest.Wait()
		}
		h.same("tables", before, h.dump())
		h.writeVitals(switches, "a", "2", `{"beat":6}`)
		synctest.Wait()
		h.same("story", []string{"updated a"}, h.story())
		before = h.dump()
		for i := range 5 {
			h.writeVitals(switches, "a", "2", fmt.Sprintf(`{"beat":%d}`, 7+i))
			synctest.Wait()
		}
		h.same("tables", before, h.dump())
		h.writeVitals(switches, "a", "1", `{"beat":20}`)
		synctest.Wait()
		h.remove(switches, "a")
		synctest.Wait()
		h.writeVitals(switches, "a", "1", `{"beat":21}`) // as it was, but another
		synctest.Wait()
		h.agrees()
		h.same("story", []string{"updated a", "updated a", "deleted a", "created a"}, h.story())
		f.stop()
	})
}

// TestFollowAgentBehind: what a follower remembers of agents does not outlive
// a pass that read them otherwise.
func TestFollowAgentBehind(t *testing.T) {
	t.Parallel()
	inBubble(t, func(h *house) {
		h.writeVitals(switches, "a", "0", `{}`)
		h.pass()
		f := h.follow()
		h.writeVitals(switches, "a", "1", `{}`)
		synctest.Wait()
		h.end(switches, hedgerow.Errorf(hedgerow.CodeExpired, "too old"))
		h.eventually("a pass is asked for", func() bool { return f.asked() == 1 })
		h.writeVitals(switches, "a", "2", `{}`) // which only the pass sees
		h.pass()
		f.poke()
		h.following()
		h.writeVitals(switches, "a", "1", `{}`)
		synctest.Wait()
		h.agrees()
		h.same("story", []string{"updated a", "updated a", "updated a"}, h.story())
	})
}
