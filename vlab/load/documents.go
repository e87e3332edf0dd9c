// Package load fills a Kubernetes API server: it installs CustomResourceDefinitions and waits until they serve, and it
// creates and updates objects, many at a time.
//
// It speaks to any API server through an http.RoundTripper and takes the server's word for everything: which kinds
// exist, what is valid, what an update changed. What a kind means, it must not know.
package load

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"
)

// Object is one resource as JSON: apiVersion, kind, metadata and the rest.
type Object = map[string]any

// Document is an object and where it was written.
type Document struct {
	Origin string // file:line; empty for objects that no file holds
	Object Object
}

// InputError is a mistake in a file, for a person to correct.
type InputError struct {
	File string
	Line int // counted from 1; 0 when it is the file as a whole
	Text string
}

func (e *InputError) Error() string {
	if e.Line == 0 {
		return e.File + ": " + e.Text
	}
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Text)
}

// Files reads every document of the named YAML or JSON files; a directory stands for the files *.yaml, *.yml and *.json
// in it. Documents of kind List are taken apart. Mistakes are of type *InputError.
func Files(names ...string) ([]Document, error) {
	var docs []Document
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil {
			return nil, &InputError{File: name, Text: reason(err)}
		}
		var more []Document
		if info.IsDir() {
			more, err = Dir(os.DirFS(name), name)
		} else {
			var text []byte
			if text, err = os.ReadFile(name); err != nil {
				return nil, &InputError{File: name, Text: reason(err)}
			}
			more, err = Parse(name, text)
		}
		if err != nil {
			return nil, err
		}
		docs = append(docs, more...)
	}
	return docs, nil
}

// Dir reads every document of the YAML and JSON files at the root of fsys; name is what errors call that root.
func Dir(fsys fs.FS, name string) ([]Document, error) {
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return nil, &InputError{File: name, Text: reason(err)}
	}
	var docs []Document
	for _, e := range entries {
		if e.IsDir() || !slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(e.Name())) {
			continue
		}
		file := filepath.Join(name, e.Name())
		text, err := fs.ReadFile(fsys, e.Name())
		if err != nil {
			return nil, &InputError{File: file, Text: reason(err)}
		}
		more, err := Parse(file, text)
		if err != nil {
			return nil, err
		}
		docs = append(docs, more...)
	}
	if len(docs) == 0 {
		return nil, &InputError{File: name, Text: "no object in *.yaml, *.yml or *.json here"}
	}
	return docs, nil
}

// Parse reads the documents of one file; name is used in origins and errors.
func Parse(name string, text []byte) ([]Document, error) {
	var docs []Document
	for _, part := range split(text) {
		var o Object
		if err := yaml.Unmarshal(part.text, &o); err != nil {
			return nil, parseError(name, part.line, err)
		}
		if o == nil { // nothing but comments
			continue
		}
		line := part.firstLine()
		items, isList := o["items"].([]any)
		if kind, _ := o["kind"].(string); !isList || !strings.HasSuffix(kind, "List") {
			items = []any{o}
		}
		for i, item := range items {
			o, _ := item.(map[string]any)
			if err := check(o); err != nil {
				return nil, &InputError{File: name, Line: line, Text: err.Error()}
			}
			origin := fmt.Sprintf("%s:%d", name, line)
			if isList {
				origin += fmt.Sprintf(" item %d", i+1)
			}
			docs = append(docs, Document{Origin: origin, Object: o})
		}
	}
	return docs, nil
}

// check: without these three there is nowhere to send an object.
func check(o Object) error {
	for _, key := range []string{"apiVersion", "kind"} {
		if s, _ := o[key].(string); s == "" {
			return fmt.Errorf("not a Kubernetes object: it has no %s", key)
		}
	}
	if nameOf(o) == "" {
		return fmt.Errorf("this %v has no metadata.name", o["kind"])
	}
	return nil
}

type part struct {
	text []byte
	line int // of its first byte, from 1
}

// firstLine is where the object starts: comments and blank lines before it are not it.
func (p part) firstLine() int {
	line := p.line
	for l := range bytes.Lines(p.text) {
		if t := bytes.TrimSpace(l); len(t) > 0 && t[0] != '#' {
			break
		}
		line++
	}
	return line
}

// split cuts at lines that start with "---" or "...", which in YAML end a document wherever they stand.
func split(text []byte) []part {
	var parts []part
	start, startLine, line, at := 0, 1, 1, 0
	for l := range bytes.Lines(text) {
		if bytes.HasPrefix(l, []byte("---")) || bytes.HasPrefix(l, []byte("...")) {
			parts = append(parts, part{text[start:at], startLine})
			start, startLine = at+len(l), line+1
		}
		at += len(l)
		line++
	}
	return append(parts, part{text[start:], startLine})
}

var yamlLine = regexp.MustCompile(`^(?:error converting YAML to JSON: )?yaml: line (\d+): (.*)`)

func parseError(name string, first int, err error) error {
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		n, _ := strconv.Atoi(m[1])
		return &InputError{File: name, Line: first + n - 1, Text: "not valid YAML: " + m[2]}
	}
	return &InputError{File: name, Line: first, Text: "not an object in YAML or JSON: " + err.Error()}
}

// reason drops the path, which the caller names already.
func reason(err error) string {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		return pathErr.Err.Error()
	}
	return err.Error()
}
