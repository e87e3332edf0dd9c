package store

import (
	"testing"
	"time"

	"hedgerow"
)

func TestFabrics(t *testing.T) {
	onBoth(t, func(t *testing.T, r *record) {
		ctx := t.Context()
		_, err := r.Fabric(ctx, "lab")
		refused(t, err, hedgerow.CodeNotFound, `no fabric "lab"`)
		want := hedgerow.Fabric{
			Name:    "lab",
			Cluster: &hedgerow.Cluster{Server: "https://a:6443", Namespace: "default", TLSServerName: "kubernetes", Insecure: true, Auth: "token", Context: "c"},
			Policy: hedgerow.Policy{
				Interval: time.Hour, ConnectTimeout: 1, RequestTimeout: 2, PassTimeout: 3, QPS: 4.5, Burst: 5, PageSize: 6,
				MaxDeleteShare: 0.25, MaxDeleteFloor: 7, Exclude: []string{"agents"}, Mode: hedgerow.Poll,
			},
		}
		at := r.tick()
		got, err := r.AddFabric(ctx, want, hedgerow.NewSecret([]byte("canary")), at)
		if err != nil {
			t.Fatal(err)
		}
		want.ID, want.CreatedAt, want.UpdatedAt = got.ID, at, at
		same(t, "what AddFabric returns", want, got)
		read := func() hedgerow.Fabric {
			f, err := r.Fabric(ctx, "lab")
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
		same(t, "fabric", want, read())

		_, err = r.AddFabric(ctx, hedgerow.Fabric{Name: "lab"}, hedgerow.Secret{}, r.tick())
		refused(t, err, hedgerow.CodeExists, "already")
		_, err = r.AddFabric(ctx, hedgerow.Fabric{Name: "No Good"}, hedgerow.Secret{}, r.tick())
		refused(t, err, hedgerow.CodeInvalid, "No Good")
		same(t, "fabric after refusals", want, read())

		// Without a credential an edit keeps the one there is.
		want.Suspended, want.Cluster.Server, want.UpdatedAt = true, "https://b:6443", r.tick()
		if err := r.UpdateFabric(ctx, want, nil, want.UpdatedAt); err != nil {
			t.Fatal(err)
		}
		same(t, "edited fabric", want, read())
		if s, err := r.Credential(ctx, want.ID); err != nil || string(s.Reveal()) != "canary" {
			t.Errorf("credential %q, error %v", s.Reveal(), err)
		}
		other := hedgerow.NewSecret([]byte("another"))
		if err := r.UpdateFabric(ctx, want, &other, want.UpdatedAt); err != nil {
			t.Fatal(err)
		}
		if s, err := r.Credential(ctx, want.ID); err != nil || string(s.Reveal()) != "another" {
			t.Errorf("credential %q, error %v", s.Reveal(), err)
		}

		// By name, and as bytes: '-' stands before letters and digits.
		for _, name := range []string{"lab2", "lab-z", "a", "lab.b"} {
			if _, err := r.AddFabric(ctx, hedgerow.Fabric{Name: name}, hedgerow.Secret{}, r.tick()); err != nil {
				t.Fatal(err)
			}
		}
		all, err := r.Fabrics(ctx)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, f := range all {
			names = append(names, f.Name)
			if f.Policy.Interval == 0 {
				t.Errorf("%s has no interval: a policy's defaults are filled in", f.Name)
			}
		}
		same(t, "names", []string{"a", "lab", "lab-z", "lab.b", "lab2"}, names)
		s, err := r.Credential(ctx, all[0].ID)
		if err != nil || !s.IsZero() {
			t.Errorf("a fabric without credential has %d bytes, error %v", len(s.Reveal()), err)
		}
	})
}

// TestGoneFabric: nothing can be done to a fabric that has been removed, and
// nobody is told that it was.
func TestGoneFabric(t *testing.T) {
	onBoth(t, func(t *testing.T, r *record) {
		ctx := t.Context()
		f := r.fabric(t, "lab")
		if err := r.RemoveFabric(ctx, f.ID); err != nil {
			t.Fatal(err)
		}
		refused(t, r.RemoveFabric(ctx, f.ID), hedgerow.CodeNotFound, "removed")
		refused(t, r.UpdateFabric(ctx, f, nil, r.tick()), hedgerow.CodeNotFound, "lab")
		secret := hedgerow.NewSecret([]byte("canary"))
		refused(t, r.UpdateFabric(ctx, f, &secret, r.tick()), hedgerow.CodeNotFound, "lab")
		_, err := r.Begin(ctx, hedgerow.Opening{Fabric: f, Trigger: "manual", Actor: "tester", Clock: r.tick})
		refused(t, err, hedgerow.CodeNotFound, "removed")
		same(t, "secrets", []string{}, r.everything(t)["secrets"])
	})
}

// TestRemoveFabric: everything of the fabric goes, contents that nobody else
// has too; everything of the others stays.
func TestRemoveFabric(t *testing.T) {
	onBoth(t, func(t *testing.T, r *record) {
		ctx := t.Context()
		lone := widgets
		lone.Schema = []byte(`{"description":"of lab only"}`)
		mine, shared := widget("mine", "u1", "1", "mine"), widget("shared", "u2", "1", "shared")
		other := r.fabric(t, "other")
		r.pass(t, other, both, firstSeen(widgets, shared), firstSeen(probes, probe("p", "u3", "1", "p", `{"n":1}`)))
		// A content that only history and a tombstone hold is held.
		r.pass(t, other, nil, updated(widgets, widget("shared", "u2", "2", "newer")), deleted(probes, probe("p", "u3", "1", "p", "")))
		before := r.everything(t)

		secret := hedgerow.NewSecret([]byte("canary"))
		lab, err := r.AddFabric(ctx, hedgerow.Fabric{Name: "lab"}, secret, r.tick())
		if err != nil {
			t.Fatal(err)
		}
		r.pass(t, lab, []hedgerow.Kind{probes, lone}, firstSeen(widgets, mine, shared), firstSeen(probes, probe("q", "u5", "1", "q", `{"n":1}`)))
		r.pass(t, lab, nil, deleted(widgets, mine), updated(widgets, widget("shared", "u2", "3", "newest")))
		if err := r.RemoveFabric(ctx, lab.ID); err != nil {
			t.Fatal(err)
		}
		same(t, "tables", before, r.everything(t))
		_, err = r.Content(ctx, mine.Digest)
		refused(t, err, hedgerow.CodeNotFound, mine.Digest.String())
		if b, err := r.Content(ctx, shared.Digest); err != nil || string(b) != string(shared.Content) {
			t.Errorf("content of the other fabric: %q, error %v", b, err)
		}
	})
}

// TestRemoveWhileRunning: a fabric at work is not removed from under its run.
func TestRemoveWhileRunning(t *testing.T) {
	onBoth(t, func(t *testing.T, r *record) {
		f := r.fabric(t, "lab")
		p := r.begin(t, f)
		refused(t, r.open(t).RemoveFabric(t.Context(), f.ID), hedgerow.CodeBusy, "under way")
		p.End()
		if err := r.RemoveFabric(t.Context(), f.ID); err != nil {
			t.Error(err)
		}
	})
}
