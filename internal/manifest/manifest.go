// Package manifest turns the bytes of a resource into an [hedgerow.Object] and
// back: thin reading, canonical form, digest, and the removal of everything
// that must not be stored.
//
// It is pure: bytes in, values out, the same every time. It knows nothing of
// where the bytes come from, and no kind by name.
package manifest

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"hedgerow"
)

// MaxObject is the size in bytes above which an object is not read. The API
// server's own limit on a request is 3 MiB.
const MaxObject = 8 << 20

// A Reader reads objects of one kind. It is not safe for concurrent use; make
// one a goroutine.
type Reader struct {
	kind hedgerow.Kind
	mask Mask
	rule *rule // nil: everything is content
	dec  *jsontext.Decoder
	src  bytes.Reader
	out  []byte
	keys []field
}

// field is one member of an object being put together: its key and its
// canonical value.
type field struct {
	key string
	val []byte
}

// NewReader returns a reader for objects of kind k. What must not be stored
// is replaced by mask.
func NewReader(k hedgerow.Kind, mask Mask) *Reader {
	return &Reader{kind: k, mask: mask, rule: compile(k.Rule), dec: jsontext.NewDecoder(bytes.NewReader(nil))}
}

// Read reads one resource as an API server serves it. The result shares no
// memory with item. An error says what is wrong with the resource; the Object
// returned with it carries as much of the identity as could be read.
func (r *Reader) Read(item []byte) (o hedgerow.Object, err error) {
	o.Ref = hedgerow.Ref{Group: r.kind.Group, Kind: r.kind.Kind}
	// One resource that trips a bug here must not take the others with it.
	defer func() {
		if p := recover(); p != nil {
			err = hedgerow.Errorf(hedgerow.CodeInternal, "reading %s: %v", o.Ref, p)
		}
	}()
	if len(item) > MaxObject {
		_ = Identity(item, &o) // what it does find is enough for the message
		return o, hedgerow.Errorf(hedgerow.CodeTooLarge, "%s has %d bytes, more than the %d that are read", o.Ref, len(item), MaxObject)
	}
	if err := r.read(item, &o); err != nil {
		if o.Name == "" {
			_ = Identity(item, &o)
		}
		return o, hedgerow.Errorf(hedgerow.CodeGarbage, "%s: %w", o.Ref, err)
	}
	return o, nil
}

func (r *Reader) reset(item []byte) *jsontext.Decoder {
	r.src.Reset(item)
	// Duplicate names are looked for where values are made canonical, at a
	// fraction of the cost.
	r.dec.Reset(&r.src, jsontext.AllowDuplicateNames(true))
	return r.dec
}

// Identity reads what identifies a resource, its uid and its resourceVersion,
// and nothing else.
func Identity(item []byte, o *hedgerow.Object) error {
	return identify(jsontext.NewDecoder(bytes.NewReader(item), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)), o)
}

func identify(d *jsontext.Decoder, o *hedgerow.Object) error {
	return eachMember(d, func(key string) error {
		if key != "metadata" {
			return d.SkipValue()
		}
		return eachMember(d, func(key string) error {
			switch key {
			case "name":
				return readString(d, &o.Name)
			case "namespace":
				return readString(d, &o.Namespace)
			case "uid":
				return readString(d, &o.UID)
			case "resourceVersion":
				return readString(d, &o.ResourceVersion)
			default:
				return d.SkipValue()
			}
		})
	})
}

func (r *Reader) read(item []byte, o *hedgerow.Object) error {
	d := r.reset(item)
	apiVersion, kind := r.kind.APIVersion(), r.kind.Kind
	var meta []field
	rest := r.keys[:0]
	err := eachMember(d, func(key string) (err error) {
		switch key {
		case "apiVersion":
			return readString(d, &apiVersion)
		case "kind":
			return readString(d, &kind)
		case "metadata":
			meta, err = r.metadata(d, o)
			return err
		default:
			v, err := d.ReadValue()
			if err != nil {
				return err
			}
			if v, err = Canonical(v); err != nil {
				return fmt.Errorf("field %s: %w", key, err)
			}
			// The decoder's buffer is reused by the next read.
			rest = append(rest, field{key, bytes.Clone(v)})
			return nil
		}
	})
	r.keys = rest[:0]
	if err != nil {
		return err
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return errors.New("something stands after its end")
	}
	if o.Name == "" {
		return errors.New("it has no metadata.name")
	}
	if err := possible(o); err != nil {
		return err
	}
	if kind != r.kind.Kind {
		return fmt.Errorf("it says that its kind is %q", kind)
	}
	rest = append(rest, // with keys that eachMember found to differ
		field{"apiVersion", quote(apiVersion)},
		field{"kind", quote(kind)},
		field{"metadata", object(nil, meta)})
	sortFields(rest)
	r.out = object(r.out[:0], rest)
	content := r.out
	if r.rule != nil {
		var vitals []byte
		if content, vitals, err = r.rule.split(content, o.Generation); err != nil {
			return err
		}
		o.Vitals = vitals
	}
	if content, err = r.mask.fields(content); err != nil {
		return err
	}
	o.Content = bytes.Clone(content)
	o.Digest = sha256.Sum256(o.Content)
	return nil
}

// maxName is the length of the longest name that Kubernetes allows.
const maxName = 253

// possible refuses an identity that no API server gives an object: it stands
// in paths, tables and messages, and has to be the same text everywhere.
func possible(o *hedgerow.Object) error {
	for _, f := range []struct{ field, text string }{
		{"name", o.Name}, {"namespace", o.Namespace}, {"uid", o.UID}, {"resourceVersion", o.ResourceVersion},
	} {
		if len(f.text) > maxName {
			return fmt.Errorf("its metadata.%s has %d characters, more than %d", f.field, len(f.text), maxName)
		}
		for i := range len(f.text) {
			if c := f.text[i]; c <= ' ' || c >= 0x7f || c == '/' || c == '%' {
				return fmt.Errorf("its metadata.%s holds a character that Kubernetes does not allow there", f.field)
			}
		}
	}
	return nil
}

// metadata reads what identifies and describes the object, and drops what the
// server sets for itself: managedFields can hold field names of secrets and a
// third of all bytes.
func (r *Reader) metadata(d *jsontext.Decoder, o *hedgerow.Object) ([]field, error) {
	var keep []field
	err := eachMember(d, func(key string) error {
		switch key {
		case "name":
			return readString(d, &o.Name)
		case "namespace":
			return readString(d, &o.Namespace)
		case "uid":
			return readString(d, &o.UID)
		case "resourceVersion":
			return readString(d, &o.ResourceVersion)
		case "generation":
			return readInt(d, &o.Generation)
		case "creationTimestamp":
			return readTime(d, &o.CreatedAt)
		case "annotations":
			v, err := r.annotations(d)
			if err == nil && v != nil {
				keep = append(keep, field{key, v})
			}
			return err
		case "labels", "ownerReferences", "finalizers", "deletionTimestamp":
			v, err := d.ReadValue()
			if err != nil {
				return err
			}
			if v, err = Canonical(v); err != nil {
				return fmt.Errorf("metadata.%s: %w", key, err)
			}
			if !emptyJSON(v) {
				keep = append(keep, field{key, bytes.Clone(v)})
			}
			return nil
		default:
			return d.SkipValue()
		}
	})
	if err != nil {
		return nil, fmt.Errorf("metadata: %w", err)
	}
	keep = append(keep, field{"name", quote(o.Name)})
	if o.Namespace != "" {
		keep = append(keep, field{"namespace", quote(o.Namespace)})
	}
	sortFields(keep)
	return keep, nil
}

func (r *Reader) annotations(d *jsontext.Decoder) ([]byte, error) {
	if d.PeekKind() == 'n' {
		return nil, d.SkipValue()
	}
	var fs []field
	err := eachMember(d, func(key string) error {
		var v string
		if err := readString(d, &v); err != nil {
			return err
		}
		if DropAnnotation(key) {
			return nil
		}
		if !KeepAnnotation(key) {
			v = r.mask.hide(v)
		}
		fs = append(fs, field{key, quote(v)})
		return nil
	})
	if err != nil || len(fs) == 0 {
		return nil, err
	}
	sortFields(fs)
	return object(nil, fs), nil
}

// eachMember calls fn for every key of the object that d is at, with d at its
// value, and then refuses keys that stand twice. A null is an object without
// members.
func eachMember(d *jsontext.Decoder, fn func(key string) error) error {
	t, err := d.ReadToken()
	if err != nil {
		return ended(err)
	}
	if t.Kind() == 'n' {
		return nil
	}
	if t.Kind() != '{' {
		return fmt.Errorf("expected an object, found %s", kindName(t.Kind()))
	}
	keys := make([]string, 0, 16)
	for d.PeekKind() != '}' {
		k, err := d.ReadToken()
		if err != nil {
			return ended(err)
		}
		key := k.String()
		keys = append(keys, key)
		if err := fn(key); err != nil {
			return ended(err)
		}
	}
	if _, err = d.ReadToken(); err != nil {
		return ended(err)
	}
	slices.Sort(keys)
	for i := 1; i < len(keys); i++ {
		if keys[i] == keys[i-1] {
			return fmt.Errorf("the key %q stands twice", keys[i])
		}
	}
	return nil
}

func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func kindName(k jsontext.Kind) string {
	switch k {
	case 'n':
		return "null"
	case 't', 'f':
		return "a boolean"
	case '"':
		return "a string"
	case '0':
		return "a number"
	case '[':
		return "a list"
	case '{':
		return "an object"
	}
	return "something else"
}

func readString(d *jsontext.Decoder, into *string) error {
	t, err := d.ReadToken()
	if err != nil {
		return err
	}
	if t.Kind() != '"' {
		return fmt.Errorf("expected a string, found %s", kindName(t.Kind()))
	}
	*into = t.String()
	return nil
}

func readInt(d *jsontext.Decoder, into *int64) error {
	t, err := d.ReadToken()
	if err != nil {
		return err
	}
	if t.Kind() != '0' {
		return fmt.Errorf("expected a number, found %s", kindName(t.Kind()))
	}
	n, err := strconv.ParseInt(t.String(), 10, 64)
	if err != nil {
		return fmt.Errorf("expected a whole number, found %s", t.String())
	}
	*into = n
	return nil
}

func readTime(d *jsontext.Decoder, into *time.Time) error {
	if d.PeekKind() == 'n' {
		return d.SkipValue()
	}
	var s string
	if err := readString(d, &s); err != nil {
		return err
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return fmt.Errorf("%q is not a time", s)
	}
	*into = t
	return nil
}

func sortFields(fs []field) {
	slices.SortFunc(fs, func(a, b field) int { return compareKeys(a.key, b.key) })
}

// object writes fs, which must be sorted, as a JSON object.
func object(dst []byte, fs []field) []byte {
	dst = append(dst, '{')
	for i, f := range fs {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendQuote(dst, f.key)
		dst = append(dst, ':')
		dst = append(dst, f.val...)
	}
	return append(dst, '}')
}

func quote(s string) []byte { return appendQuote(nil, s) }

func appendQuote(dst []byte, s string) []byte {
	// Only invalid UTF-8 is an error, and it is replaced.
	dst, _ = jsontext.AppendQuote(dst, s)
	return dst
}

func emptyJSON(v []byte) bool {
	switch string(v) {
	case "null", "{}", "[]", `""`:
		return true
	}
	return false
}
