package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"sync"
)

// workers is how many requests are on their way at a time; more make a server with two processors no faster.
const workers = 16

// conflicts is how often an update is tried again when somebody else was faster.
const conflicts = 10

// query makes the server prune unknown fields and say so, as kubectl does when told to warn.
const query = "?fieldValidation=Warn"

// Loader fills one API server.
type Loader struct {
	client http.RoundTripper
	base   string
	say    func(format string, args ...any)

	mu   sync.Mutex
	said map[string]bool
}

// New returns a loader that sends requests to base (https://host:port; anything for a transport that ignores it). say
// gets each refusal and warning as one line for a person; it may be called from several goroutines.
func New(client http.RoundTripper, base string, say func(format string, args ...any)) *Loader {
	return &Loader{client: client, base: base, say: say, said: map[string]bool{}}
}

// Mode is what to do with an object that exists already.
type Mode int

const (
	// Skip leaves it as it is.
	Skip Mode = iota
	// Update makes it equal to the given one, which writes nothing when it is.
	Update
)

// Result counts what became of the objects.
type Result struct {
	Created, Updated, Unchanged, Refused int
}

// Total is the number of objects that the server holds as asked.
func (r Result) Total() int { return r.Created + r.Updated + r.Unchanged }

func (r *Result) add(o Result) {
	r.Created += o.Created
	r.Updated += o.Updated
	r.Unchanged += o.Unchanged
	r.Refused += o.Refused
}

type job struct {
	doc Document
	res resource
}

// Objects creates the objects, or updates them, in no particular order, and makes the namespaces that they need. An
// object that the server refuses is reported and counted, and the rest goes on; the error is for a server that does not
// answer, and for ctx.
func (l *Loader) Objects(ctx context.Context, docs iter.Seq[Document], mode Mode) (Result, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		total Result
		mu    sync.Mutex
		wg    sync.WaitGroup
		jobs  = make(chan job, workers)
	)
	for range workers {
		wg.Go(func() {
			var sum Result
			for j := range jobs {
				r, err := l.store(ctx, j, mode)
				if err = l.refused(j.doc, err); err != nil {
					cancel(err)
				}
				sum.add(r)
			}
			mu.Lock()
			total.add(sum)
			mu.Unlock()
		})
	}
	d := dispatcher{loader: l, kinds: l.newKinds(), mode: mode, namespaces: map[string]bool{}, existing: map[resource]map[string]bool{}, jobs: jobs}
	for doc := range docs {
		if ctx.Err() != nil {
			break
		}
		if err := d.dispatch(ctx, doc); err != nil {
			cancel(err)
			break
		}
	}
	close(jobs)
	wg.Wait()
	total.add(d.result)
	return total, context.Cause(ctx)
}

// refused reports a refusal; it returns every other error, which concerns not this object alone.
func (l *Loader) refused(doc Document, err error) error {
	if _, ok := errors.AsType[*refusal](err); !ok {
		return err
	}
	l.say("%s refused: %v", title(doc), err)
	return nil
}

// warn reports each warning about an object once, however many requests bring it.
func (l *Loader) warn(doc Document, warnings []string) {
	for _, w := range warnings {
		line := title(doc) + ": " + w
		l.mu.Lock()
		again := l.said[line]
		l.said[line] = true
		l.mu.Unlock()
		if !again {
			l.say("%s", line)
		}
	}
}

func title(doc Document) string {
	s := fmt.Sprintf("%v/%s", doc.Object["kind"], nameOf(doc.Object))
	if doc.Origin != "" {
		s = doc.Origin + ": " + s
	}
	return s
}

func (l *Loader) store(ctx context.Context, j job, mode Mode) (Result, error) {
	desired := strip(j.doc.Object)
	namespace, name := namespaceOf(desired), nameOf(desired)
	a, err := l.send(ctx, http.MethodPost, j.res.path(namespace, "")+query, jsonType, jsonType, desired)
	if err == nil {
		l.warn(j.doc, a.warnings)
		if _, err := l.storeStatus(ctx, j, a.body); err != nil {
			return Result{Refused: 1}, fmt.Errorf("its status: %w", err)
		}
		return Result{Created: 1}, nil
	}
	if !hasCode(err, http.StatusConflict) {
		return Result{Refused: 1}, err
	}
	if mode == Skip {
		return Result{Unchanged: 1}, nil
	}
	changed, err := l.update(ctx, j, desired, j.res.path(namespace, name))
	for range conflicts {
		if !hasCode(err, http.StatusConflict) {
			break
		}
		changed, err = l.update(ctx, j, desired, j.res.path(namespace, name)) // somebody wrote in between
	}
	switch {
	case err != nil:
		return Result{Refused: 1}, err
	case changed:
		return Result{Updated: 1}, nil
	}
	return Result{Unchanged: 1}, nil
}

// update puts what is desired over what exists. The server itself, which knows its defaults, decides whether that is a
// change: a PUT of the same object leaves the resourceVersion as it is.
func (l *Loader) update(ctx context.Context, j job, desired Object, path string) (changed bool, err error) {
	var have Object
	if err := l.get(ctx, path, jsonType, &have); err != nil {
		return false, err
	}
	a, err := l.send(ctx, http.MethodPut, path+query, jsonType, jsonType, merge(have, desired))
	if err != nil {
		return false, err
	}
	l.warn(j.doc, a.warnings)
	var got Object
	if err := json.Unmarshal(a.body, &got); err != nil {
		return false, err
	}
	statusChanged, err := l.storeStatus(ctx, j, a.body)
	return statusChanged || versionOf(got) != versionOf(have), err
}

// storeStatus writes the status of the document, if it has one, through the status subresource: an API server ignores it
// everywhere else. stored is the object as the server has it.
func (l *Loader) storeStatus(ctx context.Context, j job, stored []byte) (changed bool, err error) {
	status, ok := j.doc.Object["status"]
	if !ok || !j.res.status {
		return false, nil
	}
	var o Object
	if err := json.Unmarshal(stored, &o); err != nil {
		return false, err
	}
	before := versionOf(o)
	o["status"] = status
	a, err := l.send(ctx, http.MethodPut, j.res.path(namespaceOf(o), nameOf(o))+"/status"+query, jsonType, jsonType, o)
	if err != nil {
		return false, err
	}
	l.warn(j.doc, a.warnings)
	var after Object
	if err := json.Unmarshal(a.body, &after); err != nil {
		return false, err
	}
	return versionOf(after) != before, nil
}

// strip leaves out what only a server may set, so that the output of kubectl get loads.
func strip(o Object) Object {
	o = maps.Clone(o)
	meta := maps.Clone(metadata(o))
	for _, key := range []string{"creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid"} {
		delete(meta, key)
	}
	o["metadata"] = meta
	return o
}

// merge takes contents from desired and everything that others may have added to the metadata from have.
func merge(have, desired Object) Object {
	o := maps.Clone(desired)
	if status, ok := have["status"]; ok {
		o["status"] = status
	}
	meta := maps.Clone(metadata(have))
	for _, key := range []string{"labels", "annotations"} {
		if want, ok := metadata(desired)[key].(map[string]any); ok {
			all, _ := meta[key].(map[string]any)
			all = maps.Clone(all)
			if all == nil {
				all = map[string]any{}
			}
			maps.Copy(all, want)
			meta[key] = all
		}
	}
	o["metadata"] = meta
	return o
}
