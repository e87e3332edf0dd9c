package store_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"hedgerow"
	"hedgerow/internal/store"
)

// BenchmarkFirstCommit measures the commit of a first pass of 10,000
// connections, without reading them.
func BenchmarkFirstCommit(b *testing.B) {
	const n = 10_000
	kind := hedgerow.Kind{Group: "wiring.githedgehog.com", Version: "v1beta1", Kind: "Connection", Plural: "connections"}
	objects := make([]hedgerow.Object, n)
	for i := range objects {
		o := hedgerow.Object{
			Ref: hedgerow.Ref{Group: kind.Group, Kind: kind.Kind, Namespace: "default", Name: fmt.Sprintf("server-%05d--unbundled--leaf-%03d", i, i/48)},
			UID: fmt.Sprintf("9f3c2b1a-0000-4000-8000-%012d", i), ResourceVersion: fmt.Sprint(1000 + i), Generation: 1, CreatedAt: time.Unix(1_700_000_000, 0),
		}
		o.Content = fmt.Appendf(nil, `{"apiVersion":"wiring.githedgehog.com/v1beta1","kind":"Connection","metadata":{"labels":{"fabric.githedgehog.com/connection-type":"unbundled","server.fabric.githedgehog.com/server-%05d":"true","switch.fabric.githedgehog.com/leaf-%03d":"true"},"name":%q,"namespace":"default"},"spec":{"unbundled":{"link":{"server":{"port":"server-%05d/enp2s1"},"switch":{"port":"leaf-%03d/E1/%d"}}}}}`,
			i, i/48, o.Name, i, i/48, i%48)
		o.Digest = sha256.Sum256(o.Content)
		objects[i] = o
	}
	ctx := context.Background()
	for range b.N {
		b.StopTimer()
		db, err := store.Open(ctx, filepath.Join(b.TempDir(), "hedgerow.db"), store.Options{})
		if err != nil {
			b.Fatal(err)
		}
		now := time.Unix(1_800_000_000, 0)
		f, err := db.AddFabric(ctx, hedgerow.Fabric{Name: "bench"}, hedgerow.Secret{}, now)
		if err != nil {
			b.Fatal(err)
		}
		p, err := db.Begin(ctx, hedgerow.Opening{Fabric: f, Trigger: "bench", Actor: "bench", Clock: func() time.Time { return now }})
		if err != nil {
			b.Fatal(err)
		}
		p.Run.Outcome, p.Run.FinishedAt = hedgerow.RunComplete, now
		b.StartTimer()
		if _, err := db.Commit(ctx, hedgerow.Commit{Run: p.Run, Kinds: []hedgerow.Kind{kind}, Moves: []hedgerow.Move{{Kind: kind.ID(), Created: objects, Began: hedgerow.FirstSeen}}}); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		p.End()
		if err := db.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
