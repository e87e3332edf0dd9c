package web

import (
	"fmt"
	"net/http"
	"strconv"

	"hedgerow"
)

// eventLine is an event with its links.
type eventLine struct {
	hedgerow.Event
	Fabric  hedgerow.Fabric
	Address string // of the object
	Changes []Change
}

// mostCompared bounds the updates of a page whose fields are shown.
const mostCompared = 50

// lines adds to events what pages show of them.
func (s *site) lines(r *http.Request, f hedgerow.Fabric, events []hedgerow.Event, fields bool) ([]eventLine, error) {
	if len(events) == 0 {
		return nil, nil
	}
	kinds, err := s.Record.Kinds(r.Context(), f)
	if err != nil {
		return nil, err
	}
	plurals := map[hedgerow.KindID]string{}
	for _, k := range kinds {
		plurals[k.ID()] = k.Plural
	}
	lines := make([]eventLine, len(events))
	for i, e := range events {
		lines[i] = eventLine{Event: e, Fabric: f}
		if plural := plurals[hedgerow.KindID{Group: e.Group, Kind: e.Kind}]; plural != "" {
			lines[i].Address = ObjectAddress(f.ID, plural, e.Ref)
		}
		if fields && i < mostCompared {
			if lines[i].Changes, err = s.Record.Fields(r.Context(), e); err != nil {
				return nil, err
			}
		}
	}
	return lines, nil
}

type historyPage struct {
	frame
	Fabric hedgerow.Fabric
	Events []eventLine
	More   bool
}

// mostEvents is how many events a page shows.
const mostEvents = 100

func (s *site) history(w http.ResponseWriter, r *http.Request, f hedgerow.Fabric) error {
	p := historyPage{frame: s.frame(r, "History", crumb{"Fabrics", "/"}, crumb{f.Name, fabricAddress(f)}), Fabric: f}
	p.Watch = fmt.Sprint(f.ID)
	events, err := s.Record.History(r.Context(), f.ID, hedgerow.HistoryQuery{Limit: mostEvents + 1})
	if err != nil {
		return err
	}
	if p.More = len(events) > mostEvents; p.More {
		events = events[:mostEvents]
	}
	if p.Events, err = s.lines(r, f, events, true); err != nil {
		return err
	}
	s.render(w, r, http.StatusOK, "history", p)
	return nil
}

type runsPage struct {
	frame
	Fabric hedgerow.Fabric
	Runs   []hedgerow.Run
	Next   string
}

// mostRuns is how many runs a page shows.
const mostRuns = 50

func (s *site) runs(w http.ResponseWriter, r *http.Request, f hedgerow.Fabric) error {
	p := runsPage{frame: s.frame(r, "Runs", crumb{"Fabrics", "/"}, crumb{f.Name, fabricAddress(f)}), Fabric: f}
	p.Watch = fmt.Sprint(f.ID)
	before, _ := strconv.ParseInt(r.FormValue("before"), 10, 64) // anything else is the newest
	var err error
	follow := r.FormValue("follow") != ""
	if p.Runs, err = s.Record.Runs(r.Context(), f.ID, max(before, 0), mostRuns+1, follow); err != nil {
		return err
	}
	if len(p.Runs) > mostRuns {
		p.Runs = p.Runs[:mostRuns]
		p.Next = fmt.Sprintf("%sruns/?before=%d", fabricAddress(f), p.Runs[mostRuns-1].ID)
		if follow {
			p.Next += "&follow=yes"
		}
	}
	s.render(w, r, http.StatusOK, "runs", p)
	return nil
}

type runPage struct {
	frame
	Fabric   hedgerow.Fabric
	Run      hedgerow.Run
	Sentence string
	Events   []eventLine
}

func (s *site) run(w http.ResponseWriter, r *http.Request, f hedgerow.Fabric) error {
	none := hedgerow.Errorf(hedgerow.CodeNotFound, "fabric %s has no such run", f.Name)
	id, err := strconv.ParseInt(r.PathValue("run"), 10, 64)
	if err != nil {
		return none
	}
	run, err := s.Record.Run(r.Context(), id)
	if hedgerow.CodeOf(err) == hedgerow.CodeNotFound || err == nil && run.FabricID != f.ID { // S26
		return none
	}
	if err != nil {
		return err
	}
	p := runPage{frame: s.frame(r, fmt.Sprint("Run ", id), crumb{"Fabrics", "/"}, crumb{f.Name, fabricAddress(f)}, crumb{"Runs", fabricAddress(f) + "runs/"}), Fabric: f, Run: run, Sentence: runSentence(run)}
	if run.Outcome == hedgerow.Running {
		p.Watch = fmt.Sprint(f.ID)
	}
	events, err := s.Record.History(r.Context(), f.ID, hedgerow.HistoryQuery{Run: id, Limit: mostEvents})
	if err != nil {
		return err
	}
	if p.Events, err = s.lines(r, f, events, true); err != nil {
		return err
	}
	s.render(w, r, http.StatusOK, "run", p)
	return nil
}
