package syncer_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"

	"hedgerow"
	"hedgerow/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// cluster is a model of one: objects, one counter for every write, and the
// events of all of them, which reach the streams when the test lets them.
type cluster struct {
	mu       sync.Mutex
	revision uint64
	served   []hedgerow.Kind
	present  map[hedgerow.Ref]hedgerow.Object
	log      []event
	// shown is up to where the streams of a kind have been told; those not in
	// it are told at once.
	shown     map[string]uint64
	compacted uint64 // changes up to here are forgotten
	refuse    map[string]error
	ended     map[string]int // how many times the streams of a kind were ended
	why       map[string]error
	moved     chan struct{}
	watches   []string // every watch begun, as plural@revision

	// listed, when set, is called between the list and what follows it.
	listed func(k hedgerow.Kind)
	// late says that objects that moved are fetched after the list, as they
	// are then.
	late bool
}

// event is one change of one object.
type event struct {
	plural   string
	revision uint64
	hedgerow.Sighting
	problem error
}

func newCluster() *cluster {
	return &cluster{
		revision: 100, served: all, present: map[hedgerow.Ref]hedgerow.Object{}, shown: map[string]uint64{}, refuse: map[string]error{},
		ended: map[string]int{}, why: map[string]error{}, moved: make(chan struct{}),
	}
}

// stir wakes the streams. The caller holds mu.
func (c *cluster) stir() {
	close(c.moved)
	c.moved = make(chan struct{})
}

func (c *cluster) change(do func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	do()
	c.stir()
}

// write gives an object a content, and a new uid unless it is there.
func (c *cluster) write(k hedgerow.Kind, name, text string) hedgerow.Object {
	return c.writeVitals(k, name, text, "")
}

func (c *cluster) writeVitals(k hedgerow.Kind, name, text, vitals string) (o hedgerow.Object) {
	c.change(func() {
		c.revision++
		o = object(k, name, "", strconv.FormatUint(c.revision, 10), text)
		o.UID = fmt.Sprintf("%s-%d", name, c.revision)
		if old, ok := c.present[o.Ref]; ok {
			o.UID = old.UID
		}
		if vitals != "" {
			o.Vitals = []byte(vitals)
		}
		c.present[o.Ref] = o
		c.log = append(c.log, event{plural: k.Plural, revision: c.revision, Sighting: hedgerow.Sighting{Object: o}})
	})
	return o
}

func (c *cluster) remove(k hedgerow.Kind, name string) {
	c.change(func() {
		o, ok := c.present[object(k, name, "", "", "").Ref]
		if !ok {
			return
		}
		c.revision++
		o.ResourceVersion = strconv.FormatUint(c.revision, 10)
		delete(c.present, o.Ref)
		c.log = append(c.log, event{plural: k.Plural, revision: c.revision, Sighting: hedgerow.Sighting{Object: o, Deleted: true}})
	})
}

// tell sends an event that is none of the cluster's own.
func (c *cluster) tell(e event) {
	c.change(func() {
		c.revision++
		e.revision = c.revision
		if e.ResourceVersion == "" {
			e.ResourceVersion = strconv.FormatUint(c.revision, 10)
		}
		c.log = append(c.log, e)
	})
}

// hold keeps the events of a kind from now on; show lets n of them through,
// all of them with -1.
func (c *cluster) hold(k hedgerow.Kind) {
	c.change(func() { c.shown[k.Plural] = c.revision })
}

func (c *cluster) show(k hedgerow.Kind, n int) {
	c.change(func() {
		upTo, held := c.shown[k.Plural]
		if n < 0 || !held {
			delete(c.shown, k.Plural)
			return
		}
		for _, e := range c.log {
			if e.plural == k.Plural && e.revision > upTo && n > 0 {
				upTo, n = e.revision, n-1
			}
		}
		c.shown[k.Plural] = upTo
	})
}

// end ends the streams of a kind, for a reason or in the ordinary way.
func (c *cluster) end(k hedgerow.Kind, why error) {
	c.change(func() { c.ended[k.Plural], c.why[k.Plural] = c.ended[k.Plural]+1, why })
}

// refuses makes watches of a kind fail; nil makes them work again.
func (c *cluster) refuses(err error, ks ...hedgerow.Kind) {
	c.change(func() {
		for _, k := range ks {
			c.refuse[k.Plural] = err
		}
	})
}

// begun are the watches of a kind, by the revisions that they began at.
func (c *cluster) begun(k hedgerow.Kind) (from []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range c.watches {
		var plural, revision string
		if _, err := fmt.Sscanf(w, "%s %s", &plural, &revision); err == nil && plural == k.Plural {
			from = append(from, revision)
		}
	}
	return from
}

// Watch streams as kube.Client.Watch does.
func (c *cluster) Watch(ctx context.Context, k hedgerow.Kind, revision string, fn func(hedgerow.Sighting, error) error) error {
	at, err := strconv.ParseUint(revision, 10, 64)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.watches = append(c.watches, k.Plural+" "+revision)
	refuse, ended := c.refuse[k.Plural], c.ended[k.Plural]
	if at < c.compacted && refuse == nil {
		refuse = hedgerow.Errorf(hedgerow.CodeExpired, "watch %s: too old", k.Plural)
	}
	c.mu.Unlock()
	if refuse != nil {
		return refuse
	}
	if err := fn(hedgerow.Sighting{Object: hedgerow.Object{ResourceVersion: revision}}, nil); err != nil {
		return err
	}
	for {
		c.mu.Lock()
		moved, over, why := c.moved, c.ended[k.Plural] != ended, c.why[k.Plural]
		var next *event
		for i, e := range c.log {
			if upTo, held := c.shown[k.Plural]; e.plural == k.Plural && e.revision > at && (!held || e.revision <= upTo) {
				next = &c.log[i]
				break
			}
		}
		c.mu.Unlock()
		switch {
		case over:
			return why
		case next != nil:
			at = next.revision
			if err := fn(next.Sighting, next.problem); err != nil {
				return err
			}
		default:
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-moved:
			}
		}
	}
}

// Discover says what is served.
func (c *cluster) Discover(context.Context, []hedgerow.Kind) (hedgerow.Discovery, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return hedgerow.Discovery{Kinds: slices.Clone(c.served)}, nil
}

// Read lists, and fetches what moved after it when late.
func (c *cluster) Read(_ context.Context, k hedgerow.Kind, prior hedgerow.Prior) hedgerow.KindSnapshot {
	c.mu.Lock()
	snap := hedgerow.KindSnapshot{Kind: k, Verdict: hedgerow.Complete, Revision: strconv.FormatUint(c.revision, 10), Requests: 1, Objects: c.holds(k)}
	late, listed := c.late, c.listed
	c.mu.Unlock()
	if listed != nil {
		listed(k)
	}
	if !late {
		return snap
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, o := range snap.Objects {
		m := slices.IndexFunc(prior.Marks, func(m hedgerow.Mark) bool { return m.Ref == o.Ref })
		if m >= 0 && prior.Marks[m].ResourceVersion == o.ResourceVersion {
			continue
		}
		now, ok := c.present[o.Ref]
		if !ok { // then the list is taken anew, as internal/kube does
			snap.Revision, snap.Objects = strconv.FormatUint(c.revision, 10), c.holds(k)
			return snap
		}
		snap.Objects[i] = now
	}
	return snap
}

// holds are the objects of a kind. The caller holds mu.
func (c *cluster) holds(k hedgerow.Kind) (os []hedgerow.Object) {
	for _, o := range c.present {
		if o.Group == k.Group && o.Kind == k.Kind {
			os = append(os, o)
		}
	}
	slices.SortFunc(os, func(a, b hedgerow.Object) int { return slices.Compare([]byte(a.Name), []byte(b.Name)) })
	return os
}
