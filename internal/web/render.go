package web

import (
	"bytes"
	"compress/gzip"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"hedgerow"
)

// frame is what every page has around it.
type frame struct {
	Title   string
	User    hedgerow.User // none before the sign-in
	Token   string        // of forms
	Release string
	Now     time.Time
	Here    string // the address of the page
	Crumbs  []crumb
	Query   string // what is searched for
	// Insecure says that the server of the page's fabric is not verified (P6).
	Insecure bool
	// Watch are the fabrics whose moving on makes the page out of date: "all",
	// or a number; "" for none.
	Watch string
}

// crumb is a step on the way to a page.
type crumb struct{ Name, Address string }

func (s *site) frame(r *http.Request, title string, way ...crumb) frame {
	v := visitorOf(r)
	f := frame{Title: title, User: v.User, Release: s.Release, Now: s.Now(), Here: r.URL.RequestURI(), Crumbs: way}
	if v.token != "" {
		f.Token = v.formToken()
	}
	if of, ok := r.Context().Value(fabricKey{}).(hedgerow.Fabric); ok {
		f.Insecure = of.Cluster != nil && !of.Cluster.Trusted()
	}
	return f
}

// parse reads the templates: each page with the layout.
func (s *site) parse() error {
	names, err := fs.Glob(templateFiles, "templates/*.html")
	if err != nil {
		return err
	}
	for _, name := range names {
		base := path.Base(name)
		if base == "layout.html" {
			continue
		}
		t, err := template.New("layout.html").Funcs(s.functions()).ParseFS(templateFiles, "templates/layout.html", name)
		if err != nil {
			return fmt.Errorf("template %s: %w", base, err)
		}
		s.pages[strings.TrimSuffix(base, ".html")] = t
	}
	return nil
}

func (s *site) functions() template.FuncMap {
	return template.FuncMap{
		"asset":    s.assets.address,
		"colour":   colour,
		"age":      func(now, at time.Time) string { return hedgerow.Age(now.Sub(at)) },
		"rfc3339":  func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"absolute": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
		"took":     took,
		"one":      hedgerow.OneLine,
		"address":  address,
		"initial":  func(name string) string { return strings.ToUpper(name[:min(1, len(name))]) },
		"may":      func(u hedgerow.User, fabric int64, need hedgerow.Role) bool { return u.In(fabric).Includes(need) },
		"dict":     dict,
	}
}

// dict makes the arguments of a template of several.
func dict(pairs ...any) (map[string]any, error) {
	m := map[string]any{}
	for i := 0; i+1 < len(pairs); i += 2 {
		k, ok := pairs[i].(string)
		if !ok {
			return nil, errors.New("dict: a key is no string")
		}
		m[k] = pairs[i+1]
	}
	return m, nil
}

// address joins the parts of a path, each escaped. An object without a
// namespace has "-" in its place, which is no name for one.
func address(parts ...any) string {
	var b strings.Builder
	for _, p := range parts {
		text := fmt.Sprint(p)
		if text == "" {
			text = "-"
		}
		b.WriteByte('/')
		b.WriteString(url.PathEscape(text))
	}
	return b.String()
}

// colour is the class of a badge; what it says is always written too.
func colour(b hedgerow.Badge) string {
	switch b {
	case hedgerow.InSync:
		return "bg-green-lt"
	case hedgerow.OutOfSync:
		return "bg-yellow-lt"
	case hedgerow.Stale:
		return "bg-orange-lt"
	case hedgerow.ErrorBadge:
		return "bg-red-lt"
	case hedgerow.Syncing:
		return "bg-blue-lt"
	}
	return "bg-secondary-lt"
}

func took(r hedgerow.Run) string {
	if r.FinishedAt.IsZero() {
		return ""
	}
	d := r.FinishedAt.Sub(r.StartedAt)
	if d < time.Second {
		return strconv.FormatInt(d.Milliseconds(), 10) + " ms"
	}
	return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s"
}

// sentence begins with a capital letter and ends with a full stop.
func sentence(s string) string {
	s = strings.TrimRight(hedgerow.OneLine(s), ". ")
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:] + "."
}

// render writes a page. It is made whole before its first byte is sent, so
// that a fault of ours is never half a page.
func (s *site) render(w http.ResponseWriter, r *http.Request, status int, name string, data any) {
	var b bytes.Buffer
	if err := s.pages[name].ExecuteTemplate(&b, "layout.html", data); err != nil {
		s.Log.Error("page not made", "page", name, "error", err.Error())
		http.Error(w, "Something went wrong here. The log says what.", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Vary", "Accept-Encoding, Cookie")
	if status == http.StatusOK {
		// The form token is another each time; it does not make another page.
		// But it is of one session, and no use in another.
		m := hmac.New(sha256.New, visitorOf(r).formKey())
		m.Write(tokenless(b.Bytes()))
		tag := `"` + base64.RawURLEncoding.EncodeToString(m.Sum(nil)[:16]) + `"`
		h.Set("ETag", tag)
		h.Set("Cache-Control", "private, no-cache")
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") || b.Len() < 1<<10 {
		w.WriteHeader(status)
		_, _ = w.Write(b.Bytes()) // who has gone needs no answer
		return
	}
	h.Set("Content-Encoding", "gzip")
	w.WriteHeader(status)
	z, _ := gzip.NewWriterLevel(w, gzip.BestSpeed) // the level is one that there is
	_, _ = z.Write(b.Bytes())
	_ = z.Close()
}

// tokenless blanks the values of form tokens.
func tokenless(page []byte) []byte {
	const mark = `name="token" value="`
	out := bytes.Clone(page)
	for rest := out; ; {
		i := bytes.Index(rest, []byte(mark))
		if i < 0 {
			return out
		}
		rest = rest[i+len(mark):]
		end := bytes.IndexByte(rest, '"')
		if end < 0 {
			return out
		}
		for j := range end {
			rest[j] = '-'
		}
	}
}

// failure is the page that says what went wrong.
type failure struct {
	frame
	Status         int
	Sentence, Hint string
}

// fail answers with what went wrong. Only what has a code is told: the rest is
// ours to know.
func (s *site) fail(w http.ResponseWriter, r *http.Request, err error) {
	status := statusOf(hedgerow.CodeOf(err))
	f := failure{frame: s.frame(r, http.StatusText(status)), Status: status, Sentence: sentence(err.Error()), Hint: hedgerow.HintOf(err)}
	if r.Context().Err() != nil {
		return // nobody waits any more
	}
	if status >= http.StatusInternalServerError {
		s.Log.Error("request failed", "method", r.Method, "path", r.URL.Path, "error", err.Error())
		f.Sentence, f.Hint = "Something went wrong here.", "The log of the server says what."
		if hedgerow.CodeOf(err) == hedgerow.CodeStore {
			f.Sentence = "The record cannot be read just now."
		}
	}
	s.render(w, r, status, "failure", f)
}

// statusOf is the HTTP status of a code.
func statusOf(c hedgerow.Code) int {
	switch c {
	case hedgerow.CodeInvalid:
		return http.StatusBadRequest
	case hedgerow.CodeNotFound:
		return http.StatusNotFound
	case hedgerow.CodeUnauthorized:
		return http.StatusUnauthorized
	case hedgerow.CodeForbidden:
		return http.StatusForbidden
	case hedgerow.CodeExists, hedgerow.CodeBusy, hedgerow.CodeSuspended:
		return http.StatusConflict
	case hedgerow.CodeUnconfigured:
		return http.StatusTooEarly
	case hedgerow.CodeThrottled:
		return http.StatusTooManyRequests
	case hedgerow.CodeStore, hedgerow.CodeTimeout:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}
