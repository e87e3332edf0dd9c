package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"
)

// reference is how many objects the reference fabric has.
const reference = 48

// mergePatch is the content type of a patch that says what to set.
const mergePatch = "application/merge-patch+json"

// Fleet is many fabrics: one API server, where each namespace holds a fabric
// of its own, with the same objects under the same names. Fabrics are numbered
// from 0. The server is reached through the embedded Cluster, so that it can be
// killed, paused and started again.
type Fleet struct {
	*Cluster
	API *API // past every proxy

	n         int
	kinds     []Resource
	switches  target
	servers   target
	kubeconf  string        // what Add gives to Hedgerow
	lastValue *atomic.Int64 // of a Churn, shared with what Through returns
}

// target is a kind whose objects are edited.
type target struct {
	Resource
	names []string        // in every fabric
	model json.RawMessage // an object of it, to make others after
}

// NewFleet starts an API server with n fabrics of so many objects: 48 is the
// reference fabric, another number is the load fabric of that size, which must
// be at least 20. On two processors 900 objects a second are made.
func NewFleet(tb testing.TB, n, objects int) *Fleet {
	tb.Helper()
	hold := []string{"--objects", strconv.Itoa(objects)}
	if objects == reference {
		hold = []string{"--fabric", "spine-leaf"}
	}
	c := Vlab(tb, append(hold, "--strict-load", "--namespaces", strconv.Itoa(n))...)
	f := &Fleet{Cluster: c, API: Connect(tb, c.Kubeconfig), n: n, kubeconf: c.Kubeconfig, lastValue: &atomic.Int64{}}
	var err error
	if f.kinds, err = f.API.Resources(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	for plural, t := range map[string]*target{"switches": &f.switches, "servers": &f.servers} {
		if *t, err = f.target(tb.Context(), plural); err != nil {
			tb.Fatalf("looking for %s to edit: %v", plural, err)
		}
	}
	return f
}

func (f *Fleet) target(ctx context.Context, plural string) (t target, err error) {
	for _, k := range f.kinds {
		if k.Plural == plural {
			t.Resource = k
		}
	}
	var list struct{ Items []json.RawMessage }
	if err := f.API.into(ctx, t.path(f.Name(0)), "", &list); err != nil {
		return t, err
	}
	for _, item := range list.Items {
		var o meta
		if err := json.Unmarshal(item, &o); err != nil {
			return t, err
		}
		t.model, t.names = item, append(t.names, o.Metadata.Name)
	}
	if len(t.names) == 0 {
		return t, errors.New("there are none")
	}
	return t, nil
}

// Size is the number of fabrics.
func (f *Fleet) Size() int { return f.n }

// Name is the namespace of fabric i, and what Add calls it: fab-001 for 0.
func (f *Fleet) Name(i int) string { return fmt.Sprintf("fab-%03d", i+1) }

// Through returns the same fleet as another kubeconfig shows it, such as that
// of a wire.Proxy before its Kubeconfig: Add gives that to Hedgerow. Edits and
// states go past it.
func (f *Fleet) Through(kubeconfig string) *Fleet {
	other := *f
	other.kubeconf = kubeconfig
	return &other
}

// Add adds every fabric to an installation, with flags of "fabric add" such as
// "--interval", "30s".
func (f *Fleet) Add(tb testing.TB, h *Hedgerow, flags ...string) {
	tb.Helper()
	add := func(ctx context.Context, i int) error {
		args := append([]string{"fabric", "add", f.Name(i), "--kubeconfig", f.kubeconf, "--namespace", f.Name(i)}, flags...)
		if out, err := h.Command(ctx, tb, args...).CombinedOutput(); err != nil {
			return fmt.Errorf("hedgerow %s: %w\n%s", strings.Join(args, " "), err, out)
		}
		return nil
	}
	// The first one makes the record and its key.
	if err := add(tb.Context(), 0); err != nil {
		tb.Fatal(err)
	}
	g, ctx := errgroup.WithContext(tb.Context())
	g.SetLimit(4)
	for i := 1; i < f.n; i++ {
		g.Go(func() error { return add(ctx, i) })
	}
	if err := g.Wait(); err != nil {
		tb.Fatal(err)
	}
}

// Edit sets the description of a switch of fabric i, always the same one, and
// returns the version that this made. A value that the switch has already makes
// none.
func (f *Fleet) Edit(ctx context.Context, i int, value string) (resourceVersion string, err error) {
	o, err := f.describe(ctx, f.switches.path(f.Name(i))+"/"+f.switches.names[0], value)
	return o.Metadata.ResourceVersion, err
}

func (f *Fleet) describe(ctx context.Context, path, value string) (meta, error) {
	b, err := json.Marshal(map[string]any{"spec": map[string]any{"description": value}})
	if err != nil {
		return meta{}, err
	}
	return f.write(ctx, http.MethodPatch, path, mergePatch, b)
}

// write makes a request and decodes what the answer says of the object.
func (f *Fleet) write(ctx context.Context, method, path, contentType string, body []byte) (o meta, err error) {
	b, err := f.API.send(ctx, method, path, "", contentType, body)
	if err != nil {
		return o, err
	}
	if err := json.Unmarshal(b, &o); err != nil {
		return o, fmt.Errorf("%s %s: %w", method, path, err)
	}
	return o, nil
}

// meta is what an API server says of an object beside what it holds.
type meta struct {
	Metadata struct{ Namespace, Name, UID, ResourceVersion string }
}
