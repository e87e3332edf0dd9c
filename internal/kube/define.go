package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"hedgerow"
	"hedgerow/internal/kinds"
)

const (
	crdPath        = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
	acceptMetaJSON = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
	acceptTable    = "application/json;as=Table;g=meta.k8s.io;v=v1"
)

// define fills in the columns, schema and fingerprint of ks. What is unchanged
// is taken from known; a cluster that does not let us read its
// CustomResourceDefinitions is asked in ways that it does allow.
func (c *Client) define(ctx context.Context, ks, known []hedgerow.Kind) error {
	if len(ks) == 0 {
		return nil
	}
	prints, err := c.definitionPrints(ctx)
	if forbidden(err) {
		return c.defineWithoutCRDs(ctx, ks, known)
	}
	if err != nil {
		return err
	}
	missing := false
	for i := range ks {
		k := &ks[i]
		k.Fingerprint = prints[k.Plural+"."+k.Group]
		missing = !reuse(k, known) || missing
	}
	if !missing {
		return nil
	}
	var list struct {
		Items []struct {
			Metadata struct{ Name string }
			Spec     struct {
				Versions []struct {
					Name                     string
					AdditionalPrinterColumns []printerColumn
					Schema                   struct{ OpenAPIV3Schema json.RawMessage }
				}
			}
		}
	}
	if err := c.getJSON(ctx, crdPath, nil, "application/json", &list); err != nil {
		return err
	}
	for i := range ks {
		k := &ks[i]
		for _, crd := range list.Items {
			if crd.Metadata.Name != k.Plural+"."+k.Group {
				continue
			}
			for _, v := range crd.Spec.Versions {
				if v.Name != k.Version {
					continue
				}
				k.Schema, k.Columns, k.ColumnsFrom = v.Schema.OpenAPIV3Schema, nil, "cluster"
				for _, pc := range v.AdditionalPrinterColumns {
					k.Columns = append(k.Columns, pc.column())
				}
				if len(k.Columns) == 0 { // what the API server does then
					k.Columns = []hedgerow.Column{{Name: "Age", Type: "date", Path: ".metadata.creationTimestamp"}}
				}
			}
		}
	}
	return nil
}

type printerColumn struct {
	Name, Type, Format, JSONPath, Description string
	Priority                                  int
}

func (p printerColumn) column() hedgerow.Column {
	// An API server takes any characters for the name of a column.
	return hedgerow.Column{Name: hedgerow.OneLine(p.Name), Type: p.Type, Format: p.Format, Path: p.JSONPath, Priority: p.Priority, Help: p.Description}
}

// reuse copies columns and schema of the same definition from known and
// reports whether it found it there.
func reuse(k *hedgerow.Kind, known []hedgerow.Kind) bool {
	i := slices.IndexFunc(known, func(o hedgerow.Kind) bool {
		return o.ID() == k.ID() && o.Version == k.Version && o.Fingerprint == k.Fingerprint
	})
	if k.Fingerprint == "" || i < 0 {
		return false
	}
	k.Columns, k.Schema, k.ColumnsFrom = known[i].Columns, known[i].Schema, known[i].ColumnsFrom
	return true
}

func forbidden(err error) bool {
	var s *statusError
	return errors.As(err, &s) && s.code == http.StatusForbidden
}

// definitionPrints maps plural.group to what identifies the definition: its
// generation moves with every change of its spec.
func (c *Client) definitionPrints(ctx context.Context) (map[string]string, error) {
	var list struct {
		Items []struct {
			Metadata struct {
				Name, UID  string
				Generation int64
			}
		}
	}
	if err := c.getJSON(ctx, crdPath, nil, acceptMetaJSON+",application/json", &list); err != nil {
		return nil, err
	}
	prints := map[string]string{}
	for _, i := range list.Items {
		prints[i.Metadata.Name] = fmt.Sprintf("crd:%s:%d", i.Metadata.UID, i.Metadata.Generation)
	}
	return prints, nil
}

// defineWithoutCRDs uses what any authenticated user may read: the OpenAPI
// documents for schemas and their hashes, and the header of a Table for the
// columns. A Table does not say where a column's value comes from, so that is
// looked up by name among the definitions built in.
func (c *Client) defineWithoutCRDs(ctx context.Context, ks, known []hedgerow.Kind) error {
	var index struct {
		Paths map[string]struct{ ServerRelativeURL string }
	}
	err := c.getJSON(ctx, "/openapi/v3", nil, "application/json", &index)
	if err != nil && !forbidden(err) {
		return err
	}
	schemas := map[string]map[hedgerow.KindID]json.RawMessage{}
	for i := range ks {
		k := &ks[i]
		gv := "apis/" + k.APIVersion()
		where := index.Paths[gv].ServerRelativeURL
		if _, hash, ok := strings.Cut(where, "hash="); ok {
			k.Fingerprint = "openapi:" + hash
		}
		if reuse(k, known) {
			continue
		}
		if where != "" && schemas[gv] == nil {
			if schemas[gv], err = c.openAPISchemas(ctx, gv); err != nil && !forbidden(err) {
				return err
			}
		}
		k.Schema = schemas[gv][k.ID()]
		if k.Columns, err = c.tableColumns(ctx, *k); err != nil {
			// Not worth a verdict: the list itself will tell.
			c.opt.Log.Debug("columns could not be read", "kind", k.ID().String(), "error", c.red.Text(err.Error()))
			k.Columns, _ = kinds.BuiltinColumns(k.ID())
		}
		k.ColumnsFrom = "built-in"
	}
	return nil
}

func (c *Client) openAPISchemas(ctx context.Context, gv string) (map[hedgerow.KindID]json.RawMessage, error) {
	var doc struct {
		Components struct{ Schemas map[string]json.RawMessage }
	}
	if err := c.getJSON(ctx, "/openapi/v3/"+gv, nil, "application/json", &doc); err != nil {
		return nil, err
	}
	out := map[hedgerow.KindID]json.RawMessage{}
	for _, raw := range doc.Components.Schemas {
		var s struct {
			GVKs []struct{ Group, Kind string } `json:"x-kubernetes-group-version-kind"`
		}
		if json.Unmarshal(raw, &s) == nil && len(s.GVKs) == 1 {
			out[hedgerow.KindID{Group: s.GVKs[0].Group, Kind: s.GVKs[0].Kind}] = raw
		}
	}
	return out, nil
}

func (c *Client) tableColumns(ctx context.Context, k hedgerow.Kind) ([]hedgerow.Column, error) {
	var table struct {
		ColumnDefinitions []struct {
			Name, Type, Format, Description string
			Priority                        int
		}
	}
	q := url.Values{"limit": {"1"}, "includeObject": {"None"}}
	if err := c.getJSON(ctx, c.path(k), q, acceptTable, &table); err != nil {
		return nil, err
	}
	builtin, _ := kinds.BuiltinColumns(k.ID())
	var cols []hedgerow.Column
	for _, d := range table.ColumnDefinitions {
		i := slices.IndexFunc(builtin, func(b hedgerow.Column) bool { return b.Name == d.Name })
		switch {
		case i >= 0:
			col := builtin[i]
			col.Priority = d.Priority
			cols = append(cols, col)
		case d.Name == "Age":
			cols = append(cols, hedgerow.Column{Name: "Age", Type: "date", Path: ".metadata.creationTimestamp"})
		}
	}
	return cols, nil
}

// keep takes the definitions of ks from known, for they could not be read this
// time: the kinds themselves may well be readable.
func keep(ks, known []hedgerow.Kind) {
	for i := range ks {
		k := &ks[i]
		k.Unsure = true
		if j := slices.IndexFunc(known, func(o hedgerow.Kind) bool { return o.ID() == k.ID() && o.Version == k.Version }); j >= 0 {
			k.Columns, k.Schema, k.ColumnsFrom, k.Fingerprint = known[j].Columns, known[j].Schema, known[j].ColumnsFrom, known[j].Fingerprint
		} else {
			k.Columns, k.Schema, k.ColumnsFrom, k.Fingerprint = nil, nil, "", ""
		}
	}
}
