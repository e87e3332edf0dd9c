package main

import (
	"context"
	"sync"
	"time"

	"hedgerow"
	"hedgerow/internal/kube"
)

// clients keeps one client a fabric, so that its passes and its follower share
// one connection and one limit.
type clients struct {
	app *app

	mu  sync.Mutex
	all map[int64]pooled
}

type pooled struct {
	client  *kube.Client
	updated time.Time // of the fabric that it was made for
}

// of returns the client of a fabric as it is configured now.
func (c *clients) of(ctx context.Context, f hedgerow.Fabric) (*kube.Client, error) {
	c.mu.Lock()
	p, ok := c.all[f.ID]
	c.mu.Unlock()
	if ok && p.updated.Equal(f.UpdatedAt) {
		return p.client, nil
	}
	made, err := c.app.client(ctx, f) // not under the lock: it asks the database
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if p, ok := c.all[f.ID]; ok {
		if p.updated.Equal(f.UpdatedAt) { // somebody was quicker
			return p.client, nil
		}
		p.client.Close()
	}
	if c.all == nil {
		c.all = map[int64]pooled{}
	}
	c.all[f.ID] = pooled{made, f.UpdatedAt}
	return made, nil
}

// prune forgets the clients, and with them the credentials, of fabrics that
// are not observed any more.
func (c *clients) prune(ctx context.Context) error {
	t := time.NewTicker(time.Minute)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
		fabrics, err := c.app.db.Fabrics(ctx)
		if err != nil {
			continue // whoever needs the record will tell
		}
		observed := map[int64]bool{}
		for _, f := range fabrics {
			observed[f.ID] = !f.Suspended
		}
		c.mu.Lock()
		for id, p := range c.all {
			if !observed[id] {
				p.client.Close()
				delete(c.all, id)
			}
		}
		c.mu.Unlock()
	}
}

func (c *clients) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.all {
		p.client.Close()
	}
}
