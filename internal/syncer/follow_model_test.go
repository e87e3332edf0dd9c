package syncer_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"hedgerow"
	"hedgerow/internal/syncer"
)

// TestFollowModel: whatever order writes, passes, followers, their restarts,
// lost claims and cut streams come in, the record ends as the cluster is, and
// the history of every object is what the passes and streams were told, each
// state once and in order.
func TestFollowModel(t *testing.T) {
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			where, n := place(t, engine), 0
			rapid.Check(t, func(rt *rapid.T) {
				late := rapid.Bool().Draw(rt, "passes fetch late")
				steps := rapid.SliceOfN(step, 1, 40).Draw(rt, "steps")
				n++
				var wrong string
				synctest.Test(t, func(t *testing.T) {
					h := newHouse(t, where, fmt.Sprint("f", n))
					h.late = late
					m := &model{house: h, told: map[hedgerow.Ref][]string{}, at: map[hedgerow.Ref]uint64{}, floor: map[string]uint64{}, heard: map[string]uint64{}}
					wrong = m.live(steps)
				})
				if wrong != "" {
					rt.Fatal(wrong)
				}
			})
		})
	}
}

// action is one step: what to do, with which kind and object, how often.
type action struct {
	Do, Kind, Name string
	N              int
}

var step = rapid.Custom(func(t *rapid.T) action {
	return action{
		Do: rapid.SampledFrom([]string{
			"write", "write", "write", "write", "remove", "remove", "rewrite", "show", "show", "show", "pass", "passing", "restart", "steal", "steal", "cut", "expire",
		}).Draw(t, "do"),
		Kind: rapid.SampledFrom([]string{"switches", "vpcs"}).Draw(t, "kind"),
		Name: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "name"),
		N:    rapid.IntRange(1, 4).Draw(t, "n"),
	}
})

// model is what the record should hold, told once more: a state is taken when
// it is newer than what is known of its object, and not from before the last
// list of its kind.
type model struct {
	*house
	f      *follower
	others []*follower
	texts  int

	told  map[hedgerow.Ref][]string // states, "" for none
	at    map[hedgerow.Ref]uint64   // revision of the last
	floor map[string]uint64         // list of the last pass, by plural
	heard map[string]uint64         // up to where the streams were let
}

var byPlural = map[string]hedgerow.Kind{"switches": switches, "vpcs": vpcs}

// live takes every step and returns what is wrong in the end.
func (m *model) live(steps []action) string {
	m.passNow(nil)
	for _, k := range byPlural {
		m.hold(k)
	}
	m.f = m.follow()
	for _, s := range steps {
		m.take(s)
		synctest.Wait()
	}
	for _, k := range byPlural {
		m.show(k, -1)
		m.hear(k.Plural, m.revision)
	}
	m.f.poke()
	time.Sleep(time.Hour)
	m.passAfterGap()
	m.f.poke()
	time.Sleep(time.Hour)
	for _, f := range append(m.others, m.f) {
		f.stop()
	}
	return m.compare()
}

func (m *model) take(s action) {
	k := byPlural[s.Kind]
	switch s.Do {
	case "write":
		for range s.N {
			m.texts++
			vitals := ""
			if k.Plural == "vpcs" {
				vitals = `{}`
			}
			m.writeVitals(k, s.Name, strconv.Itoa(m.texts%3), vitals)
		}
	case "rewrite": // the same content again
		if o, ok := m.present[object(k, s.Name, "", "", "").Ref]; ok {
			m.change(func() {
				m.revision++
				o.ResourceVersion = strconv.FormatUint(m.revision, 10)
				m.present[o.Ref] = o
				m.log = append(m.log, event{plural: k.Plural, revision: m.revision, Sighting: hedgerow.Sighting{Object: o}})
			})
		}
	case "remove":
		m.remove(k, s.Name)
	case "show":
		m.show(k, s.N)
		synctest.Wait()
		m.hear(k.Plural, m.shown[k.Plural])
	case "pass":
		m.passNow(nil)
		m.f.poke()
	case "passing": // things happen after the list of a kind
		m.passNow(func() {
			m.take(action{"write", s.Kind, s.Name, s.N})
			if s.N%2 == 0 {
				m.remove(k, s.Name)
			}
			m.show(k, s.N)
		})
		m.f.poke()
		time.Sleep(time.Second) // what was held is taken now
		m.hear(k.Plural, m.shown[k.Plural])
	case "restart":
		m.f.stop()
		m.f = m.follow()
	case "steal":
		_, m.process = m.join(2)
		m.claim(m.process.ID)
		m.others = append(m.others, m.f) // it finds out by itself
		m.f = m.follow()
	case "cut":
		m.end(k, nil)
		time.Sleep(10 * time.Minute)
	case "expire":
		m.end(k, hedgerow.Errorf(hedgerow.CodeExpired, "too old"))
		synctest.Wait()
		m.passNow(nil)
		m.f.poke()
		for _, f := range m.others {
			f.poke()
		}
		time.Sleep(10 * time.Minute) // after which it streams again
	}
}

// hear takes what the streams of a kind have told up to a revision.
func (m *model) hear(plural string, upTo uint64) {
	for _, e := range m.log {
		if e.plural == plural && e.revision <= upTo && e.revision > m.floor[plural] && e.revision > m.at[e.Ref] {
			m.know(e.Ref, state(e.Object, e.Deleted), e.revision)
		}
	}
	m.heard[plural] = max(m.heard[plural], upTo)
}

// know adds a state to those that an object was in.
func (m *model) know(ref hedgerow.Ref, s string, revision uint64) {
	m.at[ref] = revision
	before := m.told[ref]
	last := ""
	if len(before) > 0 {
		last = before[len(before)-1]
	}
	if s == last {
		return
	}
	if s != "" && last != "" && !strings.HasPrefix(s, strings.Split(last, " ")[0]+" ") {
		m.told[ref] = append(m.told[ref], "") // another of the same name
	}
	m.told[ref] = append(m.told[ref], s)
}

func state(o hedgerow.Object, deleted bool) string {
	if deleted {
		return ""
	}
	return o.UID + " " + o.Digest.String()[:8]
}

// passNow makes a pass, with something happening after its list of switches.
func (m *model) passNow(between func()) {
	src := &witness{cluster: m.cluster}
	m.listed = nil
	if between != nil {
		m.listed = func(k hedgerow.Kind) {
			if k.Plural == "switches" { // the others are read meanwhile
				between()
			}
		}
	}
	run, err := m.sync.Observe(m.Context(), src, syncer.Request{Fabric: m.fabric, Trigger: "manual", AcceptDeletions: true})
	if err != nil || run.Outcome != hedgerow.RunComplete {
		m.Fatalf("pass: %s %s %v", run.Outcome, run.Message, err)
	}
	for plural, snap := range src.saw {
		there := map[hedgerow.Ref]bool{}
		list, _ := strconv.ParseUint(snap.Revision, 10, 64)
		for _, o := range snap.Objects {
			there[o.Ref] = true
			at, _ := strconv.ParseUint(o.ResourceVersion, 10, 64)
			m.know(o.Ref, state(o, false), at)
		}
		k := byPlural[plural]
		for ref := range m.told {
			if ref.Group == k.Group && ref.Kind == k.Kind && !there[ref] {
				m.know(ref, "", m.at[ref])
			}
		}
		m.floor[plural] = list
	}
}

// passAfterGap makes a pass when a stream could not go on without.
func (m *model) passAfterGap() {
	if m.f.asked() > 0 {
		m.passNow(nil)
	}
}

// witness is the cluster as one pass sees it.
type witness struct {
	*cluster
	saw map[string]hedgerow.KindSnapshot
}

// Read reads.
func (w *witness) Read(ctx context.Context, k hedgerow.Kind, prior hedgerow.Prior) hedgerow.KindSnapshot {
	w.mu.Lock()
	if w.saw == nil {
		w.saw = map[string]hedgerow.KindSnapshot{}
	}
	w.mu.Unlock()
	snap := w.cluster.Read(ctx, k, prior)
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := byPlural[k.Plural]; ok {
		w.saw[k.Plural] = snap
	}
	return snap
}

// compare says where the record is not what it should be.
func (m *model) compare() string {
	want := map[hedgerow.Ref][]string{}
	for ref, states := range m.told {
		if len(states) > 0 && states[0] == "" {
			states = states[1:]
		}
		if len(states) > 0 {
			want[ref] = states
		}
	}
	got := map[hedgerow.Ref][]string{}
	all, err := m.db.History(m.Context(), m.fabric.ID, hedgerow.HistoryQuery{Limit: 100000})
	if err != nil {
		return err.Error()
	}
	for _, e := range slices.Backward(all) {
		s := ""
		if e.After != nil {
			s = e.UID + " " + e.After.String()[:8]
		}
		got[e.Ref] = append(got[e.Ref], s)
	}
	if d := cmp.Diff(want, got); d != "" {
		return fmt.Sprintf("history (-want +got):\n%s", d)
	}
	for ref, states := range got {
		last := states[len(states)-1]
		if o, ok := m.present[ref]; ok != (last != "") || ok && state(o, false) != last {
			return fmt.Sprintf("%s ends as %q, and is %q", ref, last, state(o, false))
		}
	}
	return ""
}
