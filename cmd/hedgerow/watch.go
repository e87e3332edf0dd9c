package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"hedgerow"
	"hedgerow/internal/live"
)

// clearScreen puts a terminal's cursor at the top of an empty screen.
const clearScreen = "\x1b[H\x1b[2J"

// again is how often what is shown is looked at though no fabric has moved on:
// ages grow, and a process that dies moves nothing.
const again = 2 * time.Second

// whenever calls show now, and again whenever a fabric has moved on, and now
// and then, until ctx is done, which is how people end it.
func (a *app) whenever(ctx context.Context, show func(context.Context) error) error {
	db, err := a.store(ctx)
	if err != nil {
		return err
	}
	hub := live.New(a.log)
	sub := hub.Subscribe(func(int64, hedgerow.Moment, hedgerow.Moment) bool { return true })
	defer sub.Close()
	eg, groupCtx := errgroup.WithContext(ctx)
	eg.Go(func() error { return hub.Run(groupCtx, db) })
	eg.Go(func() error {
		t := time.NewTicker(again)
		defer t.Stop()
		for {
			if err := show(groupCtx); err != nil {
				return err
			}
			select {
			case <-groupCtx.Done():
				return groupCtx.Err()
			case <-sub.C():
			case <-t.C:
			}
		}
	})
	if err := eg.Wait(); ctx.Err() == nil {
		return err
	}
	return nil
}

// watch shows what get shows, and then every object that changes, as it does.
func (g *getting) watch(ctx context.Context, fabrics func(context.Context) ([]hedgerow.Fabric, error), words string, show func() error) error {
	type object struct{ fabric, kind, namespace, name string }
	var seen map[object]string
	warned := map[string]string{}
	return g.whenever(ctx, func(ctx context.Context) error {
		fs, err := fabrics(ctx)
		if err != nil {
			return err
		}
		g.found = nil
		if err := g.read(ctx, fs, words); err != nil {
			return err
		}
		first := seen == nil
		now := map[object]string{}
		changed := 0
		for i := range g.found {
			f := &g.found[i]
			f.objects = slices.DeleteFunc(f.objects, func(o hedgerow.Recorded) bool {
				key := object{f.fabric.Name, f.kind.Singular, o.Namespace, o.Name}
				now[key] = o.UID + o.Digest.String()
				return !first && seen[key] == now[key]
			})
			changed += len(f.objects)
		}
		for key := range seen {
			if _, ok := now[key]; !ok {
				fmt.Fprintf(g.out, "%s/%s deleted\n", key.kind, hedgerow.OneLine(key.name))
			}
		}
		seen = now
		if err := g.warnUnfollowed(ctx, fs, warned); err != nil {
			return err
		}
		switch {
		case first:
			return show()
		case changed == 0:
			return nil
		}
		return g.tables(true)
	})
}

// warnUnfollowed says of which fabrics changes do not come in as they happen,
// once for each reason.
func (g *getting) warnUnfollowed(ctx context.Context, fabrics []hedgerow.Fabric, warned map[string]string) error {
	for _, f := range fabrics {
		facts, err := g.facts(ctx, f)
		if err != nil {
			return err
		}
		facet := hedgerow.StatusOf(facts, g.now()).Facets.Follow
		if facet.State != "following" && facet.State != warned[f.Name] {
			g.note("WARNING: fabric %s: %s", f.Name, hedgerow.OneLine(facet.Sentence))
		}
		warned[f.Name] = facet.State
	}
	return nil
}
