package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// few is how many objects of its own a worker has before it deletes one.
const few = 2

// worker makes one edit of a Churn after another. What it made, it alone edits
// and deletes.
type worker struct {
	churn *Churn
	turn  int
	mine  []Edit // that exist, the oldest first
	gone  []Edit // whose names are free again
}

// edit makes edit n of the churn.
func (w *worker) edit(ctx context.Context, n int) {
	c, f := w.churn, w.churn.fleet
	serial := f.lastValue.Add(1)
	e := Edit{Fabric: c.fabrics[n%len(c.fabrics)], Did: Updated, Value: fmt.Sprintf("edit %07d", serial)}
	e.Kind, e.Name = f.servers.Kind, f.servers.names[n/len(c.fabrics)%len(f.servers.names)]
	if c.mix == Varied {
		w.vary(&e, serial)
	}
	e.Asked = time.Now()
	o, err := f.make(ctx, e)
	e.Answered = time.Now()
	if e.Did != Deleted && err == nil {
		e.UID, e.ResourceVersion = o.Metadata.UID, o.Metadata.ResourceVersion
	}
	c.note(e, err)
	switch {
	case err != nil: // the object may be there or not: nobody touches it again
		w.drop(e)
	case e.Did == Created:
		w.mine = append(w.mine, e)
	case e.Did == Deleted:
		w.drop(e)
		w.gone = append(w.gone, e)
	}
}

// vary makes something else of two updates in ten, and chooses objects of the
// worker's own for two more.
func (w *worker) vary(e *Edit, serial int64) {
	f := w.churn.fleet
	w.turn++
	switch turn := w.turn % 10; {
	case turn == 0 && len(w.mine) > few:
		e.Fabric, e.Did, e.Object, e.Value = w.mine[0].Fabric, Deleted, w.mine[0].Object, ""
		e.ResourceVersion = ""
	case turn == 0, turn == 5:
		e.Did, e.Object = Created, Object{Kind: f.servers.Kind, Name: fmt.Sprintf("churn-%07d", serial)}
		if len(w.gone) > 0 && w.turn%20 == 5 {
			e.Fabric, e.Name = w.gone[0].Fabric, w.gone[0].Name
			w.gone = w.gone[1:]
		}
	case turn%5 == 2 && len(w.mine) > 0:
		own := w.mine[len(w.mine)-1]
		e.Fabric, e.Object = own.Fabric, own.Object
	}
}

// drop forgets an object of the worker's own.
func (w *worker) drop(e Edit) {
	for i, o := range w.mine {
		if o.Fabric == e.Fabric && o.Name == e.Name {
			w.mine = append(w.mine[:i:i], w.mine[i+1:]...)
			return
		}
	}
}

// make does to the cluster what an edit says.
func (f *Fleet) make(ctx context.Context, e Edit) (meta, error) {
	t := f.switches
	if e.Kind == f.servers.Kind {
		t = f.servers
	}
	path := t.path(f.Name(e.Fabric))
	switch e.Did {
	case Deleted:
		return f.write(ctx, http.MethodDelete, path+"/"+e.Name, "", nil)
	case Created:
		body, err := t.after(e.Name, e.Value)
		if err != nil {
			return meta{}, err
		}
		return f.write(ctx, http.MethodPost, path, "application/json", body)
	default:
		return f.describe(ctx, path+"/"+e.Name, e.Value)
	}
}

// after is an object made after the model of its kind.
func (t target) after(name, description string) ([]byte, error) {
	var o map[string]any
	if err := json.Unmarshal(t.model, &o); err != nil {
		return nil, err
	}
	delete(o, "status")
	o["metadata"] = map[string]any{"name": name}
	spec, _ := o["spec"].(map[string]any)
	if spec == nil {
		spec = map[string]any{}
	}
	spec["description"] = description
	o["spec"] = spec
	return json.Marshal(o)
}
