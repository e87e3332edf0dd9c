package web

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"time"

	"hedgerow"
	"hedgerow/internal/auth"
)

// cookieName is where a browser keeps its token. With TLS the prefix makes
// browsers refuse one that another host of the domain has set.
func (s *site) cookieName() string {
	if s.TLS {
		return "__Host-hedgerow"
	}
	return "hedgerow"
}

// visitor is who sent a request.
type visitor struct {
	hedgerow.User
	token string
}

type visitorKey struct{}

func visitorOf(r *http.Request) visitor {
	v, _ := r.Context().Value(visitorKey{}).(visitor)
	return v
}

// signedIn lets only those through who are signed in; others are sent to sign
// in, and come back.
func (s *site) signedIn(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v, err := s.visitor(r)
		switch {
		case hedgerow.CodeOf(err) == hedgerow.CodeUnauthorized:
			toSignIn(w, r)
			return
		case err != nil:
			s.fail(w, r, err)
			return
		}
		r = r.WithContext(context.WithValue(r.Context(), visitorKey{}, v))
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			r.Body = http.MaxBytesReader(w, r.Body, mostForm)
			if !v.holds(r.PostFormValue("token")) { // S21
				s.fail(w, r, hedgerow.Errorf(hedgerow.CodeForbidden, "this form was not made for you, or before you signed in").WithHint("Open the page again, and repeat what you did."))
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// toSignIn sends a visitor to sign in, and from there back to their page. A part
// of a page that htmx asks for, or its stream, takes the whole page along.
func toSignIn(w http.ResponseWriter, r *http.Request) {
	next := ""
	switch {
	case r.Header.Get("HX-Request") != "":
		if u, err := url.Parse(r.Header.Get("HX-Current-URL")); err == nil {
			next = u.RequestURI()
		}
	case r.Method == http.MethodGet:
		next = r.URL.RequestURI()
	}
	to := "/sign-in"
	if next = localPath(next); next != "/" {
		to += "?" + url.Values{"next": {next}}.Encode()
	}
	if r.Header.Get("HX-Request") != "" {
		w.Header().Set("HX-Redirect", to)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// mostForm bounds a form that is sent.
const mostForm = 64 << 10

func (s *site) visitor(r *http.Request) (visitor, error) {
	c, err := r.Cookie(s.cookieName())
	if err != nil {
		return visitor{}, hedgerow.Errorf(hedgerow.CodeUnauthorized, "not signed in")
	}
	// What htmx asks for by itself is no use of the session.
	u, err := s.Desk.User(r.Context(), c.Value, r.Header.Get("HX-Request") == "")
	return visitor{u, c.Value}, err
}

// formToken is what a form of this session carries. It is another in each
// page, so that the length of a compressed page tells nothing of it.
func (v visitor) formToken() string {
	pad := make([]byte, sha256.Size)
	_, _ = rand.Read(pad) // it never fails
	mixed := make([]byte, sha256.Size)
	subtle.XORBytes(mixed, pad, v.formKey())
	return base64.RawURLEncoding.EncodeToString(append(pad, mixed...))
}

func (v visitor) holds(token string) bool {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) != 2*sha256.Size {
		return false
	}
	key := make([]byte, sha256.Size)
	subtle.XORBytes(key, b[:sha256.Size], b[sha256.Size:])
	return hmac.Equal(key, v.formKey())
}

func (v visitor) formKey() []byte {
	m := hmac.New(sha256.New, []byte(v.token))
	m.Write([]byte("form"))
	return m.Sum(nil)
}

// signInForm is the page to sign in.
type signInForm struct {
	frame
	Name, Next, Problem string
}

func (s *site) signInPage(w http.ResponseWriter, r *http.Request) {
	next := localPath(r.FormValue("next"))
	if _, err := s.visitor(r); err == nil {
		http.Redirect(w, r, next, http.StatusSeeOther)
		return
	}
	s.render(w, r, http.StatusOK, "signin", signInForm{frame: s.frame(r, "Sign in"), Next: next})
}

func (s *site) signIn(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, mostForm)
	name, next := r.PostFormValue("name"), localPath(r.PostFormValue("next"))
	token, err := s.Desk.SignIn(r.Context(), name, r.PostFormValue("password"))
	switch code := hedgerow.CodeOf(err); {
	case code == hedgerow.CodeUnauthorized || code == hedgerow.CodeThrottled:
		status := http.StatusUnauthorized
		if code == hedgerow.CodeThrottled {
			status = http.StatusTooManyRequests
		}
		// The sentence is one of ours, whatever the request said (S19).
		s.render(w, r, status, "signin", signInForm{frame: s.frame(r, "Sign in"), Name: name, Next: next, Problem: sentence(err.Error())})
		return
	case err != nil:
		s.fail(w, r, err)
		return
	}
	if old, err := s.visitor(r); err == nil { // S22
		if err := s.Desk.SignOut(r.Context(), old.token); err != nil {
			s.fail(w, r, err)
			return
		}
	}
	s.setCookie(w, token, auth.Longest)
	http.Redirect(w, r, next, http.StatusSeeOther)
}

func (s *site) signOut(w http.ResponseWriter, r *http.Request) {
	if err := s.Desk.SignOut(r.Context(), visitorOf(r).token); err != nil {
		s.fail(w, r, err)
		return
	}
	s.setCookie(w, "", -1)
	http.Redirect(w, r, "/sign-in", http.StatusSeeOther)
}

func (s *site) setCookie(w http.ResponseWriter, token string, life time.Duration) {
	age := int(life / time.Second)
	if life < 0 {
		age = -1
	}
	http.SetCookie(w, &http.Cookie{
		Name: s.cookieName(), Value: token, Path: "/", MaxAge: age,
		HttpOnly: true, Secure: s.TLS, SameSite: http.SameSiteLaxMode,
	})
}

// localPath is a path of ours to go to, "/" for anything else (S20).
func localPath(next string) string {
	if !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\") {
		return "/"
	}
	for _, c := range next {
		if c < ' ' || c == 0x7f {
			return "/"
		}
	}
	u, err := url.Parse(next)
	if err != nil || u.IsAbs() || u.Host != "" || u.Path == "/sign-in" || strings.HasPrefix(u.Path, "//") {
		return "/"
	}
	return next
}
