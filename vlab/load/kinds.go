package load

import (
	"context"
	"fmt"
	"net/http"
	"strings"
)

// groupVersion is what discovery serves under one group and version, by kind.
type groupVersion map[string]resource

// kinds resolves kinds to resources, asking the server once for each group version. One goroutine uses it.
type kinds struct {
	loader *Loader
	known  map[string]groupVersion
}

func (l *Loader) newKinds() *kinds { return &kinds{l, map[string]groupVersion{}} }

// resolve returns the resource that serves the object's kind, or a *refusal when none does.
func (k *kinds) resolve(ctx context.Context, o Object) (resource, error) {
	apiVersion, _ := o["apiVersion"].(string)
	kind, _ := o["kind"].(string)
	gv, ok := k.known[apiVersion]
	if !ok {
		var err error
		if gv, err = k.loader.discover(ctx, apiVersion); err != nil {
			return resource{}, err
		}
		k.known[apiVersion] = gv
	}
	r, ok := gv[kind]
	if !ok {
		return resource{}, &refusal{http.StatusNotFound, fmt.Sprintf("the server does not serve kind %s of %s: install its CRD with --crds", kind, apiVersion)}
	}
	return r, nil
}

// discover reads the resources of a group version; one that is not served has none.
func (l *Loader) discover(ctx context.Context, apiVersion string) (groupVersion, error) {
	group, version, found := strings.Cut(apiVersion, "/")
	root := "/apis/"
	if !found {
		group, version, root = "", apiVersion, "/api/"
	}
	var list struct {
		Resources []struct {
			Name, Kind string
			Namespaced bool
		} `json:"resources"`
	}
	gv := groupVersion{}
	if err := l.get(ctx, root+apiVersion, jsonType, &list); err != nil {
		if hasCode(err, http.StatusNotFound) {
			return gv, nil
		}
		return nil, err
	}
	status := map[string]bool{}
	for _, r := range list.Resources {
		if plural, ok := strings.CutSuffix(r.Name, "/status"); ok {
			status[plural] = true
		}
	}
	for _, r := range list.Resources {
		if !strings.Contains(r.Name, "/") {
			gv[r.Kind] = resource{group, version, r.Name, r.Namespaced, status[r.Name]}
		}
	}
	return gv, nil
}
