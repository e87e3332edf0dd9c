package web

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"hedgerow"
)

const (
	// streamFor is the longest life of a stream; browsers come back.
	streamFor = 30 * time.Minute
	// heartbeat keeps what stands between from taking a silent stream for dead,
	// and is how often it is looked whether the visitor may still have it.
	heartbeat = 5 * time.Second
	// atMost is the least time between two events.
	atMost = 500 * time.Millisecond
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
	allowed := func() (map[int64]bool, error) {
		u, err := s.Desk.User(ctx, token, false)
		if err != nil {
			return nil, err
		}
		all, err := s.Record.FabricsFor(ctx, u.ID)
		seen := map[int64]bool{}
		for _, f := range all {
			if only == 0 || f.ID == only {
				seen[f.ID] = true
			}
		}
		if err == nil && only != 0 && !seen[only] {
			err = hedgerow.Errorf(hedgerow.CodeNotFound, "there is no such fabric")
		}
		return seen, err
	}
	seen, err := allowed()
	if err != nil {
		s.fail(w, r, err)
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
	// One event for all that moved: a page reads itself anew once.
	tell := func(first bool) bool {
		now := s.Live.Moments()
		var versions []string
		for id := range seen {
			m := now[id]
			m.Due = 0 // when it is read next is no news
			before, had := told[id]
			told[id] = m
			if !first && (!had || before != m) {
				versions = append(versions, fmt.Sprintf("\"%d\":%d", id, m.Version))
			}
		}
		slices.Sort(versions)
		return len(versions) == 0 || send("event: moved\ndata: {%s}\n\n", strings.Join(versions, ","))
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
			// What moves meanwhile is told together.
			if !rest(ctx) {
				return
			}
		case <-t.C:
			if seen, err = allowed(); err != nil || !send(": still here\n\n") {
				return
			}
		}
	}
}

// rest waits until the next event may be sent.
func rest(ctx context.Context) bool {
	t := time.NewTimer(atMost)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
