package load

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	crdKind = "CustomResourceDefinition"
	// settleTimeout bounds the wait for a CRD to be served; half a second is usual, a hundred thousand stored objects
	// take a minute on a busy machine.
	settleTimeout = 5 * time.Minute
	settlePoll    = 20 * time.Millisecond
	// settledAge: a server holds back every create of a CRD that was established less than two seconds ago.
	settledAge = 3 * time.Second
)

var crds = resource{group: "apiextensions.k8s.io", version: "v1", plural: "customresourcedefinitions"}

// definition is the part of a CRD that tells whether it is served.
type definition struct {
	Metadata struct {
		Name            string `json:"name"`
		ResourceVersion string `json:"resourceVersion"`
	} `json:"metadata"`
	Spec struct {
		Group string `json:"group"`
		Names struct {
			Plural string `json:"plural"`
		} `json:"names"`
		Versions []served `json:"versions"`
	} `json:"spec"`
	Status struct {
		Conditions []condition `json:"conditions"`
	} `json:"status"`
}

type served struct {
	Name   string `json:"name"`
	Served bool   `json:"served"`
}

type condition struct {
	Type               string    `json:"type"`
	Status             string    `json:"status"`
	Reason             string    `json:"reason,omitempty"`
	Message            string    `json:"message,omitempty"`
	LastTransitionTime time.Time `json:"lastTransitionTime"`
}

// CRDs installs or updates definitions and returns when every one of them is served and in discovery. Other kinds among
// the documents are an *InputError; a definition that the server refuses is an error, because nothing works without it.
func (l *Loader) CRDs(ctx context.Context, docs []Document) error {
	for _, d := range docs {
		if d.Object["kind"] != crdKind {
			return &InputError{File: d.Origin, Text: fmt.Sprintf("a %v among the definitions: only %s objects belong here", d.Object["kind"], crdKind)}
		}
	}
	result, err := l.Objects(ctx, slices.Values(docs), Update)
	if err != nil {
		return err
	}
	if result.Refused > 0 {
		return fmt.Errorf("the server refused %d of %d definitions", result.Refused, len(docs))
	}
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	// One after another: the server works on all of them meanwhile, and reading a large definition often is dear.
	found := make([]definition, len(docs))
	for i, doc := range docs {
		if found[i], err = l.establish(ctx, nameOf(doc.Object)); err != nil {
			return fmt.Errorf("%s: wait until it is established: %w", title(doc), err)
		}
	}
	for i, doc := range docs {
		if err := poll(ctx, func() (bool, error) { return l.discovered(ctx, found[i]) }); err != nil {
			return fmt.Errorf("%s: wait until discovery names it: %w", title(doc), err)
		}
	}
	var wg sync.WaitGroup
	errs := make([]error, len(docs))
	for i, doc := range docs {
		wg.Go(func() {
			if err := poll(ctx, func() (bool, error) { return l.listable(ctx, found[i]) }); err != nil {
				errs[i] = fmt.Errorf("%s: wait until it can be listed: %w", title(doc), err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// establish waits until the server accepted a definition, and returns it.
func (l *Loader) establish(ctx context.Context, name string) (definition, error) {
	var d definition
	err := poll(ctx, func() (bool, error) {
		d = definition{}
		if err := l.get(ctx, crds.path("", name), jsonType, &d); err != nil {
			return false, err
		}
		at := slices.IndexFunc(d.Status.Conditions, func(c condition) bool { return c.Type == "Established" && c.Status == "True" })
		if at < 0 {
			return false, refusedNames(d)
		}
		return l.backdate(ctx, d, at)
	})
	return d, err
}

// refusedNames finds what no wait will cure: another definition holds the names.
func refusedNames(d definition) error {
	for _, c := range d.Status.Conditions {
		if c.Type == "NamesAccepted" && c.Status == "False" {
			return &refusal{http.StatusConflict, c.Message}
		}
	}
	return nil
}

// backdate makes a definition look established for a while: otherwise every create within two seconds sleeps for two
// seconds in the server, which waits for other servers of a cluster that does not exist here.
func (l *Loader) backdate(ctx context.Context, d definition, at int) (bool, error) {
	c := &d.Status.Conditions[at]
	if time.Since(c.LastTransitionTime) > settledAge {
		return true, nil
	}
	c.LastTransitionTime = c.LastTransitionTime.Add(-time.Minute).UTC().Truncate(time.Second)
	patch := map[string]any{
		"metadata": map[string]any{"resourceVersion": d.Metadata.ResourceVersion},
		"status":   map[string]any{"conditions": d.Status.Conditions},
	}
	_, err := l.send(ctx, http.MethodPatch, crds.path("", d.Metadata.Name)+"/status", jsonType, mergePatchType, patch)
	if hasCode(err, http.StatusConflict) {
		return false, nil // a controller was faster: look again
	}
	return err == nil, err
}

func (l *Loader) discovered(ctx context.Context, d definition) (bool, error) {
	for _, v := range d.Spec.Versions {
		if !v.Served {
			continue
		}
		gv, err := l.discover(ctx, d.Spec.Group+"/"+v.Name)
		if err != nil {
			return false, err
		}
		found := false
		for _, r := range gv {
			found = found || r.plural == d.Spec.Names.Plural
		}
		if !found {
			return false, nil
		}
	}
	return true, nil
}

// listable touches each version, which makes the server set up its storage; until that is done it answers 429, and
// 404 or 500 while its caches disagree about a definition that just changed.
func (l *Loader) listable(ctx context.Context, d definition) (bool, error) {
	for _, v := range d.Spec.Versions {
		if !v.Served {
			continue
		}
		res := resource{group: d.Spec.Group, version: v.Name, plural: d.Spec.Names.Plural}
		// an empty list out of the cache: any other may come from the store, before the cache is ready
		_, err := l.sendOnce(ctx, http.MethodGet, res.path("", "")+"?resourceVersion=0&labelSelector=vlab%2Fnone", metadataType, "", nil)
		if hasCode(err, http.StatusTooManyRequests, http.StatusNotFound, http.StatusInternalServerError) {
			return false, nil
		} else if err != nil {
			return false, err
		}
	}
	return true, nil
}

// poll asks until the answer is yes, an error, or the end of ctx.
func poll(ctx context.Context, ask func() (bool, error)) error {
	tick := time.NewTicker(settlePoll)
	defer tick.Stop()
	for {
		if ok, err := ask(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
