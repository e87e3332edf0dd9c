package syncer_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hedgerow"
	"hedgerow/internal/syncer"
)

var expired = hedgerow.Errorf(hedgerow.CodeExpired, "watch switches: too old")

// TestFollowExpired: what a stream cannot resume is left to a pass, which is
// asked for, and followed again from what it read.
func TestFollowExpired(t *testing.T) {
	t.Parallel()
	onBoth(t, func(h *house) {
		h.write(switches, "a", "1")
		h.pass()
		f := h.follow()
		h.end(switches, expired)
		h.is(hedgerow.Broken, "Switch: watch switches: too old")
		h.change(func() { h.compacted = 103 })
		h.write(switches, "a", "2")
		h.write(switches, "a", "3")
		h.write(vpcs, "v", "1") // the other kinds go on
		synctest.Wait()
		h.same("story", []string{"created v"}, h.story())
		if f.asked() != 1 {
			h.Fatalf("%d passes were asked for", f.asked())
		}
		h.pass()
		f.poke()
		h.following()
		h.write(switches, "a", "4")
		synctest.Wait()
		h.agrees()
		h.same("story", []string{"created v", "updated a", "updated a"}, h.story())
		h.same("begun at", []string{"101", "104"}, h.begun(switches))
	})
}

// TestFollowExpiredLater: a stream that needs a pass asks until it gets one,
// also when one was asked for shortly before for another.
func TestFollowExpiredLater(t *testing.T) {
	t.Parallel()
	inBubble(t, func(h *house) {
		h.pass()
		f := h.follow()
		h.end(switches, expired)
		synctest.Wait()
		h.pass()
		f.poke()
		h.following()
		h.end(vpcs, expired)
		h.is(hedgerow.Broken, "VPC: watch switches: too old")
		h.eventually("another pass is asked for", func() bool { return f.asked() > 1 })
		if d := f.demands[1].Sub(f.demands[0]); d < time.Minute {
			h.Errorf("two passes were asked for within %s", d)
		}
		h.pass()
		f.poke()
		h.following()
	})
}

// TestFollowGarbage: what makes no sense ends a stream until a pass.
func TestFollowGarbage(t *testing.T) {
	for name, strike := range map[string]func(h *house){
		"garbage": func(h *house) { h.end(switches, hedgerow.Errorf(hedgerow.CodeGarbage, "watch switches: no JSON")) },
		"revision": func(h *house) {
			h.tell(event{plural: "switches", Sighting: hedgerow.Sighting{Object: object(switches, "a", "u", "W/1", "x")}})
		},
		"bookmark": func(h *house) {
			h.tell(event{plural: "switches", Sighting: hedgerow.Sighting{Object: hedgerow.Object{ResourceVersion: "x"}}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(h *house) {
				h.write(switches, "a", "1")
				h.pass()
				f := h.follow()
				strike(h)
				synctest.Wait()
				if s := h.facts(); s.State != hedgerow.Broken || !strings.HasPrefix(s.Message, "Switch: ") {
					h.Errorf("follower is %s: %s", s.State, s.Message)
				}
				if f.asked() != 1 {
					h.Errorf("%d passes were asked for", f.asked())
				}
				h.write(switches, "a", "2")
				h.pass()
				f.poke()
				h.following()
				h.agrees()
			})
		})
	}
}

// TestFollowUnreadable: an object that cannot be read keeps what is recorded
// of it; what follows it is recorded, and a restart does not stumble over it.
func TestFollowUnreadable(t *testing.T) {
	t.Parallel()
	inBubble(t, func(h *house) {
		h.write(switches, "a", "1")
		h.pass()
		f := h.follow()
		bad := hedgerow.Sighting{Object: hedgerow.Object{Ref: object(switches, "a", "", "", "").Ref}}
		h.tell(event{plural: "switches", Sighting: bad, problem: errors.New("the key \"x\" stands twice")})
		h.write(switches, "b", "1")
		synctest.Wait()
		h.is(hedgerow.Following, "")
		h.same("story", []string{"created b"}, h.story())
		h.agrees()
		if f.mu.Lock(); !strings.Contains(f.log.String(), "change not read") {
			h.Errorf("not logged:\n%s", &f.log)
		}
		f.mu.Unlock()
		f.stop()
		h.follow()
		h.same("begun at", []string{"101", "103"}, h.begun(switches))
	})
}

// TestFollowRefused: a kind that may not be watched, or is not there, waits
// for a pass to find out more; the others are followed.
func TestFollowRefused(t *testing.T) {
	for _, code := range []hedgerow.Code{hedgerow.CodeForbidden, hedgerow.CodeNotServed} {
		t.Run(string(code), func(t *testing.T) {
			inBubble(t, func(h *house) {
				h.pass()
				h.refuses(hedgerow.Errorf(code, "watch switches: no"), switches)
				f := h.follow()
				h.is(hedgerow.Broken, "Switch: watch switches: no")
				h.write(vpcs, "v", "1")
				time.Sleep(time.Hour)
				h.agrees()
				if n := len(h.begun(switches)); n != 1 || f.asked() != 0 {
					h.Errorf("%d watches, %d passes asked for", n, f.asked())
				}
				h.refuses(nil, switches)
				h.write(switches, "a", "1")
				h.pass()
				f.poke()
				h.following()
				h.write(switches, "a", "2")
				synctest.Wait()
				h.agrees()
				h.same("story", []string{"created v", "created a", "updated a"}, h.story())
			})
		})
	}
}

// TestFollowEnds: a stream that ends in the ordinary way is opened again from
// where it ended; at once when it had lasted, later and later when not.
func TestFollowEnds(t *testing.T) {
	t.Parallel()
	inBubble(t, func(h *house) {
		h.pass()
		h.follow()
		h.write(switches, "a", "1")
		time.Sleep(time.Minute)
		for i := range 3 {
			h.end(switches, nil)
			synctest.Wait()
			if n := len(h.begun(switches)); n != i+2 {
				h.Fatalf("%d watches after %d ends", n, i+1)
			}
			time.Sleep(10 * time.Second)
		}
		h.write(switches, "a", "2")
		synctest.Wait()
		h.same("begun at", []string{"100", "101", "101", "101"}, h.begun(switches))
		h.agrees()
		h.is(hedgerow.Following, "")
		h.refuses(nil)
		n := len(h.begun(servers))
		h.refuses(hedgerow.Errorf(hedgerow.CodeCut, "ended early"), servers)
		h.end(servers, nil)
		time.Sleep(time.Hour)
		if more := len(h.begun(servers)) - n; more < 60 || more > 500 {
			h.Errorf("%d watches in an hour of failures", more)
		}
	})
}

// TestFollowDead: a dead cluster is asked by one stream at a time, and ever
// less often; once it answers every stream comes back, with nothing lost.
func TestFollowDead(t *testing.T) {
	t.Parallel()
	inBubble(t, func(h *house) {
		h.write(switches, "a", "1")
		h.pass()
		counted := &counter{Watcher: h.cluster}
		f := h.follow(func(f *syncer.Follower) { f.Source = counted })
		time.Sleep(time.Minute)
		dead := hedgerow.Errorf(hedgerow.CodeConnect, "refused the connection")
		h.refuses(dead, all...)
		for _, k := range all {
			h.end(k, dead)
		}
		time.Sleep(time.Minute)
		h.is(hedgerow.Broken, "every kind: refused the connection")
		counted.reset()
		time.Sleep(time.Hour)
		// One after another, 20 s on average and never less than 10.
		if begun, most := counted.told(); begun < 100 || begun > 360 || most != 1 {
			h.Errorf("%d attempts in an hour, %d at a time", begun, most)
		}
		h.refuses(nil, all...)
		h.write(switches, "a", "2")
		h.write(switches, "a", "3")
		h.following()
		synctest.Wait()
		h.agrees()
		h.same("story", []string{"updated a", "updated a"}, h.story())
		if f.asked() != 1 { // to close any gap
			h.Errorf("%d passes asked for", f.asked())
		}
	})
}

// TestFollowRecovered: when the last pass failed too, nobody asks for the next
// before the cluster answers.
func TestFollowRecovered(t *testing.T) {
	t.Parallel()
	inBubble(t, func(h *house) {
		h.pass()
		f := h.follow()
		dead := hedgerow.Errorf(hedgerow.CodeConnect, "refused the connection")
		h.refuses(dead, all...)
		for _, k := range all {
			h.end(k, dead)
		}
		run, err := h.sync.Observe(h.Context(), syncer.Unreachable(dead), syncer.Request{Fabric: h.fabric, Trigger: "schedule"})
		if err != nil || run.Outcome != hedgerow.RunFailed {
			h.Fatalf("%s: %v", run.Outcome, err)
		}
		f.poke()
		time.Sleep(time.Hour)
		if f.asked() != 0 {
			h.Errorf("%d passes were asked for", f.asked())
		}
		h.refuses(nil, all...)
		h.eventually("a pass is asked for", func() bool { return f.asked() == 1 })
		h.is(hedgerow.Following, "")
	})
}

// TestFollowLost: who has lost the fabric to another writes nothing more, and
// ends without an error.
func TestFollowLost(t *testing.T) {
	t.Parallel()
	onBoth(t, func(h *house) {
		h.write(switches, "a", "1")
		h.pass()
		f := h.follow()
		_, other := h.join(2)
		h.claim(other.ID)
		before := h.dump()
		h.write(switches, "a", "2")
		select {
		case <-f.ended:
		case <-time.After(time.Hour):
			h.Fatal("it goes on")
		}
		if f.err != nil {
			h.Errorf("error %v", f.err)
		}
		h.same("tables", before, h.dump())
		h.process = other
		h.follow()
		h.agrees()
		h.same("story", []string{"updated a"}, h.story())
		h.is(hedgerow.Following, "")
		if got := h.facts().Process; got != other.ID {
			h.Errorf("followed by %s", got)
		}
		// One that starts without a claim does not even begin.
		g := h.follow(func(f *syncer.Follower) { f.Process = "nobody" })
		<-g.ended
		if g.err != nil {
			h.Errorf("error %v", g.err)
		}
		// The fabric is removed.
		if err := h.db.RemoveFabric(h.Context(), h.fabric.ID); err != nil {
			h.Fatal(err)
		}
	})
}

// TestFollowRemoved: a fabric that is removed under its follower is lost.
func TestFollowRemoved(t *testing.T) {
	t.Parallel()
	onBoth(t, func(h *house) {
		h.pass()
		f := h.follow()
		if err := h.db.RemoveFabric(h.Context(), h.fabric.ID); err != nil {
			h.Fatal(err)
		}
		h.write(switches, "a", "1")
		<-f.ended
		if f.err != nil {
			h.Errorf("error %v", f.err)
		}
	})
}

// TestFollowStoreFails: a record that cannot be written ends the follower with
// the error, and the next one loses nothing.
func TestFollowStoreFails(t *testing.T) {
	for _, where := range []string{"NewestPass", "Evidence", "Revisions", "Kinds", "SetFollow", "Amend"} {
		t.Run(where, func(t *testing.T) {
			inBubble(t, func(h *house) {
				h.write(switches, "a", "1")
				h.pass()
				full := hedgerow.Errorf(hedgerow.CodeStore, "disk full")
				f := h.follow(func(f *syncer.Follower) { f.Store = &failing{h.db, where, full} })
				h.write(switches, "a", "2")
				<-f.ended
				if !errors.Is(f.err, full) {
					h.Errorf("error %v", f.err)
				}
				h.same("story", []string{}, h.story())
				h.follow()
				h.agrees()
				h.same("story", []string{"updated a"}, h.story())
			})
		})
	}
}

// TestFollowCancelled: a follower ends whatever it is doing.
func TestFollowCancelled(t *testing.T) {
	for name, prepare := range map[string]func(h *house){
		"streaming": func(*house) {},
		"expired":   func(h *house) { h.end(switches, expired) },
		"dead": func(h *house) {
			h.refuses(errors.New("dead"), all...)
			for _, k := range all {
				h.end(k, errors.New("dead"))
			}
		},
		"full": func(h *house) {
			h.db.Begin(h.Context(), hedgerow.Opening{Fabric: h.fabric, Trigger: "manual", Actor: "tester", Clock: time.Now}) // which never ends
			for i := range 1000 {
				h.write(switches, fmt.Sprint(i), "1")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(h *house) {
				h.pass()
				f := h.follow()
				prepare(h)
				time.Sleep(time.Minute)
				f.stop()
				if !errors.Is(f.err, context.Canceled) {
					h.Errorf("error %v", f.err)
				}
			})
		})
	}
}
