package kube

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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
	// watchFor is how long we ask a server to keep one watch open. Servers
	// choose 30 to 60 minutes by themselves; asking keeps proxies that cut
	// long answers from looking like failures.
	watchFor = 25 * time.Minute
	// watchQuiet is how long a watch may be silent before it is opened anew, to
	// see whether the server still answers. API servers send a bookmark about
	// every minute, but not when nothing at all is written to them.
	watchQuiet = 150 * time.Second
	// maxEvent bounds one event of a watch.
	maxEvent = manifest.MaxObject + 64<<10
)

// Watch streams the changes of a kind after a revision to fn, in their order,
// until the server ends the stream, as servers do now and then, or has been
// silent for so long that it should be asked again (nil), or something goes
// wrong. A sighting without a name is a bookmark: the stream has
// come as far as its resourceVersion. The first is always one, with the
// revision itself: the server has agreed to stream. An object that could not be read comes
// with the error; the stream goes on.
//
// An error with CodeExpired says that the server does not know the changes
// since that revision any more.
func (c *Client) Watch(ctx context.Context, k hedgerow.Kind, revision string, fn func(hedgerow.Sighting, error) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	err := c.watch(ctx, cancel, k, revision, fn)
	if errors.Is(context.Cause(ctx), errQuiet) {
		return nil
	}
	var status *statusError
	if errors.As(err, &status) && status.code == http.StatusGone {
		err = hedgerow.Errorf(hedgerow.CodeExpired, "watch %s: %s has forgotten what changed since it was last followed (410)", k.Plural, c.base.Host).
			WithHint("Nothing needs to be done: a pass reads it anew.")
	}
	return c.explain("watch "+k.Plural, err)
}

// errQuiet is the cause of a watch that was ended because it was silent.
var errQuiet = errors.New("the watch went silent")

func (c *Client) watch(ctx context.Context, cancel context.CancelCauseFunc, k hedgerow.Kind, revision string, fn func(hedgerow.Sighting, error) error) error {
	if err := c.limit.Wait(ctx); err != nil {
		return err
	}
	r, err := c.newRequest(ctx, http.MethodGet, c.path(k), url.Values{
		"watch": {"1"}, "allowWatchBookmarks": {"true"}, "resourceVersion": {revision},
		"timeoutSeconds": {strconv.Itoa(int(watchFor / time.Second))},
	}, nil)
	if err != nil {
		return err
	}
	r.Header.Set("Accept", "application/json")
	resp, err := c.http.Do(r)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body = c.watched(ctx, cancel, resp.Body) // it may never come
		return c.readStatus(resp)
	}
	defer resp.Body.Close()
	quiet := time.AfterFunc(watchQuiet, func() { cancel(errQuiet) })
	defer quiet.Stop()
	body := &capped{r: resp.Body, left: maxEvent, max: maxEvent}
	d := jsontext.NewDecoder(body, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	reader := manifest.NewReader(k, c.opt.Mask)
	// The stream is open, and has come as far as it began.
	if err := fn(hedgerow.Sighting{Object: hedgerow.Object{ResourceVersion: revision}}, nil); err != nil {
		return err
	}
	for {
		// The cap is for one event; what the decoder has read ahead counts
		// for the next.
		body.left = maxEvent
		event, err := d.ReadValue()
		if err != nil {
			return watchEnded(err, body, c.base.Host, k)
		}
		quiet.Reset(watchQuiet)
		s, problem, err := c.event(event, reader)
		if err != nil {
			return err
		}
		if err := fn(s, c.explain("", problem)); err != nil {
			return err
		}
	}
}

// watchEnded says why a stream ended: a server that has had enough ends it
// between two events.
func watchEnded(err error, body *capped, host string, k hedgerow.Kind) error {
	var syntax *jsontext.SyntacticError
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case body.err != nil:
		return body.err // what the parser made of it is beside the point
	case errors.As(err, &syntax) && !errors.Is(err, io.ErrUnexpectedEOF):
		return hedgerow.Errorf(hedgerow.CodeGarbage, "watch %s: what %s sends is not valid JSON", k.Plural, host).WithHint("%s", hintGarbage)
	}
	return err
}

// event reads one event. The problem is that of its object; the error that of
// the stream.
func (c *Client) event(b []byte, reader *manifest.Reader) (s hedgerow.Sighting, problem, err error) {
	typ, object, err := eventParts(b)
	if err != nil {
		return s, nil, err
	}
	switch typ {
	case "ADDED", "MODIFIED", "DELETED":
		s.Deleted = typ == "DELETED"
		s.Object, problem = reader.Read(object)
		if problem != nil && (s.Name == "" || s.ResourceVersion == "") {
			// Nothing says which object it was, so what is recorded of any may
			// be out of date.
			return s, nil, hedgerow.Errorf(hedgerow.CodeGarbage, "watch: %w", problem)
		}
		return s, problem, nil
	case "BOOKMARK":
		var o hedgerow.Object
		if err := manifest.Identity(object, &o); err != nil || o.ResourceVersion == "" {
			return s, nil, hedgerow.Errorf(hedgerow.CodeGarbage, "watch: a bookmark of %s has no resourceVersion", c.base.Host)
		}
		s.ResourceVersion = o.ResourceVersion
		return s, nil, nil
	case "ERROR":
		return s, nil, c.eventError(object)
	}
	return s, nil, hedgerow.Errorf(hedgerow.CodeGarbage, "watch: %s sends an event of type %q", c.base.Host, clip(typ, 40)).WithHint("%s", hintGarbage)
}

func (c *Client) eventError(status []byte) error {
	var s struct {
		Code            int
		Message, Reason string
	}
	if err := c.unmarshal(status, &s); err != nil {
		return err
	}
	return &statusError{code: s.Code, reason: s.Reason, message: clip(c.red.Text(s.Message), maxMessage)}
}

// eventParts returns the type of an event and the bytes of its object.
func eventParts(b []byte) (typ string, object []byte, err error) {
	d := jsontext.NewDecoder(bytes.NewReader(b), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if d.PeekKind() != '{' {
		return "", nil, errNoEvent
	}
	_, _ = d.ReadToken() // '{', as seen
	for d.PeekKind() == '"' {
		key, err := d.ReadToken()
		if err != nil {
			return "", nil, err
		}
		name := key.String()
		v, err := d.ReadValue()
		if err != nil {
			return "", nil, err
		}
		switch {
		case name == "type" && v.Kind() == '"':
			t, err := jsontext.AppendUnquote(nil, v)
			if err != nil {
				return "", nil, err
			}
			typ = string(t)
		case name == "object":
			object = bytes.Clone(v)
		}
	}
	if typ == "" || object == nil {
		return "", nil, errNoEvent
	}
	return typ, object, nil
}

var errNoEvent = hedgerow.Errorf(hedgerow.CodeGarbage, "watch: what was sent is not an event").WithHint("%s", hintGarbage)

// probeTimeout bounds a probe, for which a worker waits.
const probeTimeout = 10 * time.Second

// Probe asks the cluster one small question, to find out whether it answers
// at all.
func (c *Client) Probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, min(c.opt.Policy.ConnectTimeout+c.opt.Policy.RequestTimeout, probeTimeout))
	defer cancel()
	if err := c.limit.Wait(ctx); err != nil {
		return c.explain("probe", fmt.Errorf("%w: %w", errNoTime, err))
	}
	a, _, err := c.once(ctx, "/apis", nil, acceptDiscovery)
	if err != nil {
		return c.explain("probe", err)
	}
	_, err = io.Copy(io.Discard, newCapped(a.body, maxAnswer))
	_ = a.body.Close()
	return c.explain("probe", err)
}
