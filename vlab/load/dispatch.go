package load

import (
	"context"
	"net/http"
)

// dispatcher prepares objects for the workers: it finds their resource, makes their namespace, and knows what need not
// be sent. One goroutine uses it.
type dispatcher struct {
	loader     *Loader
	kinds      *kinds
	mode       Mode
	namespaces map[string]bool              // that exist
	existing   map[resource]map[string]bool // namespace/name of what is there, for mode Skip
	jobs       chan<- job
	result     Result
}

func (d *dispatcher) dispatch(ctx context.Context, doc Document) error {
	err := d.prepare(ctx, doc)
	if err == nil {
		return nil
	}
	d.result.Refused++
	return d.loader.refused(doc, err)
}

func (d *dispatcher) prepare(ctx context.Context, doc Document) error {
	res, err := d.kinds.resolve(ctx, doc.Object)
	if err != nil {
		return err
	}
	if res.namespaced && namespaceOf(doc.Object) == "" {
		doc.Object = strip(doc.Object)
		metadata(doc.Object)["namespace"] = "default"
	}
	if ns := namespaceOf(doc.Object); res.namespaced && !d.namespaces[ns] {
		if err := d.makeNamespace(ctx, ns); err != nil {
			return err
		}
		d.namespaces[ns] = true
	}
	if d.mode == Skip {
		there, err := d.there(ctx, res)
		if err != nil {
			return err
		}
		if there[namespaceOf(doc.Object)+"/"+nameOf(doc.Object)] {
			d.result.Unchanged++
			return nil
		}
	}
	select {
	case d.jobs <- job{doc, res}:
	case <-ctx.Done(): // Objects returns the cause
	}
	return nil
}

// there lists what the server has of a resource, once: a restart with many objects shall not send each of them again.
func (d *dispatcher) there(ctx context.Context, res resource) (map[string]bool, error) {
	if names, ok := d.existing[res]; ok {
		return names, nil
	}
	var list struct {
		Items []Object `json:"items"`
	}
	if err := d.loader.get(ctx, res.path("", ""), metadataType, &list); err != nil {
		return nil, err
	}
	names := make(map[string]bool, len(list.Items))
	for _, o := range list.Items {
		names[namespaceOf(o)+"/"+nameOf(o)] = true
	}
	d.existing[res] = names
	return names, nil
}

func (d *dispatcher) makeNamespace(ctx context.Context, name string) error {
	path := resource{version: "v1", plural: "namespaces"}
	err := d.loader.get(ctx, path.path("", name), jsonType, new(Object))
	if !hasCode(err, http.StatusNotFound) {
		return err
	}
	ns := Object{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": name}}
	if _, err := d.loader.send(ctx, http.MethodPost, path.path("", ""), jsonType, jsonType, ns); err != nil {
		return err
	}
	d.loader.say("namespace %s did not exist: made it", name)
	return nil
}
