package wire

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"
)

// An Action answers a request in place of the API server.
type Action func(*Exchange)

// Answer gives an answer of one's own. Headers are name, value, name, value…
func Answer(code int, contentType, body string, headers ...string) Action {
	return func(x *Exchange) {
		x.Header().Set("Content-Type", contentType)
		for i := 0; i+1 < len(headers); i += 2 {
			x.Header().Set(headers[i], headers[i+1])
		}
		x.WriteHeader(code)
		_, _ = io.WriteString(x, body) // the client may have gone
	}
}

// Status answers as an API server refuses: with a Status object.
func Status(code int, message string, headers ...string) Action {
	b, _ := json.Marshal(map[string]any{ // strings and an int: no error
		"kind": "Status", "apiVersion": "v1", "metadata": map[string]any{}, "status": "Failure",
		"message": message, "reason": http.StatusText(code), "code": code,
	})
	return Answer(code, "application/json", string(b), headers...)
}

// Echo refuses with a message that repeats what credentials it was shown, as
// some proxies do.
func Echo(code int, prefix string) Action {
	return func(x *Exchange) {
		auth := x.Request.Header.Get("Authorization")
		b64 := base64.StdEncoding.EncodeToString([]byte(auth))
		Status(code, prefix+auth+" ("+b64+")", "Content-Type", "application/json; was="+strconv.Quote(auth))(x)
	}
}

// Silent takes the request and never answers.
func Silent(x *Exchange) {
	select {
	case <-x.Request.Context().Done():
	case <-x.proxy.served:
	}
}

// Delay lets the request pass after a while.
func Delay(d time.Duration) Action {
	return func(x *Exchange) {
		if x.wait(d) {
			x.Forward()
		}
	}
}

// wait reports false when the client or the test went away meanwhile.
func (x *Exchange) wait(d time.Duration) bool {
	select {
	case <-x.Request.Context().Done():
		return false
	case <-x.proxy.served:
		return false
	case <-time.After(d):
		return true
	}
}

// Trickle passes the first bytes of the API server's answer at once, and the
// rest at 1 byte a pause. When started is not nil it is called once the first
// byte is out.
func Trickle(atOnce int, pause time.Duration, started func()) Action {
	return func(x *Exchange) {
		resp := x.Fetch()
		body, _ := io.ReadAll(resp.Body) // from memory
		x.head(resp, len(body))
		atOnce = min(atOnce, len(body))
		for i, end := 0, max(atOnce, 1); i < len(body); i, end = end, end+1 {
			if _, err := x.Write(body[i:end]); err != nil {
				return
			}
			_ = http.NewResponseController(x).Flush()
			if i == 0 && started != nil {
				started()
			}
			if !x.wait(pause) {
				return
			}
		}
	}
}

func (x *Exchange) head(resp *http.Response, length int) {
	for k, v := range resp.Header {
		x.Header()[k] = v
	}
	if length >= 0 {
		x.Header().Set("Content-Length", strconv.Itoa(length))
	} else {
		x.Header().Del("Content-Length")
	}
	x.WriteHeader(resp.StatusCode)
}

// Cut breaks the connection (or the HTTP/2 stream) after n bytes of the API
// server's answer.
func Cut(n int) Action {
	return func(x *Exchange) {
		resp := x.Fetch()
		body, _ := io.ReadAll(resp.Body)
		x.head(resp, len(body))
		_, _ = x.Write(body[:min(n, len(body))])
		_ = http.NewResponseController(x).Flush()
		panic(http.ErrAbortHandler)
	}
}

// BreakAfter passes n bytes of the API server's answer, calls then, and breaks
// the connection: what a server that dies in the middle of an answer does.
func BreakAfter(n int, then func()) Action {
	return func(x *Exchange) {
		resp := x.Fetch()
		body, _ := io.ReadAll(resp.Body)
		x.head(resp, -1)
		_, _ = x.Write(body[:min(n, len(body))])
		_ = http.NewResponseController(x).Flush()
		then()
		panic(http.ErrAbortHandler)
	}
}

// Shorten ends the answer properly after n bytes, as a buffering proxy does
// that lost the rest.
func Shorten(n int) Action {
	return func(x *Exchange) {
		resp := x.Fetch()
		body, _ := io.ReadAll(resp.Body)
		body = body[:min(n, len(body))]
		x.head(resp, len(body))
		_, _ = x.Write(body)
	}
}

// Drop closes the connection without an answer.
func Drop(*Exchange) { panic(http.ErrAbortHandler) }

// Rewrite changes the list that the API server answers with. Answers that are
// not a list in JSON pass as they are.
func Rewrite(change func(*List)) Action {
	return func(x *Exchange) {
		resp := x.Fetch()
		body, _ := io.ReadAll(resp.Body)
		var l List
		if resp.StatusCode == http.StatusOK && json.Unmarshal(body, &l) == nil && l.Items != nil {
			change(&l)
			// Not Marshal: items must stay as they are, however they are written.
			body = l.encode()
		}
		x.head(resp, len(body))
		_, _ = x.Write(body)
	}
}

func (l *List) encode() []byte {
	head, _ := json.Marshal(map[string]any{"apiVersion": l.APIVersion, "kind": l.Kind, "metadata": l.Metadata}) // came from JSON
	out := slices.Concat(head[:len(head)-1], []byte(`,"items":[`))
	for i, item := range l.Items {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, item...)
	}
	return append(out, "]}\n"...)
}

// Inject adds items to every list.
func Inject(items ...string) Action {
	return Rewrite(func(l *List) {
		for _, item := range items {
			l.Items = append(l.Items, json.RawMessage(item))
		}
	})
}

// Without leaves out the items of a list that gone says true to.
func Without(gone func(i int) bool) Action {
	return Rewrite(func(l *List) {
		kept := []json.RawMessage{}
		for i, item := range l.Items {
			if !gone(i) {
				kept = append(kept, item)
			}
		}
		l.Items = kept
	})
}

// Continue says in every list that there is more to come, under the token that
// next returns.
func Continue(next func() string) Action {
	return Rewrite(func(l *List) { l.Metadata["continue"] = next() })
}

func base64Of(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

func unbase64(tb testing.TB, s string) []byte {
	tb.Helper()
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}
