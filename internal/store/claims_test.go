package store

import (
	"slices"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"

	"hedgerow"
)

func sorted(s []string) []string { slices.Sort(s); return s }

// claims are who follows what, by the names of the fabrics.
func (r *record) claims(t *testing.T) map[string]string {
	t.Helper()
	all, err := r.Claims(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, c := range all {
		got[c.Fabric.Name] = c.Process
	}
	return got
}

func (r *record) claim(t *testing.T, db *DB, f hedgerow.Fabric, process string, want bool) {
	t.Helper()
	if ok, err := db.Claim(t.Context(), f.ID, process, r.tick()); ok != want || err != nil {
		t.Errorf("%s claimed by %s: %t, error %v", f.Name, process, ok, err)
	}
}

func TestClaims(t *testing.T) {
	onBoth(t, func(t *testing.T, r *record) {
		ctx := t.Context()
		f := r.fabric(t, "lab")
		for _, g := range []hedgerow.Fabric{
			{Name: "bare"},
			{Name: "suspended", Cluster: f.Cluster, Suspended: true},
			{Name: "polled", Cluster: f.Cluster, Policy: hedgerow.Policy{Mode: hedgerow.Poll}},
			{Name: "manual", Cluster: f.Cluster, Policy: hedgerow.Policy{Interval: hedgerow.Manual}},
		} {
			if _, err := r.AddFabric(ctx, g, hedgerow.Secret{}, r.tick()); err != nil {
				t.Fatal(err)
			}
		}
		other := r.open(t)
		_, a := join(t, r.DB, "a")
		sb, b := join(t, other, "b")
		same(t, "nobody's", map[string]string{"lab": "", "manual": ""}, r.claims(t))
		r.claim(t, r.DB, f, a.ID, true)
		r.claim(t, other, f, b.ID, false)
		same(t, "one", map[string]string{"lab": a.ID, "manual": ""}, r.claims(t))
		if err := other.Release(ctx, f.ID, b.ID); err != nil { // not its own
			t.Fatal(err)
		}
		r.claim(t, other, f, b.ID, false)
		if err := r.Release(ctx, f.ID, a.ID); err != nil {
			t.Fatal(err)
		}
		same(t, "after the release", map[string]string{"lab": "", "manual": ""}, r.claims(t))
		r.claim(t, other, f, b.ID, true)
		if err := sb.Leave(ctx, b.ID); err != nil {
			t.Fatal(err)
		}
		r.claim(t, r.DB, f, a.ID, true)
		if err := r.RemoveFabric(ctx, f.ID); err != nil {
			t.Fatal(err)
		}
		r.claim(t, r.DB, f, a.ID, false)
		same(t, "followers", []string{}, r.table(t, "followers"))
	})
}

// TestClaimOnce: of eight that claim at once one does, whether the fabric was
// nobody's or a dead process's.
func TestClaimOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, r *record) {
		ctx := t.Context()
		f := r.fabric(t, "lab")
		dbs := []*DB{r.DB, r.open(t), r.open(t), r.open(t)}
		var ids []string
		for i := range 8 {
			_, p := join(t, dbs[i%len(dbs)], "h")
			ids = append(ids, p.ID)
		}
		for _, was := range []string{"nobody's", "a dead process's"} {
			var won atomic.Int32
			start := make(chan struct{})
			var eg errgroup.Group
			for i, id := range ids {
				eg.Go(func() error {
					<-start
					ok, err := dbs[i%len(dbs)].Claim(ctx, f.ID, id, r.clock)
					if ok {
						won.Add(1)
					}
					return err
				})
			}
			close(start)
			if err := eg.Wait(); err != nil {
				t.Fatal(err)
			}
			holder := r.claims(t)["lab"]
			if won.Load() != 1 || !slices.Contains(ids, holder) {
				t.Errorf("%s: %d won, and it is %q's", was, won.Load(), holder)
			}
			// The holder is gone, but what it followed has not been cleared away.
			r.execute(t, `DELETE FROM processes WHERE id = $1`, holder)
			same(t, "after its death", "", r.claims(t)["lab"])
			ids = slices.DeleteFunc(ids, func(id string) bool { return id == holder })
		}
	})
}

// TestSetFollow: how far a follower has come is a fact, as long as it is the
// fabric's and its process is known.
func TestSetFollow(t *testing.T) {
	onBoth(t, func(t *testing.T, r *record) {
		ctx := t.Context()
		f := r.fabric(t, "lab")
		_, a := join(t, r.DB, "a")
		_, b := join(t, r.DB, "b")
		facts := func() hedgerow.FollowFacts {
			t.Helper()
			all, err := r.Facts(ctx, f)
			if err != nil {
				t.Fatal(err)
			}
			return all.Follow
		}
		set := func(p *hedgerow.Process, s hedgerow.FollowState, message string, want bool) hedgerow.FollowFacts {
			t.Helper()
			at := r.tick()
			if mine, err := r.SetFollow(ctx, f.ID, p.ID, s, message, at); mine != want || err != nil {
				t.Errorf("%s is %s: mine %t, error %v", p.Host, s, mine, err)
			}
			return hedgerow.FollowFacts{Wanted: true, State: s, Message: message, Since: at, Process: p.ID}
		}
		same(t, "nobody", hedgerow.FollowFacts{Wanted: true}, facts())
		set(a, hedgerow.Following, "", false)
		r.claim(t, r.DB, f, a.ID, true)
		same(t, "claimed", hedgerow.FollowFacts{Wanted: true, State: hedgerow.Starting, Since: r.clock, Process: a.ID}, facts())
		want := set(a, hedgerow.Broken, "vpcs: forbidden", true)
		same(t, "broken", want, facts())
		want = set(a, hedgerow.Following, "", true)
		set(b, hedgerow.Broken, "not mine", false)
		same(t, "following", want, facts())
		r.execute(t, `DELETE FROM processes WHERE id = $1`, a.ID)
		same(t, "its process is gone, which others find out", want, facts())
		r.claim(t, r.DB, f, b.ID, true) // stolen
		set(a, hedgerow.Following, "", false)
		same(t, "the thief's", b.ID, facts().Process)
		f.Policy.Mode = hedgerow.Poll
		if facts().Wanted {
			t.Error("a polled fabric is to be followed")
		}
		if mine, err := r.SetFollow(ctx, f.ID, b.ID, hedgerow.Broken, "bad \x00 \xff\nbytes", r.tick()); !mine || err != nil {
			t.Errorf("hostile words: %t, error %v", mine, err)
		}
	})
}
