package main

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"hedgerow"
)

// parallel is how many lists every contestant reads at a time: as many as
// Hedgerow does.
const parallel = 4

// each calls fn for every kind, parallel at a time, and returns the first
// error.
func each(ks []hedgerow.Kind, fn func(hedgerow.Kind) error) error {
	errs := make(chan error)
	slots := make(chan struct{}, parallel)
	for _, k := range ks {
		go func() {
			slots <- struct{}{}
			err := fn(k)
			<-slots
			errs <- err
		}()
	}
	var first error
	for range ks {
		if err := <-errs; err != nil && first == nil {
			first = err
		}
	}
	return first
}

// thin is what the floor decodes of an object.
type thin struct {
	Items []struct {
		Metadata struct {
			Name, Namespace, UID, ResourceVersion string
			Generation                            int64
			Labels, Annotations                   map[string]string
		}
		Spec, Status json.RawMessage
	}
}

// floor reads every list by a bare GET, gzipped, and decodes it thinly.
func (l *lab) floor(ctx context.Context) (objects int, err error) {
	conf, err := rest.TLSConfigFor(l.rest)
	if err != nil {
		return 0, err
	}
	return readAll(l, func(k hedgerow.Kind, c *http.Client) (int, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/apis/%s/%s/namespaces/default/%s", l.rest.Host, k.Group, k.Version, k.Plural), nil)
		if err != nil {
			return 0, err
		}
		r.Header.Set("Authorization", "Bearer "+l.rest.BearerToken)
		r.Header.Set("Accept", "application/json")
		r.Header.Set("Accept-Encoding", "gzip")
		resp, err := c.Do(r)
		if err != nil {
			return 0, err
		}
		defer resp.Body.Close()
		var body io.Reader = resp.Body
		if resp.Header.Get("Content-Encoding") == "gzip" {
			if body, err = gzip.NewReader(resp.Body); err != nil {
				return 0, err
			}
		}
		b, err := io.ReadAll(body)
		if err != nil {
			return 0, err
		}
		var v thin
		err = json.Unmarshal(b, &v)
		return len(v.Items), err
	}, conf)
}

func readAll(l *lab, read func(hedgerow.Kind, *http.Client) (int, error), conf *tls.Config) (int, error) {
	tr := &http.Transport{TLSClientConfig: conf, ForceAttemptHTTP2: true}
	defer tr.CloseIdleConnections()
	c := &http.Client{Transport: tr}
	counts := make(chan int, len(l.kinds))
	err := each(l.kinds, func(k hedgerow.Kind) error {
		n, err := read(k, c)
		counts <- n
		return err
	})
	total := 0
	for range l.kinds {
		total += <-counts
	}
	return total, err
}

func gvr(k hedgerow.Kind) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: k.Group, Version: k.Version, Resource: k.Plural}
}

// metadataOnly reads every list with client-go's metadata client, which asks
// for protobuf; its default of 5 requests a second is lifted, or it would
// measure that.
func (l *lab) metadataOnly(ctx context.Context) error {
	conf := rest.CopyConfig(l.rest)
	conf.QPS, conf.Burst = 1000, 1000
	c, err := metadata.NewForConfig(conf)
	if err != nil {
		return err
	}
	return each(l.kinds, func(k hedgerow.Kind) error {
		_, err := c.Resource(gvr(k)).Namespace("default").List(ctx, metav1.ListOptions{})
		return err
	})
}

// dynamicClient reads every list with client-go's dynamic client, with its
// default limits or without.
func (l *lab) dynamicClient(ctx context.Context, defaults bool) error {
	conf := rest.CopyConfig(l.rest)
	if !defaults {
		conf.QPS, conf.Burst = 1000, 1000
	}
	c, err := dynamic.NewForConfig(conf)
	if err != nil {
		return err
	}
	return each(l.kinds, func(k hedgerow.Kind) error {
		_, err := c.Resource(gvr(k)).Namespace("default").List(ctx, metav1.ListOptions{})
		return err
	})
}
