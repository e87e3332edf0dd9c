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
	defer c.mu.Unlock()
	if p, ok := c.all[f.ID]; ok {
		if p.updated.Equal(f.UpdatedAt) {
			return p.client, nil
		}
		p.client.Close()
		delete(c.all, f.ID)
	}
	made, err := c.app.client(ctx, f)
	if err != nil {
		return nil, err
	}
	if c.all == nil {
		c.all = map[int64]pooled{}
	}
	c.all[f.ID] = pooled{made, f.UpdatedAt}
	return made, nil
}

func (c *clients) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.all {
		p.client.Close()
	}
}
