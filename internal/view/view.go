// Package view turns kinds and objects into what people see: columns, cells,
// text. The shell, pages and exports all show what it makes, so that they
// agree.
//
// It is pure: the moment that ages are counted from is passed in. Everything
// that it returns is safe to print: an object's own text cannot move the
// cursor or forge a line. It knows no kind by name and nothing of storage.
package view

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"k8s.io/client-go/util/jsonpath"

	"hedgerow"
)

// Row is one object to show.
type Row struct {
	Fabric string
	Object hedgerow.Object
}

// Table is a header and rows of cells.
type Table struct {
	Header []string
	Rows   [][]string
}

// TableOptions say what a table of objects shows.
type TableOptions struct {
	Wide      bool // also columns of a priority above 0
	Fabric    bool // a leading column with the fabric
	Namespace bool // a column with the namespace
	Labels    bool // a closing column with the labels
}

// Objects returns a table of objects of one kind, with the columns that the
// cluster prints.
func Objects(k hedgerow.Kind, rows []Row, opt TableOptions, now time.Time) (Table, error) {
	var t Table
	if opt.Fabric {
		t.Header = append(t.Header, "FABRIC")
	}
	if opt.Namespace {
		t.Header = append(t.Header, "NAMESPACE")
	}
	t.Header = append(t.Header, "NAME")
	cols, err := compile(k, opt.Wide)
	if err != nil {
		return t, err
	}
	for _, c := range cols {
		t.Header = append(t.Header, clip(hedgerow.OneLine(strings.ToUpper(c.Name))))
	}
	if opt.Labels {
		t.Header = append(t.Header, "LABELS")
	}
	for _, r := range rows {
		tree, err := Tree(r.Object)
		if err != nil {
			return t, err
		}
		var cells []string
		if opt.Fabric {
			cells = append(cells, clip(hedgerow.OneLine(r.Fabric)))
		}
		if opt.Namespace {
			cells = append(cells, clip(hedgerow.OneLine(r.Object.Namespace)))
		}
		cells = append(cells, clip(hedgerow.OneLine(r.Object.Name)))
		for _, c := range cols {
			cells = append(cells, c.cell(tree, now))
		}
		if opt.Labels {
			cells = append(cells, labels(tree))
		}
		t.Rows = append(t.Rows, cells)
	}
	return t, nil
}

type column struct {
	hedgerow.Column
	path *jsonpath.JSONPath
}

// compile prepares the columns that are shown. Of a kind of which only listed
// paths are stored, a column of another path would always be empty, and an
// empty cell reads as "nothing there": it is left out.
func compile(k hedgerow.Kind, wide bool) ([]column, error) {
	var cols []column
	for _, c := range k.Columns {
		if c.Priority > 0 && !wide || c.Name == "Name" {
			continue
		}
		if k.Rule.AllowListed() && !stored(k.Rule, c.Path) {
			continue
		}
		p := jsonpath.New(c.Name).AllowMissingKeys(true)
		if err := p.Parse("{" + c.Path + "}"); err != nil {
			return nil, fmt.Errorf("column %s of %s: its path %q is not a JSONPath", c.Name, k.Plural, c.Path)
		}
		cols = append(cols, column{c, p})
	}
	return cols, nil
}

// stored reports whether a rule lets what path finds be stored: what describes
// the object, annotations apart, and what a path of the rule reaches.
func stored(r hedgerow.ContentRule, path string) bool {
	path = strings.TrimPrefix(brackets.ReplaceAllString(path, ".*"), ".")
	if strings.HasPrefix(path, "metadata.") {
		return !strings.HasPrefix(path, "metadata.annotations")
	}
	steps := strings.Split(path, ".")
	reaches := func(p string) bool {
		for i, s := range strings.Split(p, ".") {
			switch {
			case s == "**":
				return true
			case i >= len(steps) || s != "*" && s != steps[i]:
				return false
			}
		}
		return len(steps) == strings.Count(p, ".")+1
	}
	return slices.ContainsFunc(r.Keep, reaches) || slices.ContainsFunc(r.Vitals, reaches)
}

// brackets are the steps of a JSONPath into a list: [0], [*], [?(@.type=="x")].
var brackets = regexp.MustCompile(`\[[^\]]*\]`)

// cell shows the value that a column finds, as an API server prints it.
func (c column) cell(tree any, now time.Time) string {
	results, err := c.path.FindResults(tree)
	if err != nil || len(results) == 0 || len(results[0]) == 0 {
		return ""
	}
	v := results[0][0].Interface()
	if c.Type == "date" {
		text, _ := v.(string)
		t, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return clip(hedgerow.OneLine(text))
		}
		return hedgerow.Age(now.Sub(t))
	}
	if len(results[0]) > 1 {
		all := make([]string, len(results[0]))
		for i, r := range results[0] {
			all[i] = Text(r.Interface())
		}
		return clip(strings.Join(all, " "))
	}
	return clip(Text(v))
}

// longest is the most characters that a cell shows. Every row is as wide as
// the widest, so one object could otherwise make a table of gigabytes.
const longest = 1000

func clip(s string) string {
	if len(s) <= longest || utf8.RuneCountInString(s) <= longest {
		return s
	}
	return string([]rune(s)[:longest-1]) + "…"
}

// Text shows a JSON value on one line: texts as they are, everything else as
// JSON.
func Text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return hedgerow.OneLine(v)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return "?"
	}
	return hedgerow.OneLine(strings.TrimSuffix(b.String(), "\n"))
}

func labels(tree any) string {
	var all []string
	for k, v := range Labels(tree) {
		all = append(all, k+"="+v)
	}
	if len(all) == 0 {
		return "<none>"
	}
	slices.Sort(all)
	return clip(hedgerow.OneLine(strings.Join(all, ",")))
}

// Labels returns the labels of an object's tree.
func Labels(tree any) map[string]string {
	root, _ := tree.(map[string]any)
	meta, _ := root["metadata"].(map[string]any)
	ls, _ := meta["labels"].(map[string]any)
	out := make(map[string]string, len(ls))
	for k, v := range ls {
		out[k], _ = v.(string)
	}
	return out
}

// Tree returns an object as a tree: its content, what the server says of it,
// and its vitals where they belong.
func Tree(o hedgerow.Object) (map[string]any, error) {
	tree, err := parse(o.Content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.Ref, err)
	}
	if o.Vitals != nil {
		v, err := parse(o.Vitals)
		if err != nil {
			return nil, fmt.Errorf("vitals of %s: %w", o.Ref, err)
		}
		merge(tree, v)
	}
	meta, _ := tree["metadata"].(map[string]any)
	if meta == nil {
		return nil, fmt.Errorf("%s: its content has no metadata", o.Ref)
	}
	if o.UID != "" {
		meta["uid"], meta["resourceVersion"] = o.UID, o.ResourceVersion
		meta["generation"] = json.Number(fmt.Sprint(o.Generation))
		if !o.CreatedAt.IsZero() {
			meta["creationTimestamp"] = o.CreatedAt.UTC().Format(time.RFC3339)
		}
	}
	return tree, nil
}

func parse(b []byte) (map[string]any, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v map[string]any
	err := d.Decode(&v)
	return v, err
}

// merge adds what from has to into, where into has nothing. Lists are not
// looked into: vitals lie in maps.
func merge(into, from map[string]any) {
	for k, v := range from {
		have, ok := into[k]
		if !ok {
			into[k] = v
			continue
		}
		a, aok := have.(map[string]any)
		b, bok := v.(map[string]any)
		if aok && bok {
			merge(a, b)
		}
	}
}
