package web

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"hedgerow"
)

// page is a handler that may fail. It has its time, and what was typed has its
// bounds, so that no page keeps the record from those who observe.
func (s *site) page(h func(w http.ResponseWriter, r *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), pageTimeout)
		defer cancel()
		if err := s.bounded(w, r.WithContext(ctx), h); err != nil {
			s.fail(w, r, err)
		}
	}
}

func (s *site) bounded(w http.ResponseWriter, r *http.Request, h func(w http.ResponseWriter, r *http.Request) error) error {
	q := r.FormValue("q")
	for _, v := range r.Form {
		if slices.ContainsFunc(v, func(text string) bool { return strings.ContainsRune(text, 0) || len(text) > mostTyped }) {
			return hedgerow.Errorf(hedgerow.CodeInvalid, "what was sent is too long, or is no text")
		}
	}
	if strings.ContainsRune(r.URL.Path, 0) {
		return hedgerow.Errorf(hedgerow.CodeNotFound, "there is no page at this address")
	}
	if q != "" { // which has the database read every content
		select {
		case s.searches <- struct{}{}:
			defer func() { <-s.searches }()
		case <-r.Context().Done():
			return hedgerow.Errorf(hedgerow.CodeThrottled, "too many searches are under way").WithHint("Try again in a moment.")
		}
	}
	return h(w, r)
}

const (
	// pageTimeout bounds the making of one page, and of an export.
	pageTimeout = 30 * time.Second
	// mostTyped bounds, in bytes, each text of a form but the token.
	mostTyped = 500
	// searchesAtOnce bounds the searches that the database does for pages.
	searchesAtOnce = 2
)

// of is a handler of one fabric, in which the visitor needs a role. It is the
// only way from a number in an address to a fabric (S25, S26).
func (s *site) of(need hedgerow.Role, h func(w http.ResponseWriter, r *http.Request, f hedgerow.Fabric) error) http.HandlerFunc {
	return s.page(func(w http.ResponseWriter, r *http.Request) error {
		id, err := strconv.ParseInt(r.PathValue("fabric"), 10, 64)
		if err != nil {
			return hedgerow.Errorf(hedgerow.CodeNotFound, "there is no such fabric")
		}
		u := visitorOf(r)
		f, err := s.Record.FabricFor(r.Context(), u.ID, id, need)
		if hedgerow.CodeOf(err) == hedgerow.CodeNotFound && need != hedgerow.Viewer {
			// Who may see it may know that they lack a right.
			if _, err := s.Record.FabricFor(r.Context(), u.ID, id, hedgerow.Viewer); err == nil {
				return hedgerow.Errorf(hedgerow.CodeForbidden, "your role in this fabric does not allow that").WithHint("An administrator can give you the role %s.", need)
			}
		}
		if err != nil {
			return err
		}
		return h(w, r.WithContext(context.WithValue(r.Context(), fabricKey{}, f)), f)
	})
}

// fabricKey is where a request's context keeps the fabric that it is about.
type fabricKey struct{}

func fabricAddress(f hedgerow.Fabric) string { return address("fabrics", f.ID) + "/" }

// fabricLine is a fabric in a list.
type fabricLine struct {
	hedgerow.Fabric
	hedgerow.Status
	Facts hedgerow.Facts
}

// wantsSomebody reports whether something of a fabric should be looked at, also
// while a pass is under way.
func (l fabricLine) wantsSomebody() bool {
	return slices.Contains(problems, l.Badge) || l.Condition("Stalled").Status || l.Facets.Health.State == "bad" ||
		l.Badge != hedgerow.Disabled && l.Facts.Last != nil && l.Facts.Last.Outcome != hedgerow.RunComplete
}

type homePage struct {
	frame
	Fabrics  []fabricLine
	Problems int
	Changes  []eventLine
	Service  []hedgerow.Problem
}

// urgency orders badges: what somebody should look at comes first.
var urgency = []hedgerow.Badge{
	hedgerow.ErrorBadge, hedgerow.OutOfSync, hedgerow.Stale, hedgerow.NotConfigured,
	hedgerow.NeverSynced, hedgerow.Syncing, hedgerow.InSync, hedgerow.Disabled,
}

// problems are the badges that want somebody.
var problems = []hedgerow.Badge{hedgerow.ErrorBadge, hedgerow.OutOfSync, hedgerow.Stale}

const (
	// lately is what a page means by it.
	lately = 24 * time.Hour
	// fewChanges and fewRuns bound what pages show of them on the way.
	fewChanges = 15
	fewRuns    = 8
)

func (s *site) home(w http.ResponseWriter, r *http.Request) error {
	p := homePage{frame: s.frame(r, "Fabrics")}
	p.Watch = "all"
	all, err := s.Record.FabricsFor(r.Context(), p.User.ID)
	if err != nil {
		return err
	}
	facts, err := s.Record.Facts(r.Context(), all...)
	if err != nil {
		return err
	}
	for i, f := range all {
		line := fabricLine{f, hedgerow.StatusOf(facts[i], p.Now), facts[i]}
		if line.wantsSomebody() {
			p.Problems++
		}
		p.Service = line.Facts.Service.Problems // the same of each
		p.Fabrics = append(p.Fabrics, line)
		events, err := s.events24(r, f, p.Now)
		if err != nil {
			return err
		}
		p.Changes = append(p.Changes, events...)
	}
	slices.SortStableFunc(p.Fabrics, func(a, b fabricLine) int {
		return cmp.Compare(slices.Index(urgency, a.Badge), slices.Index(urgency, b.Badge))
	})
	slices.SortStableFunc(p.Changes, func(a, b eventLine) int { return b.At.Compare(a.At) })
	p.Changes = p.Changes[:min(len(p.Changes), fewChanges)]
	s.render(w, r, http.StatusOK, "home", p)
	return nil
}

func (s *site) line(r *http.Request, f hedgerow.Fabric, now time.Time) (fabricLine, error) {
	facts, err := s.Record.Facts(r.Context(), f)
	if err != nil {
		return fabricLine{}, err
	}
	return fabricLine{f, hedgerow.StatusOf(facts[0], now), facts[0]}, nil
}

// events24 are the last changes of a fabric of one day.
func (s *site) events24(r *http.Request, f hedgerow.Fabric, now time.Time) ([]eventLine, error) {
	events, err := s.Record.History(r.Context(), f.ID, hedgerow.HistoryQuery{Limit: fewChanges, Since: now.Add(-lately), Changes: true})
	if err != nil {
		return nil, err
	}
	return s.lines(r, f, events, false)
}

type fabricPage struct {
	frame
	fabricLine
	Kinds  []kindLine // of which there are objects, or that want a look
	Empty  []kindLine
	Runs   []hedgerow.Run
	Recent []eventLine
	// Asked says what became of a request for a pass, "" without one.
	Asked     string
	AskedDone bool
}

// kindLine is a kind of a fabric, with what is proven of it.
type kindLine struct {
	hedgerow.KindEvidence
	Address string
}

func (s *site) fabric(w http.ResponseWriter, r *http.Request, f hedgerow.Fabric) error {
	p := fabricPage{frame: s.frame(r, f.Name, crumb{"Fabrics", "/"})}
	p.Watch = fmt.Sprint(f.ID)
	var err error
	if p.fabricLine, err = s.line(r, f, p.Now); err != nil {
		return err
	}
	evidence, err := s.Record.Evidence(r.Context(), f.ID)
	if err != nil {
		return err
	}
	for _, e := range evidence {
		if e.Kind != "" && (e.Verdict != hedgerow.Absent || e.Present > 0) {
			line := kindLine{e, fabricAddress(f) + url.PathEscape(e.Plural+"."+e.Group) + "/"}
			if e.Present == 0 && e.Verdict == hedgerow.Complete {
				p.Empty = append(p.Empty, line)
			} else {
				p.Kinds = append(p.Kinds, line)
			}
		}
	}
	slices.SortStableFunc(p.Kinds, func(a, b kindLine) int {
		return cmp.Or(cmp.Compare(b.Present, a.Present), cmp.Compare(a.Plural, b.Plural))
	})
	if p.Runs, err = s.Record.Runs(r.Context(), f.ID, 0, fewRuns, false); err != nil {
		return err
	}
	if p.Recent, err = s.events24(r, f, p.Now); err != nil {
		return err
	}
	if after, err := strconv.ParseInt(r.FormValue("after"), 10, 64); err == nil {
		p.Asked, p.AskedDone = asked(after, p.Runs, p.Facets.Schedule.State)
	}
	s.render(w, r, http.StatusOK, "fabric", p)
	return nil
}

// asked says what became of a request that was made when after was the newest
// pass, and whether that is the end of it.
func asked(after int64, newest []hedgerow.Run, schedule string) (string, bool) {
	switch {
	case len(newest) > 0 && newest[0].ID > after && newest[0].Outcome == hedgerow.Running:
		return fmt.Sprintf("Run %d is reading the cluster.", newest[0].ID), false
	case len(newest) > 0 && newest[0].ID > after:
		return runSentence(newest[0]), true
	case schedule == "unkept":
		return "Your request is queued, but no process is there to take it up: is hedgerow serve running with workers?", false
	}
	return "Your request is queued and waits for a worker.", false
}

// runSentence says in one sentence how a run went.
func runSentence(r hedgerow.Run) string {
	c := r.Counts()
	switch {
	case r.Outcome == hedgerow.Running:
		return fmt.Sprintf("Run %d is under way.", r.ID)
	case r.Outcome == hedgerow.RunComplete && !c.Changed():
		return fmt.Sprintf("Run %d read %s in %s: nothing had changed.", r.ID, hedgerow.Count(c.Listed, "object"), took(r))
	case r.Outcome == hedgerow.RunComplete:
		return fmt.Sprintf("Run %d read %s in %s: %d created, %d updated, %d deleted.", r.ID, hedgerow.Count(c.Listed, "object"), took(r), c.Created, c.Updated, c.Deleted)
	}
	return sentence(fmt.Sprintf("Run %d did not read everything: %s", r.ID, r.Message))
}

// sync asks for a pass and shows the fabric, which tells what becomes of it.
func (s *site) sync(w http.ResponseWriter, r *http.Request, f hedgerow.Fabric) error {
	switch {
	case f.Suspended:
		return hedgerow.Errorf(hedgerow.CodeSuspended, "fabric %s is suspended", f.Name).WithHint("Resume it: hedgerow fabric resume %s", f.Name)
	case f.Cluster == nil:
		return hedgerow.Errorf(hedgerow.CodeUnconfigured, "fabric %s has no cluster", f.Name).WithHint("Give it one: hedgerow fabric edit %s --kubeconfig FILE", f.Name)
	}
	newest, err := s.Passes.Request(r.Context(), f.ID, visitorOf(r).Name)
	if err != nil {
		return err
	}
	after := newest.ID
	if newest.Outcome == hedgerow.Running { // which meets the request
		after--
	}
	http.Redirect(w, r, fmt.Sprintf("%s?after=%d", fabricAddress(f), after), http.StatusSeeOther)
	return nil
}
