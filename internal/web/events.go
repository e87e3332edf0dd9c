package web

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"hedgerow"
)

const (
	// streamFor is the longest life of a stream; browsers come back.
	streamFor = 30 * time.Minute
	// heartbeat keeps what stands between from taking a silent stream for dead,
	// and is how often it is looked whether the visitor may still have it.
	heartbeat = 5 * time.Second
	// writeTimeout bounds one message to a browser that may have gone.
	writeTimeout = 10 * time.Second
)

// events says, as server-sent events, when a fabric that a page shows has
// moved on: the versions, never data. A page then reads itself anew, so that a
// missed event costs nothing. The stream ends with the session, and with the
// right to see the fabric (S22).
func (s *site) events(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	only, _ := strconv.ParseInt(r.FormValue("fabric"), 10, 64) // 0: every fabric
	token := visitorOf(r).token
	allowed := func() (map[int64]bool, bool) {
		u, err := s.Desk.User(ctx, token)
		if err != nil {
			return nil, false
		}
		all, err := s.Record.FabricsFor(ctx, u.ID)
		seen := map[int64]bool{}
		for _, f := range all {
			if only == 0 || f.ID == only {
				seen[f.ID] = true
			}
		}
		return seen, err == nil && (only == 0 || seen[only])
	}
	seen, ok := allowed()
	if !ok {
		s.fail(w, r, hedgerow.Errorf(hedgerow.CodeNotFound, "there is no such fabric"))
		return
	}
	moved, end := s.Live.Watch(func(fabric int64) bool { return only == 0 || fabric == only })
	defer end()
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // nginx would hold it back
	c := http.NewResponseController(w)
	send := func(format string, args ...any) bool {
		_ = c.SetWriteDeadline(time.Now().Add(writeTimeout)) // without one the next write tells
		_, err := fmt.Fprintf(w, format, args...)
		return err == nil && c.Flush() == nil
	}
	told := map[int64]hedgerow.Moment{}
	tell := func(first bool) bool {
		now := s.Live.Moments()
		for id := range seen {
			m := now[id]
			before, had := told[id]
			told[id] = m
			if first || had && before == m {
				continue
			}
			if !send("event: moved\nid: %d\ndata: {\"fabric\":%d,\"version\":%d}\n\n", m.Version, id, m.Version) {
				return false
			}
		}
		return true
	}
	if !send(": here\n\n") || !tell(true) {
		return
	}
	// What happened between the making of the page and now is not known: the
	// page reads itself anew once.
	if !send("event: moved\ndata: {}\n\n") {
		return
	}
	t := time.NewTicker(heartbeat)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-moved:
			if !tell(false) {
				return
			}
		case <-t.C:
			if seen, ok = allowed(); !ok || !send(": still here\n\n") {
				return
			}
		}
	}
}
