package kube

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"hedgerow"
	"hedgerow/internal/kinds"
)

const acceptDiscovery = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList," +
	"application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"

// Discover asks which Hedgehog kinds are served. Kinds whose definition is as
// in known keep columns and schema from there; those of others are read.
func (c *Client) Discover(ctx context.Context, known []hedgerow.Kind) (hedgerow.Discovery, error) {
	d, err := c.groups(ctx)
	if err != nil {
		return d, c.explainIn(ctx, "ask which APIs are served", err)
	}
	if err := c.namespaceExists(ctx); err != nil {
		return d, err
	}
	if len(d.Kinds) > maxKinds {
		return d, hedgerow.Errorf(hedgerow.CodeTooLarge, "%s says that it serves %d kinds of Hedgehog groups; at most %d are read", c.base.Host, len(d.Kinds), maxKinds)
	}
	slices.SortFunc(d.Kinds, func(a, b hedgerow.Kind) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Kind, b.Kind))
	})
	if err := c.define(ctx, d.Kinds, known); err != nil {
		err = c.explainIn(ctx, "read the definitions of kinds", err)
		if ctx.Err() != nil {
			return d, err
		}
		c.opt.Log.Warn("definitions of kinds not read", "error", err.Error())
		keep(d.Kinds, known)
	}
	for i, k := range d.Kinds {
		d.Kinds[i] = kinds.Merge(k)
	}
	return d, nil
}

// namespaceExists fails when the cluster says that the namespace to observe
// does not exist: lists in such a namespace are empty, and no error. Where it
// does not let us ask, the lists must do.
func (c *Client) namespaceExists(ctx context.Context) error {
	ns := c.cluster.Namespace
	if ns == "" {
		return nil
	}
	if err := c.limit.Wait(ctx); err != nil {
		return nil // the lists will say so
	}
	a, _, err := c.once(ctx, "/api/v1/namespaces/"+ns, nil, "application/json")
	if err == nil {
		return a.body.Close()
	}
	var s *statusError
	if errors.As(err, &s) && s.code == http.StatusNotFound && s.reason == "NotFound" {
		return hedgerow.Errorf(hedgerow.CodeNotFound, "there is no namespace %s in the cluster", ns).
			WithHint("Hedgehog keeps everything in namespace default: hedgerow fabric add, or edit, with --namespace.")
	}
	return nil
}

func (c *Client) groups(ctx context.Context) (d hedgerow.Discovery, err error) {
	b, h, err := c.getAll(ctx, "/apis", nil, acceptDiscovery)
	if err != nil {
		return d, err
	}
	if strings.Contains(h.Get("Content-Type"), "as=APIGroupDiscoveryList") {
		d, err = c.aggregated(b)
	} else {
		d, err = c.legacy(ctx, b)
	}
	if err != nil {
		return d, err
	}
	return d, c.possible(d)
}

// maxKinds bounds the kinds of one cluster; Hedgehog has some twenty.
const maxKinds = 1000

// word is what Kubernetes allows at most in the name of a group, version,
// resource or kind.
var word = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9.]{0,251}[A-Za-z0-9])?$`)

// possible refuses names that no API server has: they go into the paths of
// requests and into manifests that people apply.
func (c *Client) possible(d hedgerow.Discovery) error {
	check := func(names ...string) error {
		for _, n := range names {
			if !word.MatchString(n) {
				return hedgerow.Errorf(hedgerow.CodeGarbage, "%s says that it serves %q, which cannot be the name of an API", c.base.Host, n).WithHint("%s", hintGarbage)
			}
		}
		return nil
	}
	for g := range d.FailedGroups {
		if err := check(g); err != nil {
			return err
		}
	}
	for _, k := range d.Kinds {
		names := slices.Concat([]string{k.Group, k.Version, k.Kind, k.Plural}, k.ShortNames, k.Categories)
		if k.Singular != "" {
			names = append(names, k.Singular)
		}
		if err := check(names...); err != nil {
			return err
		}
	}
	return nil
}

// aggregated reads the answer of servers since Kubernetes 1.26: everything at
// once.
func (c *Client) aggregated(b []byte) (hedgerow.Discovery, error) {
	var list struct {
		Items []struct {
			Metadata struct{ Name string }
			Versions []struct {
				Version   string
				Freshness string
				Resources []struct {
					Resource         string
					ResponseKind     struct{ Kind string }
					Scope            string
					SingularResource string
					Verbs            []string
					ShortNames       []string
					Categories       []string
				}
			}
		}
	}
	d := hedgerow.Discovery{FailedGroups: map[string]error{}}
	if err := c.unmarshal(b, &list); err != nil {
		return d, err
	}
	for _, g := range list.Items {
		if !hedgerow.HedgehogGroup(g.Metadata.Name) {
			continue
		}
		seen := map[string]bool{}
		for _, v := range g.Versions { // the preferred version comes first
			if v.Freshness == "Stale" {
				d.FailedGroups[g.Metadata.Name] = hedgerow.Errorf(hedgerow.CodeServer, "the cluster itself cannot say what %s/%s serves now", g.Metadata.Name, v.Version)
				continue
			}
			for _, r := range v.Resources {
				if seen[r.Resource] || !slices.Contains(r.Verbs, "list") {
					continue
				}
				seen[r.Resource] = true
				d.Kinds = append(d.Kinds, hedgerow.Kind{
					Group: g.Metadata.Name, Version: v.Version, Kind: r.ResponseKind.Kind,
					Plural: r.Resource, Singular: r.SingularResource, ShortNames: r.ShortNames,
					Categories: r.Categories, Namespaced: r.Scope == "Namespaced",
				})
			}
		}
	}
	return d, nil
}

// legacy asks group by group, as servers of any age allow.
func (c *Client) legacy(ctx context.Context, b []byte) (hedgerow.Discovery, error) {
	var list struct {
		Kind   string
		Groups []struct {
			Name             string
			Versions         []struct{ Version string }
			PreferredVersion struct{ Version string }
		}
	}
	d := hedgerow.Discovery{FailedGroups: map[string]error{}}
	if err := c.unmarshal(b, &list); err != nil {
		return d, err
	}
	if list.Kind != "APIGroupList" {
		return d, hedgerow.Errorf(hedgerow.CodeGarbage, "%s answers /apis with something that is not a list of API groups", c.base.Host).
			WithHint("%s", hintGarbage)
	}
	type found struct {
		kinds []hedgerow.Kind
		err   error
	}
	var names []string
	var preferred [][]string
	for _, g := range list.Groups {
		if !hedgerow.HedgehogGroup(g.Name) {
			continue
		}
		vs := []string{g.PreferredVersion.Version}
		for _, v := range g.Versions {
			if v.Version != vs[0] {
				vs = append(vs, v.Version)
			}
		}
		names, preferred = append(names, g.Name), append(preferred, vs)
	}
	results := make([]found, len(names))
	var eg errgroup.Group
	eg.SetLimit(4)
	for i := range names {
		eg.Go(func() error {
			seen := map[string]bool{}
			for _, v := range preferred[i] {
				ks, err := c.resources(ctx, names[i], v)
				if err != nil {
					results[i].err = c.explain("ask what "+names[i]+"/"+v+" serves", err)
					return nil
				}
				for _, k := range ks {
					if !seen[k.Plural] {
						seen[k.Plural] = true
						results[i].kinds = append(results[i].kinds, k)
					}
				}
			}
			return nil
		})
	}
	_ = eg.Wait() // the functions return nil
	for i, r := range results {
		d.Kinds = append(d.Kinds, r.kinds...)
		if r.err != nil {
			d.FailedGroups[names[i]] = r.err
		}
	}
	return d, nil
}

func (c *Client) resources(ctx context.Context, group, version string) ([]hedgerow.Kind, error) {
	var list struct {
		Resources []struct {
			Name, SingularName, Kind string
			Namespaced               bool
			Verbs                    []string
			ShortNames               []string
			Categories               []string
		}
	}
	err := c.getJSON(ctx, "/apis/"+group+"/"+version, nil, "application/json", &list)
	var s *statusError
	if errors.As(err, &s) && s.code == http.StatusNotFound {
		return nil, nil // went between the two questions
	}
	if err != nil {
		return nil, err
	}
	var ks []hedgerow.Kind
	for _, r := range list.Resources {
		if strings.Contains(r.Name, "/") || !slices.Contains(r.Verbs, "list") {
			continue
		}
		ks = append(ks, hedgerow.Kind{
			Group: group, Version: version, Kind: r.Kind, Plural: r.Name, Singular: r.SingularName,
			ShortNames: r.ShortNames, Categories: r.Categories, Namespaced: r.Namespaced,
		})
	}
	return ks, nil
}
