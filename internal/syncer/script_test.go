package syncer_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"hedgerow"
	"hedgerow/internal/store"
	"hedgerow/internal/syncer"
)

// script is a source that says what it is told to say.
type script struct {
	served []hedgerow.Kind
	failed map[string]error // groups that cannot be asked
	err    error            // of the whole discovery
	// reads answers for a kind; without one the kind is complete and empty.
	reads map[string]func(ctx context.Context, prior hedgerow.Prior) hedgerow.KindSnapshot
	// discovering, when set, is called before anything is answered.
	discovering func(ctx context.Context)
}

func (s *script) Discover(ctx context.Context, _ []hedgerow.Kind) (hedgerow.Discovery, error) {
	if s.discovering != nil {
		s.discovering(ctx)
	}
	if err := ctx.Err(); err != nil {
		return hedgerow.Discovery{}, err
	}
	return hedgerow.Discovery{Kinds: s.served, FailedGroups: s.failed}, s.err
}

func (s *script) Read(ctx context.Context, k hedgerow.Kind, prior hedgerow.Prior) hedgerow.KindSnapshot {
	read, ok := s.reads[k.Plural]
	if !ok {
		read = holds()
	}
	snap := read(ctx, prior)
	snap.Kind = k
	return snap
}

// holds is a complete list.
func holds(os ...hedgerow.Object) func(context.Context, hedgerow.Prior) hedgerow.KindSnapshot {
	return func(context.Context, hedgerow.Prior) hedgerow.KindSnapshot {
		return hedgerow.KindSnapshot{Verdict: hedgerow.Complete, Revision: "100", Objects: os, Requests: 1, Bytes: 10, Duration: 7 * time.Millisecond}
	}
}

// fails is a list that could not be read whole. It carries an object, which
// must count for nothing.
func fails(v hedgerow.Verdict, code hedgerow.Code, text string) func(context.Context, hedgerow.Prior) hedgerow.KindSnapshot {
	return func(context.Context, hedgerow.Prior) hedgerow.KindSnapshot {
		return hedgerow.KindSnapshot{Verdict: v, Err: hedgerow.Errorf(code, "%s", text), Objects: []hedgerow.Object{object(switches, "half-read", "u", "1", "x")}}
	}
}

func kind(group, name, plural string) hedgerow.Kind {
	return hedgerow.Kind{Group: group, Version: "v1beta1", Kind: name, Plural: plural, Singular: strings.ToLower(name), Namespaced: true, Fingerprint: name + "-1"}
}

var (
	switches = kind("wiring.githedgehog.com", "Switch", "switches")
	servers  = kind("wiring.githedgehog.com", "Server", "servers")
	vpcs     = kind("vpc.githedgehog.com", "VPC", "vpcs")
	all      = []hedgerow.Kind{vpcs, servers, switches}
)

func object(k hedgerow.Kind, name, uid, version, text string) hedgerow.Object {
	content := fmt.Appendf(nil, `{"kind":%q,"metadata":{"name":%q},"spec":{"text":%q}}`, k.Kind, name, text)
	return hedgerow.Object{
		Ref: hedgerow.Ref{Group: k.Group, Kind: k.Kind, Namespace: "default", Name: name},
		UID: uid, ResourceVersion: version, Generation: 1, Digest: sha256.Sum256(content), Content: content,
	}
}

// many makes n objects.
func many(k hedgerow.Kind, n int) (os []hedgerow.Object) {
	for i := range n {
		name := fmt.Sprintf("%s-%02d", k.Singular, i)
		os = append(os, object(k, name, name, "1", "x"))
	}
	return os
}

// bench is a syncer on a record of its own, and a source to tell what to say.
type bench struct {
	*testing.T
	path   string // of the record
	db     *store.DB
	sync   syncer.Syncer
	fabric hedgerow.Fabric
	src    *script
	clock  time.Time
}

func newBench(t *testing.T) *bench {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hedgerow.db")
	db, err := store.Open(t.Context(), path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	b := &bench{T: t, path: path, db: db, src: &script{served: all, reads: map[string]func(context.Context, hedgerow.Prior) hedgerow.KindSnapshot{}}}
	b.clock = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	b.sync = syncer.Syncer{Store: db, Log: slog.New(slog.DiscardHandler), Now: func() time.Time {
		b.clock = b.clock.Add(time.Second)
		return b.clock
	}}
	if b.fabric, err = db.AddFabric(t.Context(), hedgerow.Fabric{Name: "lab", Policy: hedgerow.DefaultPolicy}, hedgerow.Secret{}, b.clock); err != nil {
		t.Fatal(err)
	}
	return b
}

// observe makes a pass and wants it recorded as returned.
func (b *bench) observe() hedgerow.Run {
	b.Helper()
	return b.observeWith(b.Context(), syncer.Request{})
}

func (b *bench) observeWith(ctx context.Context, q syncer.Request) hedgerow.Run {
	b.Helper()
	q.Fabric, q.Trigger, q.Actor = b.fabric, "manual", "tester"
	run, err := b.sync.Observe(ctx, b.src, q)
	if err != nil {
		b.Fatal(err)
	}
	b.recorded(run)
	return run
}

// recorded wants a run to be in the record as it is here.
func (b *bench) recorded(run hedgerow.Run) {
	b.Helper()
	got, err := b.db.Run(b.Context(), run.ID)
	if err != nil {
		b.Fatal(err)
	}
	b.same("the run as recorded", run, got)
}

func (b *bench) same(what string, want, got any) {
	b.Helper()
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.EquateComparable(hedgerow.Digest{})); d != "" {
		b.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// ended wants how a run ended.
func (b *bench) ended(run hedgerow.Run, outcome hedgerow.Outcome, code hedgerow.Code, message string) {
	b.Helper()
	if run.Outcome != outcome || run.Code != code || run.Message != message {
		b.Errorf("run ended as %s (%s): %q\nwant     %s (%s): %q", run.Outcome, run.Code, run.Message, outcome, code, message)
	}
	if run.FinishedAt.IsZero() || run.FinishedAt.Before(run.StartedAt) {
		b.Errorf("run from %s to %s", run.StartedAt, run.FinishedAt)
	}
}

// evidence returns what a run proved of a kind.
func (b *bench) evidence(run hedgerow.Run, k hedgerow.Kind) hedgerow.KindEvidence {
	b.Helper()
	i := slices.IndexFunc(run.Kinds, func(e hedgerow.KindEvidence) bool { return e.ID() == k.ID() })
	if i < 0 {
		b.Fatalf("run %d has no evidence of %s", run.ID, k.Plural)
	}
	return run.Kinds[i]
}

// names are the present objects of all kinds.
func (b *bench) names() []string {
	b.Helper()
	marks, err := b.db.Marks(b.Context(), b.fabric.ID)
	if err != nil {
		b.Fatal(err)
	}
	var names []string
	for _, ms := range marks {
		for _, m := range ms {
			names = append(names, m.String())
		}
	}
	slices.Sort(names)
	return names
}

// events are the events of a run, as "what Kind name".
func (b *bench) events(run hedgerow.Run) (es []string) {
	b.Helper()
	all, err := b.db.History(b.Context(), b.fabric.ID, hedgerow.HistoryQuery{Run: run.ID})
	if err != nil {
		b.Fatal(err)
	}
	for _, e := range all {
		es = append(es, e.What+" "+e.Kind+" "+e.Name)
	}
	return es
}

// unchanged wants a run that left version and objects as they were.
func (b *bench) unchanged(run hedgerow.Run, names []string) {
	b.Helper()
	if run.VersionAfter != run.VersionBefore {
		b.Errorf("run %d moved the version from %d to %d", run.ID, run.VersionBefore, run.VersionAfter)
	}
	b.same("events", []string{}, b.events(run))
	b.same("objects", names, b.names())
}

// next wants that the fabric is free and the next pass complete.
func (b *bench) next() hedgerow.Run {
	b.Helper()
	run := b.observe()
	b.ended(run, hedgerow.RunComplete, "", "")
	return run
}
