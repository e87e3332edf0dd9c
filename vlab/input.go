package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"hedgerow/internal/crds"
	"hedgerow/vlab/apiserver"
	"hedgerow/vlab/generate"
	"hedgerow/vlab/load"
)

// progressEvery is how often a long load says how far it is.
const progressEvery = 5 * time.Second

// input is what the server shall hold, read before it starts, so that a mistake costs no start.
type input struct {
	definitions []load.Document
	files       []load.Document
}

func readInput(f flags) (*input, error) {
	var in input
	var err error
	if f.crds != "" {
		in.definitions, err = load.Files(f.crds)
	} else {
		in.definitions, err = load.Dir(crds.FS, "built-in")
	}
	if err != nil {
		return nil, err
	}
	if in.files, err = load.Files(f.load...); err != nil {
		return nil, err
	}
	if f.tokens != "" {
		if _, err := os.Stat(f.tokens); errors.Is(err, fs.ErrNotExist) {
			return nil, usagef("--tokens %s: there is no such file", f.tokens)
		}
	}
	return &in, nil
}

// load fills the server and returns how many objects it holds then.
func (in *input) load(ctx context.Context, f flags, server *apiserver.Server) (int, error) {
	say := func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
	loader := load.New(server.Client(), server.URL, say)
	if err := loader.CRDs(ctx, in.definitions); err != nil {
		return 0, fmt.Errorf("install the definitions: %w", err)
	}
	refused := 0
	fill := func(name string, docs iter.Seq[load.Document], mode load.Mode) error {
		start := time.Now()
		var sent atomic.Int64
		r, err := loader.Objects(ctx, counted(docs, &sent, say, name), mode)
		if err != nil {
			return fmt.Errorf("load %s: %w", name, err)
		}
		took := time.Since(start)
		say("%s: %d created, %d updated, %d unchanged, %d refused in %s", name, r.Created, r.Updated, r.Unchanged, r.Refused, took.Round(time.Millisecond))
		refused += r.Refused
		return nil
	}
	if f.fabric != "" {
		objects, err := generate.Fabric(f.fabric)
		if err != nil {
			return 0, usagef("--fabric: %v", err)
		}
		if err := fill("fabric "+f.fabric, documents(slices.Values(objects), f.namespaces), load.Skip); err != nil {
			return 0, err
		}
	}
	if f.objects > 0 {
		if err := fill(fmt.Sprintf("load fabric of %d", f.objects), documents(generate.Load(f.objects), f.namespaces), load.Skip); err != nil {
			return 0, err
		}
	}
	if len(in.files) > 0 {
		if err := fill("files", slices.Values(in.files), load.Update); err != nil {
			return 0, err
		}
	}
	if refused > 0 && f.strictLoad {
		return 0, fmt.Errorf("%d objects were refused, and --strict-load was given", refused)
	}
	return loader.Count(ctx)
}

// documents are the objects as they are; or, with a number of namespaces, a copy of them for each.
func documents(objects iter.Seq[generate.Object], namespaces int) iter.Seq[load.Document] {
	return func(yield func(load.Document) bool) {
		for i := range max(1, namespaces) {
			for o := range objects {
				if namespaces > 0 {
					o = within(o, fmt.Sprintf("fab-%03d", i+1))
				}
				if !yield(load.Document{Object: o}) {
					return
				}
			}
		}
	}
}

// within returns a copy of an object that is in another namespace.
func within(o generate.Object, namespace string) generate.Object {
	metadata := maps.Clone(o["metadata"].(map[string]any))
	metadata["namespace"] = namespace
	o = maps.Clone(o)
	o["metadata"] = metadata
	return o
}

// counted says how far a long load is.
func counted(docs iter.Seq[load.Document], n *atomic.Int64, say func(string, ...any), name string) iter.Seq[load.Document] {
	return func(yield func(load.Document) bool) {
		last := time.Now()
		for d := range docs {
			if !yield(d) {
				return
			}
			if n.Add(1); time.Since(last) > progressEvery {
				last = time.Now()
				say("%s: %d so far", name, n.Load())
			}
		}
	}
}
