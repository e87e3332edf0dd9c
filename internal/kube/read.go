package kube

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"hedgerow"
	"hedgerow/internal/manifest"
)

const (
	// smallList is the number of objects up to which a whole list is as cheap
	// as finding out what moved.
	smallList = 200
	// maxSingles bounds the objects that are fetched one by one instead of
	// with the whole list.
	maxSingles = 100
	// maxList bounds a list, after decompression.
	maxList = 4 << 30
	// maxObjects bounds the objects of one kind.
	maxObjects = 2_000_000
	// maxUnreadable bounds the objects of a list that may be unreadable before
	// the list itself is not believed.
	maxUnreadable = 1000
)

// Read reads every object of kind k. The verdict in the result is Complete
// only when the whole list was seen; everything that went wrong is in it.
// Objects whose digest the record has already come without content.
func (c *Client) Read(ctx context.Context, k hedgerow.Kind, prior hedgerow.Prior) hedgerow.KindSnapshot {
	start := time.Now()
	r := &reading{client: c, prior: prior, snap: hedgerow.KindSnapshot{Kind: k}, reader: manifest.NewReader(k, c.opt.Mask)}
	r.index = make(map[name]int, len(prior.Marks))
	for i, m := range prior.Marks {
		r.index[name{m.Namespace, m.Name}] = i
	}
	var err error
	if len(prior.Marks) > smallList && !k.Unsure && k.Reading() != "" && k.Reading() == prior.Fingerprint {
		err = r.delta(ctx)
	} else {
		err = r.whole(ctx)
	}
	s := &r.snap
	s.Duration = time.Since(start)
	s.Verdict, s.Err = hedgerow.Complete, c.explainIn(ctx, listOp(k), err)
	if s.Err != nil {
		s.Objects = nil
		switch hedgerow.CodeOf(s.Err) {
		case hedgerow.CodeNotServed:
			s.Verdict = hedgerow.Absent
		case hedgerow.CodeForbidden:
			s.Verdict = hedgerow.Forbidden
		default:
			s.Verdict = hedgerow.Failed
		}
	}
	return *s
}

type name struct{ namespace, name string }

// reading is one Read under way.
type reading struct {
	client *Client
	prior  hedgerow.Prior
	index  map[name]int // into prior.Marks
	reader *manifest.Reader
	snap   hedgerow.KindSnapshot
}

func (r *reading) mark(namespace, n string) *hedgerow.Mark {
	if i, ok := r.index[name{namespace, n}]; ok {
		return &r.prior.Marks[i]
	}
	return nil
}

func (r *reading) forget() {
	r.snap.Objects, r.snap.Unreadable = nil, nil
}

// whole reads the list with all contents, page by page if the policy says so.
// A list that breaks off, or whose continuation expires, is begun anew.
func (r *reading) whole(ctx context.Context) (err error) {
	limit := r.client.opt.Policy.PageSize
	for range attempts {
		r.forget()
		if err = r.pages(ctx, limit); err == nil {
			return nil
		}
		var s *statusError
		switch {
		case errors.As(err, &s) && s.code == http.StatusGone:
			limit = 0 // changing faster than we page: take it in one piece
		case errors.As(err, &s) || !again(ctx, err):
			return err
		}
	}
	return err
}

func (r *reading) pages(ctx context.Context, limit int) error {
	cont := ""
	for {
		q := url.Values{}
		if limit > 0 {
			q.Set("limit", strconv.Itoa(limit))
		}
		if cont != "" {
			q.Set("continue", cont)
		}
		h, err := r.page(ctx, q)
		if err != nil {
			return err
		}
		r.snap.Revision = h.ResourceVersion
		if h.Continue == "" {
			return nil
		}
		if h.Continue == cont {
			return hedgerow.Errorf(hedgerow.CodeGarbage, "%s: %s gives the same continuation twice", listOp(r.snap.Kind), r.client.base.Host).
				WithHint("Set --page-size to 0 for whole lists; a proxy in between may be at fault.")
		}
		cont = h.Continue
	}
}

// listHead is the metadata of a list.
type listHead struct{ ResourceVersion, Continue string }

// page reads one LIST answer as it arrives, object by object.
func (r *reading) page(ctx context.Context, q url.Values) (h listHead, err error) {
	r.snap.Requests++
	a, err := r.client.get(ctx, r.client.path(r.snap.Kind), q, "application/json")
	if err != nil {
		return h, err
	}
	defer a.body.Close()
	counted := newCapped(a.body, maxList)
	defer func() { r.snap.Bytes += maxList - counted.left }()
	// What is wrong inside one object is for its own reading to find.
	d := jsontext.NewDecoder(counted, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	h, err = readList(d, r.add)
	if err != nil && counted.err != nil {
		return h, counted.err // what the parser made of it is beside the point
	}
	if err != nil {
		var said *hedgerow.Error
		var syntax *jsontext.SyntacticError
		if errors.As(err, &said) {
			return h, err
		}
		if errors.As(err, &syntax) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return h, hedgerow.Errorf(hedgerow.CodeGarbage, "%s: the list that %s sends is not valid JSON after %d bytes", listOp(r.snap.Kind), r.client.base.Host, syntax.ByteOffset).
				WithHint("%s", hintGarbage)
		}
		if errors.Is(err, errNoList) {
			return h, hedgerow.Errorf(hedgerow.CodeGarbage, "%s: the answer of %s is not a list of objects", listOp(r.snap.Kind), r.client.base.Host).
				WithHint("%s", hintGarbage)
		}
		return h, err
	}
	return h, nil
}

// errNoList says that an answer is valid JSON, but no list.
var errNoList = errors.New("the answer is not a list of objects")

// readList reads a list of any kind, calling item with each of its items; the
// bytes are valid during the call only. An answer without a resourceVersion or
// without items is no list: an object has the one, an empty Table both but for
// the items, and neither proves that there is nothing.
func readList(d *jsontext.Decoder, item func([]byte) error) (h listHead, err error) {
	if err = open(d, '{'); err != nil {
		return h, err
	}
	items := false
	for d.PeekKind() == '"' {
		key, err := d.ReadToken()
		if err != nil {
			return h, err
		}
		switch key.String() {
		case "metadata":
			v, err := d.ReadValue()
			if err != nil {
				return h, err
			}
			if h, err = readHead(v); err != nil {
				return h, err
			}
		case "items":
			items = true
			if d.PeekKind() == 'n' {
				if err := d.SkipValue(); err != nil {
					return h, err
				}
				continue
			}
			if err := open(d, '['); err != nil {
				return h, err
			}
			for {
				if k := d.PeekKind(); k == ']' || k == 0 {
					break
				}
				v, err := d.ReadValue()
				if err != nil {
					return h, err
				}
				if err := item(v); err != nil {
					return h, err
				}
			}
			if _, err := d.ReadToken(); err != nil {
				return h, unexpected(err)
			}
		default:
			if err := d.SkipValue(); err != nil {
				return h, err
			}
		}
	}
	if _, err = d.ReadToken(); err != nil {
		return h, unexpected(err)
	}
	if !items || h.ResourceVersion == "" {
		return h, errNoList
	}
	return h, nil
}

func open(d *jsontext.Decoder, want jsontext.Kind) error {
	t, err := d.ReadToken()
	if err != nil {
		return unexpected(err)
	}
	if t.Kind() != want {
		return errNoList
	}
	return nil
}

// unexpected: an answer that ends before the list does was cut off.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func readHead(v []byte) (h listHead, err error) {
	d := jsontext.NewDecoder(bytes.NewReader(v))
	if d.PeekKind() != '{' {
		return h, nil
	}
	_, _ = d.ReadToken() // '{', as seen
	for d.PeekKind() == '"' {
		key, err := d.ReadToken()
		if err != nil {
			return h, err
		}
		var into *string
		switch key.String() {
		case "resourceVersion":
			into = &h.ResourceVersion
		case "continue":
			into = &h.Continue
		}
		if into == nil || d.PeekKind() != '"' {
			if err := d.SkipValue(); err != nil {
				return h, err
			}
			continue
		}
		t, err := d.ReadToken()
		if err != nil {
			return h, err
		}
		*into = t.String()
	}
	return h, nil
}

// add takes one object into the snapshot.
func (r *reading) add(item []byte) error {
	o, err := r.reader.Read(item)
	if err != nil {
		if o.Name == "" || len(r.snap.Unreadable) >= maxUnreadable {
			// Without names, what is missing cannot be told from what is not
			// readable: the list as a whole proves nothing.
			return hedgerow.Errorf(hedgerow.CodeOf(err), "%s: %w", listOp(r.snap.Kind), err)
		}
		r.snap.Unreadable = append(r.snap.Unreadable, hedgerow.Unreadable{Ref: o.Ref, Err: r.client.explain("", err)})
		return nil
	}
	if len(r.snap.Objects) >= maxObjects {
		return hedgerow.Errorf(hedgerow.CodeTooLarge, "%s: there are more than %d", listOp(r.snap.Kind), maxObjects)
	}
	if m := r.mark(o.Namespace, o.Name); m != nil && m.UID == o.UID && m.Digest == o.Digest {
		o.Content = nil
		// Equal strings, but those of the record are in memory anyway.
		o.Ref, o.UID = m.Ref, m.UID
	}
	r.snap.Objects = append(r.snap.Objects, o)
	return nil
}
