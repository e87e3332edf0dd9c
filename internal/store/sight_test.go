package store

import (
	"fmt"
	"slices"
	"testing"

	"hedgerow"
)

// TestSight: what a user may not see does not exist for them (S25), whatever
// role they have and in however many fabrics.
func TestSight(t *testing.T) {
	onBoth(t, func(t *testing.T, r *record) {
		ctx := t.Context()
		fabrics := []hedgerow.Fabric{r.fabric(t, "a"), r.fabric(t, "b"), r.fabric(t, "c")}
		for i, f := range fabrics {
			r.pass(t, f, []hedgerow.Kind{widgets}, hedgerow.Move{Kind: widgets.ID(), Began: hedgerow.FirstSeen, Created: []hedgerow.Object{object(widgets, fmt.Sprint("needle", i), "u", "1", "x")}})
		}
		var users []hedgerow.User
		for _, everywhere := range []hedgerow.Role{hedgerow.NoRole, hedgerow.Viewer, hedgerow.Operator, hedgerow.Admin} {
			for _, inB := range []hedgerow.Role{hedgerow.NoRole, hedgerow.Viewer, hedgerow.Operator, hedgerow.Admin} {
				u := hedgerow.User{Name: fmt.Sprintf("u-%s-%s", everywhere, inB), Role: everywhere}
				if inB != hedgerow.NoRole {
					u.Fabrics = map[int64]hedgerow.Role{fabrics[1].ID: inB}
				}
				u, err := r.AddUser(ctx, u, "hash", r.tick())
				if err != nil {
					t.Fatal(err)
				}
				users = append(users, u)
			}
		}
		for _, u := range users {
			var want, got, wantFound, found []string
			for i, f := range fabrics {
				if u.In(f.ID).Includes(hedgerow.Viewer) {
					want, wantFound = append(want, f.Name), append(wantFound, fmt.Sprint("needle", i))
				}
				for _, need := range hedgerow.Roles {
					_, err := r.FabricFor(ctx, u.ID, f.ID, need)
					if may := u.In(f.ID).Includes(need); may != (err == nil) || !may && hedgerow.CodeOf(err) != hedgerow.CodeNotFound {
						t.Errorf("%s, %s as %s: %v", u.Name, f.Name, need, err)
					}
				}
			}
			all, err := r.FabricsFor(ctx, u.ID)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range all {
				got = append(got, f.Name)
			}
			same(t, u.Name+" sees", want, got)
			hits, err := r.Search(ctx, u.ID, "NEEDLE", 10)
			if err != nil {
				t.Fatal(err)
			}
			for _, h := range hits {
				found = append(found, h.Name)
			}
			same(t, u.Name+" finds", wantFound, found)
		}
		// As they are now, not as they were when somebody signed in.
		stored, err := r.Users(ctx)
		if err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(users, func(a, b hedgerow.User) int { return slices.Compare([]byte(a.Name), []byte(b.Name)) })
		same(t, "users", users, stored)
		for _, nobody := range []int64{0, -1, 999} {
			if all, err := r.FabricsFor(ctx, nobody); err != nil || len(all) > 0 {
				t.Errorf("user %d sees %v, %v", nobody, all, err)
			}
		}
		if _, err := r.AddUser(ctx, hedgerow.User{Name: users[0].Name}, "hash", r.tick()); hedgerow.CodeOf(err) != hedgerow.CodeExists {
			t.Errorf("a name twice: %v", err)
		}
		if err := r.RemoveUser(ctx, "nobody"); hedgerow.CodeOf(err) != hedgerow.CodeNotFound {
			t.Errorf("removed nobody: %v", err)
		}
	})
}

// TestObjectsPage: page by page every object comes once, in order, and a text
// is found in names and contents, in any case, wildcards and all.
func TestObjectsPage(t *testing.T) {
	onBoth(t, func(t *testing.T, r *record) {
		f := r.fabric(t, "lab")
		var objects []hedgerow.Object
		var names []string
		for i := range 25 {
			name := fmt.Sprintf("w-%02d", i)
			o := object(widgets, name, name, "1", fmt.Sprintf("Text %d%%_\\", i%3))
			objects, names = append(objects, o), append(names, name)
		}
		r.pass(t, f, []hedgerow.Kind{widgets}, hedgerow.Move{Kind: widgets.ID(), Began: hedgerow.FirstSeen, Created: objects})
		read := func(text string, limit int) (got []string) {
			q := hedgerow.ObjectQuery{Text: text, Limit: limit}
			for {
				page, err := r.ObjectsPage(t.Context(), f.ID, widgets.ID(), q)
				if err != nil {
					t.Fatal(err)
				}
				for _, o := range page {
					got = append(got, o.Name)
					q.AfterNamespace, q.AfterName = o.Namespace, o.Name
				}
				if len(page) < limit {
					return got
				}
			}
		}
		for _, limit := range []int{1, 7, 25, 100} {
			same(t, fmt.Sprint("in pages of ", limit), names, read("", limit))
		}
		same(t, "by name", []string{"w-07"}, read("W-07", 10))
		same(t, "by content", 8, len(read("text 1%_", 3)))
		same(t, "by a wildcard that is none", 0, len(read("text%1", 3)))
		same(t, "by what is nowhere", 0, len(read("nowhere", 3)))
	})
}
