package apiserver

import (
	"cmp"
	"net/http"
	"slices"
	"sync/atomic"

	apiextv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextserver "k8s.io/apiextensions-apiserver/pkg/apiserver"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/apiserver/pkg/endpoints/discovery/aggregated"
	"k8s.io/client-go/tools/cache"
)

// groupList serves GET /apis, in both forms. In a full cluster kube-aggregator does; apiextensions-apiserver knows the
// groups of its CRDs, but only tells them in the aggregated form.
type groupList struct {
	handler atomic.Pointer[aggregated.WrappedHandler]
}

// ServeHTTP is the last resort of the API server: what reaches it and is not the list of groups does not exist.
func (g *groupList) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h := g.handler.Load(); h != nil && (r.URL.Path == "/apis" || r.URL.Path == "/apis/") {
		h.ServeHTTP(w, r)
		return
	}
	http.NotFound(w, r)
}

func (g *groupList) serve(srv *apiextserver.CustomResourceDefinitions) error {
	generic := srv.GenericAPIServer
	g.handler.Store(aggregated.WrapAggregatedDiscoveryToHandler(generic.DiscoveryGroupManager, generic.AggregatedDiscoveryGroupManager, nil))
	groups := &crdGroups{srv: srv, known: map[string]bool{}}
	_, err := srv.Informers.Apiextensions().V1().CustomResourceDefinitions().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { groups.update() },
		UpdateFunc: func(any, any) { groups.update() },
		DeleteFunc: func(any) { groups.update() },
	})
	return err
}

// crdGroups keeps the unaggregated list of groups equal to the established CRDs. One informer calls it, one event at a
// time.
type crdGroups struct {
	srv   *apiextserver.CustomResourceDefinitions
	known map[string]bool
}

func (c *crdGroups) update() {
	crds, err := c.srv.Informers.Apiextensions().V1().CustomResourceDefinitions().Lister().List(labels.Everything())
	if err != nil {
		return
	}
	manager := c.srv.GenericAPIServer.DiscoveryGroupManager
	served := servedVersions(crds)
	for group := range c.known {
		if served[group] == nil {
			manager.RemoveGroup(group)
			delete(c.known, group)
		}
	}
	for group, versions := range served {
		g := metav1.APIGroup{Name: group}
		for _, v := range versions {
			g.Versions = append(g.Versions, metav1.GroupVersionForDiscovery{GroupVersion: group + "/" + v, Version: v})
		}
		g.PreferredVersion = g.Versions[0]
		manager.AddGroup(g)
		c.known[group] = true
	}
}

// servedVersions maps each group to its versions, the preferred one first.
func servedVersions(crds []*apiextv1.CustomResourceDefinition) map[string][]string {
	groups := map[string][]string{}
	for _, c := range crds {
		if !established(c) {
			continue
		}
		for _, v := range c.Spec.Versions {
			if g := groups[c.Spec.Group]; v.Served && !slices.Contains(g, v.Name) {
				groups[c.Spec.Group] = append(g, v.Name)
			}
		}
	}
	for _, versions := range groups {
		slices.SortFunc(versions, func(a, b string) int {
			return cmp.Or(version.CompareKubeAwareVersionStrings(b, a), cmp.Compare(a, b))
		})
	}
	return groups
}

func established(c *apiextv1.CustomResourceDefinition) bool {
	return slices.ContainsFunc(c.Status.Conditions, func(x apiextv1.CustomResourceDefinitionCondition) bool {
		return x.Type == apiextv1.Established && x.Status == apiextv1.ConditionTrue
	})
}
