package syncer_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hedgerow"
	"hedgerow/internal/syncer"
)

func (h *house) serve(ks ...hedgerow.Kind) { h.change(func() { h.served = ks }) }

// TestFollowKinds: kinds that a pass finds are followed from then on, those
// that it does not find are not, and one that is served anew is streamed anew.
func TestFollowKinds(t *testing.T) {
	t.Parallel()
	onBoth(t, func(h *house) {
		h.serve(switches)
		h.write(switches, "a", "1") // 101
		h.pass()
		f := h.follow()
		h.write(vpcs, "v", "1") // 102: of a kind that is not known
		synctest.Wait()
		h.same("story", []string{}, h.story())
		h.serve(switches, vpcs)
		h.pass()
		f.poke()
		h.write(vpcs, "v", "2")
		synctest.Wait()
		h.same("story", []string{"updated v"}, h.story())
		h.same("vpcs", []string{"102"}, h.begun(vpcs))

		// Another schema: the contents may read otherwise.
		changed := switches
		changed.Fingerprint = "Switch-2"
		h.serve(changed, vpcs)
		h.pass()
		f.poke()
		h.same("switches", []string{"101", "103"}, h.begun(switches))
		h.same("vpcs", []string{"102"}, h.begun(vpcs))
		newer := changed
		newer.Version = "v1beta2"
		newer.Fingerprint = "Switch-3"
		h.serve(newer, vpcs)
		h.pass()
		f.poke()
		h.same("switches", []string{"101", "103", "103"}, h.begun(switches))
		h.write(switches, "a", "2")
		synctest.Wait()
		h.agrees()

		// Gone: what its stream still tells counts for nothing.
		h.serve(vpcs)
		if run := h.tryPass(); run.Outcome != hedgerow.RunPartial {
			h.Errorf("pass ended as %s", run.Outcome)
		}
		f.poke()
		h.is(hedgerow.Following, "")
		h.write(switches, "a", "3")
		synctest.Wait()
		h.same("story", []string{"updated v", "updated a"}, h.story())
		h.serve(newer, vpcs)
		h.pass()
		f.poke()
		h.agrees()
		h.same("switches", []string{"101", "103", "103", "105"}, h.begun(switches))
	})
}

// TestFollowTwice: what comes while a pass is under way waits, and when the pass
// finds the kind defined anew its stream is opened anew and tells all of it
// again: an object that came and went meanwhile came and went once.
func TestFollowTwice(t *testing.T) {
	t.Parallel()
	onBoth(t, func(h *house) {
		h.write(switches, "a", "1")
		h.pass()
		f := h.follow()
		changed := switches
		changed.Fingerprint = "Switch-2"
		h.serve(changed, servers, vpcs)
		run, err := h.sync.Observe(h.Context(), h.cluster, syncer.Request{Fabric: h.fabric, Trigger: "manual", Actor: "tester", Progress: func(p syncer.Progress) {
			if p.Last != nil && p.Last.Kind.ID() == switches.ID() {
				h.write(switches, "x", "1")
				h.write(switches, "x", "2")
				h.remove(switches, "x")
				h.write(switches, "a", "2")
			}
		}})
		if err != nil || run.Outcome != hedgerow.RunComplete {
			h.Fatal(run.Message, err)
		}
		f.poke()
		h.following()
		synctest.Wait()
		h.agrees()
		h.same("story", []string{"created x", "updated x", "deleted x", "updated a"}, h.story())
		h.same("begun at", []string{"101", "101"}, h.begun(switches))
	})
}

// TestFollowKindsOfTheDead: the streams of a cluster that does not answer can
// be ended while they wait for each other.
func TestFollowKindsOfTheDead(t *testing.T) {
	t.Parallel()
	inBubble(t, func(h *house) {
		h.pass()
		f := h.follow()
		dead := errors.New("dead")
		h.refuses(dead, all...)
		for _, k := range all {
			h.end(k, dead)
		}
		time.Sleep(10 * time.Minute)
		h.serve(vpcs)
		h.tryPass()
		before := time.Now()
		f.poke()
		h.eventually("the follower knows of the pass", func() bool { return h.facts().Message == "every kind: dead" })
		h.refuses(nil, all...)
		h.following()
		if took := time.Since(before); took > 2*time.Minute { // of the bubble's time
			h.Errorf("it took %s", took)
		}
		synctest.Wait()
		n := len(h.begun(switches))
		time.Sleep(time.Hour)
		if more := len(h.begun(switches)) - n; more != 0 {
			h.Errorf("%d watches of a kind that is not served", more)
		}
	})
}

// TestFollowRestored: a cluster that was restored from a backup counts from
// further back. Once a pass has found out, it is followed from there.
func TestFollowRestored(t *testing.T) {
	t.Parallel()
	onBoth(t, func(h *house) {
		h.write(switches, "a", "1")
		h.write(switches, "b", "1")
		h.pass()
		f := h.follow()
		backup := h.revision
		for i := range 5 {
			h.write(switches, "a", "x"+strconv.Itoa(i))
		}
		synctest.Wait()
		h.change(func() {
			h.revision, h.log = backup, h.log[:2]
			a := object(switches, "a", "a-101", "101", "1")
			h.present[a.Ref] = a
		})
		h.pass()
		f.poke()
		h.agrees()
		h.write(switches, "b", "2") // at a revision that was told before
		synctest.Wait()
		h.agrees()
		h.write(switches, "a", "2")
		synctest.Wait()
		h.agrees()
	})
}

// TestFollowInterrupted: a pass whose process died is waited for until it is
// closed, and what came meanwhile is recorded then.
func TestFollowInterrupted(t *testing.T) {
	t.Parallel()
	onBoth(t, func(h *house) {
		h.write(switches, "a", "1")
		h.pass()
		f := h.follow()
		pass, err := h.db.Begin(h.Context(), hedgerow.Opening{Fabric: h.fabric, Trigger: "schedule", Clock: time.Now})
		if err != nil {
			h.Fatal(err)
		}
		f.poke()
		h.write(switches, "a", "2")
		time.Sleep(time.Minute)
		h.same("story", []string{}, h.story())
		pass.End() // as the system does when a process dies
		if err := h.db.CloseInterrupted(h.Context(), time.Now()); err != nil {
			h.Fatal(err)
		}
		h.eventually("it is recorded", func() bool { return len(h.story()) == 1 })
		h.agrees()
	})
}

// TestFollowWithout: nobody tells the follower that there was a pass; it looks
// by itself.
func TestFollowWithout(t *testing.T) {
	t.Parallel()
	inBubble(t, func(h *house) {
		h.follow()
		h.pass()
		h.following()
	})
}

// TestFollowDemandFails: that no pass can be asked for ends nothing, and is
// tried again.
func TestFollowDemandFails(t *testing.T) {
	t.Parallel()
	inBubble(t, func(h *house) {
		h.pass()
		f := h.follow(func(f *syncer.Follower) {
			f.Demand = func(context.Context) error { return errors.New("the queue is away") }
		})
		h.end(switches, expired)
		h.eventually("it asks again", func() bool {
			f.mu.Lock()
			defer f.mu.Unlock()
			return strings.Count(f.log.String(), "no pass could be asked for") > 2
		})
		h.pass()
		f.poke()
		h.following()
	})
}
