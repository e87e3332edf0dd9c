package kube

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"hedgerow"
)

const (
	// attempts at one request before giving up on it.
	attempts = 3
	// minProgress is how much of an answer must arrive in each period of
	// Policy.RequestTimeout for it to count as coming.
	minProgress = 16 << 10
	// maxAnswer bounds an answer that is not a list, after decompression.
	maxAnswer = 64 << 20
	// maxMessage bounds what is repeated of a server's own message.
	maxMessage = 300
	// maxSentence bounds the whole of what an error says.
	maxSentence = 600
	// maxRetryAfter bounds how long we obey a Retry-After.
	maxRetryAfter = 30 * time.Second
)

// answer is an open answer with status 200. Its body must be closed.
type answer struct {
	header http.Header
	body   io.ReadCloser
}

// get sends a GET and returns the answer, after retrying what may pass: 429,
// 5xx, and connections that break before an answer. The body fails when it
// stops flowing.
func (c *Client) get(ctx context.Context, path string, query url.Values, accept string) (*answer, error) {
	var last error
	begun := time.Now()
	for try := 1; ; try++ {
		if err := c.limit.Wait(ctx); err != nil {
			// The only other cause is a deadline too near to wait for.
			return nil, first(last, ctx.Err(), errNoTime)
		}
		a, wait, err := c.once(ctx, path, query, accept)
		if err == nil {
			return a, nil
		}
		last = err
		more := try < attempts
		if warming(err) {
			more = time.Since(begun) < c.opt.Policy.RequestTimeout
		}
		if wait < 0 || !more || ctx.Err() != nil {
			return nil, last
		}
		if wait == 0 {
			wait = backoff(try)
		}
		c.opt.Log.Debug("request will be repeated", "path", path, "wait", wait, "error", c.red.Text(err.Error()))
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return nil, ctx.Err()
			}
			return nil, last
		case <-time.After(wait):
		}
	}
}

// warming reports whether an API server has only just started: until it has
// filled its cache it answers lists with 429, which is no sign of load. The
// text is that of k8s.io/apiserver, storage/cacher.
func warming(err error) bool {
	var s *statusError
	return errors.As(err, &s) && s.code == http.StatusTooManyRequests && strings.Contains(s.message, "storage is (re)initializing")
}

// backoff is 200 ms doubling with every try, jittered by half.
func backoff(try int) time.Duration {
	d := 200 * time.Millisecond << min(try-1, 5)
	return d/2 + rand.N(d)
}

// once sends one GET. A wait below 0 says that trying again is no use, above 0
// how long the server asks us to wait first.
func (c *Client) once(ctx context.Context, path string, query url.Values, accept string) (_ *answer, wait time.Duration, _ error) {
	ctx, cancel := context.WithCancelCause(ctx)
	r, err := c.newRequest(ctx, http.MethodGet, path, query, nil)
	if err != nil {
		cancel(nil)
		return nil, -1, err
	}
	r.Header.Set("Accept", accept)
	resp, err := c.http.Do(r)
	if err != nil {
		cancel(nil)
		if broken(err) {
			return nil, 0, err
		}
		return nil, -1, err
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body = c.watched(ctx, cancel, resp.Body) // it may never come
		return nil, retryAfter(resp), c.readStatus(resp)
	}
	return &answer{resp.Header, c.watched(ctx, cancel, resp.Body)}, 0, nil
}

// broken reports whether a connection was lost in a way that a new one may
// mend.
func broken(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

func retryAfter(r *http.Response) time.Duration {
	if r.StatusCode != http.StatusTooManyRequests && r.StatusCode < 500 {
		return -1
	}
	if s, err := strconv.Atoi(r.Header.Get("Retry-After")); err == nil && s > 0 {
		return min(time.Duration(s)*time.Second, maxRetryAfter)
	}
	return 0
}

// readStatus reads the Status that explains a refusal.
func (c *Client) readStatus(r *http.Response) error {
	defer r.Body.Close()
	e := &statusError{code: r.StatusCode}
	var s struct{ Kind, Message, Reason string }
	b, _ := io.ReadAll(io.LimitReader(r.Body, 64<<10))
	if json.Unmarshal(b, &s) == nil && s.Kind == "Status" {
		e.message, e.reason = s.Message, s.Reason
		// In this order: half a secret would not be known again.
		e.message = clip(c.red.Text(e.message), maxMessage)
	}
	return e
}

// watched makes a body fail with errSlow when less than minProgress bytes
// arrive within a request timeout.
func (c *Client) watched(ctx context.Context, cancel context.CancelCauseFunc, body io.ReadCloser) io.ReadCloser {
	w := &watchedBody{ctx: ctx, cancel: cancel, body: body, every: c.opt.Policy.RequestTimeout}
	w.timer = time.AfterFunc(w.every, w.check)
	return w
}

type watchedBody struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	body   io.ReadCloser
	every  time.Duration
	timer  *time.Timer
	got    atomic.Int64
	seen   int64 // by check only
}

func (w *watchedBody) check() {
	got := w.got.Load()
	if got-w.seen < minProgress {
		w.cancel(errSlow)
		return
	}
	w.seen = got
	w.timer.Reset(w.every)
}

func (w *watchedBody) Read(p []byte) (int, error) {
	n, err := w.body.Read(p)
	w.got.Add(int64(n))
	if err != nil && err != io.EOF && errors.Is(context.Cause(w.ctx), errSlow) {
		err = errSlow
	}
	return n, err
}

func (w *watchedBody) Close() error {
	w.timer.Stop()
	w.cancel(nil)
	return w.body.Close()
}

// capped fails with CodeTooLarge after max bytes: what comes out of a
// decompressor has no length that could be trusted.
type capped struct {
	r    io.Reader
	left int64
	max  int64
	err  error // of the last read, if it was not the end
}

func newCapped(r io.Reader, limit int64) *capped { return &capped{r: r, left: limit, max: limit} }

func (c *capped) Read(p []byte) (int, error) {
	over := c.left <= 0
	if over { // the end may be all that is left
		p = p[:min(len(p), 1)]
	} else if int64(len(p)) > c.left {
		p = p[:c.left]
	}
	n, err := c.r.Read(p)
	if over && n > 0 {
		// Without a byte: some readers heed an error only then.
		n, err = 0, hedgerow.Errorf(hedgerow.CodeTooLarge, "the answer is over %d MiB", c.max>>20)
	}
	c.left -= int64(n)
	if !errors.Is(err, io.EOF) {
		c.err = err
	}
	return n, err
}

// getJSON reads a whole, small answer into v.
func (c *Client) getJSON(ctx context.Context, path string, query url.Values, accept string, v any) error {
	b, _, err := c.getAll(ctx, path, query, accept)
	if err != nil {
		return err
	}
	return c.unmarshal(b, v)
}

// hintGarbage is what to do about an answer that makes no sense.
const hintGarbage = "Is this a Kubernetes API server? A proxy or a login page may stand in between."

func (c *Client) unmarshal(b []byte, v any) error {
	if err := json.Unmarshal(b, v); err != nil {
		return hedgerow.Errorf(hedgerow.CodeGarbage, "%s answers with something that is not the JSON it should be", c.base.Host).
			WithHint("%s", hintGarbage)
	}
	return nil
}

// getAll reads a whole, small answer. A body that breaks off is asked for
// again.
func (c *Client) getAll(ctx context.Context, path string, query url.Values, accept string) ([]byte, http.Header, error) {
	var last error
	for range attempts {
		a, err := c.get(ctx, path, query, accept)
		if err != nil {
			return nil, nil, err
		}
		b, err := io.ReadAll(newCapped(a.body, maxAnswer))
		_ = a.body.Close()
		if err == nil {
			return b, a.header, nil
		}
		if last = err; !again(ctx, err) {
			break
		}
	}
	return nil, nil, last
}

// again reports whether a body that failed with err is worth another request.
func again(ctx context.Context, err error) bool {
	code := hedgerow.CodeOf(err)
	return ctx.Err() == nil && !errors.Is(err, errSlow) && code != hedgerow.CodeTooLarge && code != hedgerow.CodeGarbage
}

func bodyReader(b []byte) io.Reader {
	if b == nil {
		return nil
	}
	return bytes.NewReader(b)
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func sorted(s []string) []string {
	slices.Sort(s)
	return s
}

// listOp names a list for messages.
func listOp(k hedgerow.Kind) string { return fmt.Sprintf("list %s", k.Plural) }
