package main

import (
	"context"
	"net/http"
	"strings"

	"hedgerow"
	"hedgerow/internal/auth"
	"hedgerow/internal/httpd"
	"hedgerow/internal/jobs"
	"hedgerow/internal/live"
	"hedgerow/internal/store"
	"hedgerow/internal/view"
	"hedgerow/internal/web"
)

// site returns the pages, on what this process has.
func (s *service) site() (http.Handler, error) {
	desk, err := auth.NewDesk(s.db, s.now, s.log)
	if err != nil {
		return nil, err
	}
	return web.New(web.Config{
		Record: pages{s.db, s.app, s.fleet}, Desk: desk, Passes: asking{s.engine}, Live: watching{s.hub}, Now: s.now, Log: s.log, Release: version(),
		TLS:    strings.HasPrefix(s.flags.url, "https://"),
		Health: httpd.Health(s.readyInBrief),
		Stream: httpd.Stream,
	})
}

// pages is the record as the pages need it.
type pages struct {
	*store.DB
	app   *app
	fleet *fleet
}

// Facts returns what the record proves about fabrics, in their order. Of those
// that have not moved since they were last asked about nothing is read.
func (p pages) Facts(ctx context.Context, fabrics ...hedgerow.Fabric) ([]hedgerow.Facts, error) {
	all, _, err := p.fleet.Fleet(ctx)
	if err != nil {
		return nil, err
	}
	known := make(map[int64]hedgerow.Facts, len(all))
	for _, s := range all {
		known[s.Fabric.ID] = s.Facts
	}
	facts := make([]hedgerow.Facts, len(fabrics))
	for i, f := range fabrics {
		var ok bool
		if facts[i], ok = known[f.ID]; !ok { // it was removed just now
			return nil, hedgerow.Errorf(hedgerow.CodeNotFound, "there is no such fabric")
		}
	}
	return facts, nil
}

// Kinds returns a fabric's kinds with what we know of them.
func (p pages) Kinds(ctx context.Context, f hedgerow.Fabric) ([]hedgerow.Kind, error) {
	return p.app.kinds(ctx, f)
}

// Fields says which fields an event changed.
func (p pages) Fields(ctx context.Context, e hedgerow.Event) ([]web.Change, error) {
	deltas, err := p.app.fields(ctx, e)
	changes := make([]web.Change, len(deltas))
	for i, d := range deltas {
		changes[i] = web.Change{Path: hedgerow.OneLine(d.Path), Before: hedgerow.OneLine(string(d.Before)), After: hedgerow.OneLine(string(d.After))}
	}
	return changes, err
}

// Links says what an object refers to, and what refers to it.
func (p pages) Links(ctx context.Context, f hedgerow.Fabric, k hedgerow.Kind, o hedgerow.Recorded) (to, from []web.Link, err error) {
	there, back, err := p.app.links(ctx, f, k, o)
	shown := func(all []link) (links []web.Link) {
		for _, l := range all {
			links = append(links, web.Link{Kind: l.kind.ID(), Plural: l.kind.Plural, Namespace: l.namespace, Name: l.name, Path: l.path, Missing: l.missing})
		}
		return links
	}
	return shown(there), shown(back), err
}

// asking asks for passes on behalf of people.
type asking struct{ *jobs.Engine }

// Request asks for a pass of a fabric.
func (a asking) Request(ctx context.Context, fabric int64, actor string) (hedgerow.Run, error) {
	return a.Engine.Request(ctx, fabric, jobs.Manual, actor)
}

// watching tells pages when fabrics move on.
type watching struct{ *live.Hub }

// Watch tells of the fabrics that wants picks.
func (w watching) Watch(wants func(fabric int64) bool) (moved <-chan struct{}, end func()) {
	sub := w.Subscribe(func(id int64, _, _ hedgerow.Moment) bool { return wants(id) })
	return sub.C(), sub.Close
}

// Wiring says which devices a fabric has, and what is plugged into what.
func (p pages) Wiring(ctx context.Context, f hedgerow.Fabric) ([]view.MapDevice, []view.MapCable, error) {
	all, err := p.app.kinds(ctx, f)
	if err != nil {
		return nil, nil, err
	}
	d := drawing{pages: p, fabric: f, byName: map[string]string{}, behind: map[string][]string{}, states: map[string]string{}}
	if err := d.agents(ctx); err != nil {
		return nil, nil, err
	}
	for _, k := range all {
		if err := d.read(ctx, k); err != nil {
			return nil, nil, err
		}
	}
	cables := d.cabling() // which may add to the devices
	return d.devices, cables, nil
}
