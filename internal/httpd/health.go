package httpd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"
	"time"

	"hedgerow"
)

// A Check is one thing that the process needs to do its work.
type Check struct {
	Name string // a word
	Err  error  // a sentence; nil when all is well
	// Warn says that Err should be known, but is no reason to send nobody here:
	// the process does its work.
	Warn bool
}

// readyTimeout bounds the checks of one answer, all together.
const readyTimeout = 5 * time.Second

// Health answers /healthz, the process answers, and /readyz, it can do its
// work: 200 or 503, with a line for each check, as a kube-apiserver writes
// them ("[!]" for what is only to be known), or JSON for who asks for it. ready must heed its context. Requests that
// meet share one call of it.
func Health(ready func(context.Context) []Check) http.Handler {
	checks := &shared[[]Check]{limit: readyTimeout, now: time.Now, read: func(ctx context.Context) []Check {
		all := ready(ctx)
		for i, c := range all {
			if errors.Is(c.Err, context.DeadlineExceeded) && ctx.Err() != nil {
				all[i].Err = overrun()
			}
		}
		return all
	}}
	mux := http.NewServeMux()
	mux.Handle("/", NotFound())
	mux.Handle("/healthz", reading(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		sentence(w, http.StatusOK, "ok")
	})))
	mux.Handle("/readyz", reading(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		all, err := checks.get(r.Context())
		switch {
		case r.Context().Err() != nil:
			return // nobody waits any more
		case errors.Is(err, context.DeadlineExceeded):
			all = []Check{{Name: "checks", Err: overrun()}}
		case err != nil:
			panic(err)
		case len(all) == 0:
			all = []Check{{Name: "checks", Err: errors.New("nothing was checked")}}
		}
		report(w, r, all)
	})))
	return mux
}

func overrun() error { return fmt.Errorf("no answer within %s", readyTimeout) }

// readiness is the answer in JSON.
type readiness struct {
	Ready  bool      `json:"ready"`
	Checks []checked `json:"checks"`
}

type checked struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Warn   bool   `json:"warning,omitempty"` // not ok, and ready all the same
	Reason string `json:"reason,omitempty"`
}

func report(w http.ResponseWriter, r *http.Request, all []Check) {
	answer := readiness{Ready: true}
	var text strings.Builder
	for _, c := range all {
		one := checked{Name: c.Name, OK: c.Err == nil}
		if !one.OK {
			one.Reason, one.Warn = hedgerow.OneLine(c.Err.Error()), c.Warn
		}
		switch {
		case one.OK:
			fmt.Fprintf(&text, "[+]%s ok\n", c.Name)
		case one.Warn:
			fmt.Fprintf(&text, "[!]%s: %s\n", c.Name, one.Reason)
		default:
			fmt.Fprintf(&text, "[-]%s failed: %s\n", c.Name, one.Reason)
			answer.Ready = false
		}
		answer.Checks = append(answer.Checks, one)
	}
	status, verdict := http.StatusOK, "passed"
	if !answer.Ready {
		status, verdict = http.StatusServiceUnavailable, "failed"
	}
	w.Header().Set("Vary", "Accept")
	if !wantsJSON(r) {
		sentence(w, status, text.String()+"readyz check "+verdict)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer) // who has gone needs no answer
}

// wantsJSON reports whether JSON is among what the client names.
func wantsJSON(r *http.Request) bool {
	for _, line := range r.Header.Values("Accept") {
		for accepted := range strings.SplitSeq(line, ",") {
			name, params, err := mime.ParseMediaType(accepted)
			if err != nil || name != "application/json" {
				continue
			}
			if q, given := params["q"]; !given || strings.Trim(q, "0.") != "" { // q=0: anything but
				return true
			}
		}
	}
	return false
}
