package web

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"hedgerow"
	"hedgerow/internal/view"
)

// kindOf finds the kind that an address names.
func (s *site) kindOf(r *http.Request, f hedgerow.Fabric) (hedgerow.Kind, error) {
	kinds, err := s.Record.Kinds(r.Context(), f)
	if err != nil {
		return hedgerow.Kind{}, err
	}
	plural, group, _ := strings.Cut(r.PathValue("kind"), ".")
	for _, k := range kinds {
		if k.Plural == plural && (k.Group == group || group == "") {
			return k, nil
		}
	}
	return hedgerow.Kind{}, hedgerow.Errorf(hedgerow.CodeNotFound, "fabric %s has no kind of that name", f.Name)
}

func kindAddress(f hedgerow.Fabric, k hedgerow.Kind) string {
	return fabricAddress(f) + url.PathEscape(k.Plural+"."+k.Group) + "/"
}

// proof says how old what is shown of a kind is.
type proof struct {
	hedgerow.KindEvidence
	Warning string // what went wrong since, "" when nothing did
}

func (s *site) proof(r *http.Request, f hedgerow.Fabric, k hedgerow.Kind, now time.Time) (p proof, err error) {
	all, err := s.Record.Evidence(r.Context(), f.ID)
	if i := slices.IndexFunc(all, func(e hedgerow.KindEvidence) bool { return e.ID() == k.ID() }); i >= 0 {
		p.KindEvidence = all[i]
	}
	switch {
	case slices.ContainsFunc(f.Policy.Exclude, k.Matches):
		p.Warning = "This kind is excluded from observation; what is shown was there before that."
	case p.CompleteRun == 0:
		p.Warning = sentence("This kind has never been read whole: " + p.Message)
	case p.Verdict != hedgerow.Complete:
		p.Warning = fmt.Sprintf("The last reading failed: %s What is shown is what run %d proved %s ago.", sentence(p.Message), p.CompleteRun, hedgerow.Age(now.Sub(p.CompleteAt)))
	case p.Failed > 0:
		p.Warning = fmt.Sprintf("%s of them could not be read anew: %s", hedgerow.Count(p.Failed, "object"), sentence(p.Message))
	}
	return p, err
}

type objectsPage struct {
	frame
	Fabric hedgerow.Fabric
	Kind   hedgerow.Kind
	Proof  proof
	Header []string
	Rows   []objectRow
	Text   string // what is looked for
	CSV    string // the address of all that is selected, as CSV and as YAML
	YAML   string
	First  string // the address of the first page, "" on it
	Next   string // of the next, "" on the last
}

type objectRow struct {
	Address string
	Cells   []string // the first is the name
}

// pageSize is how many objects a page shows.
const pageSize = 100

func (s *site) objects(w http.ResponseWriter, r *http.Request, f hedgerow.Fabric) error {
	k, err := s.kindOf(r, f)
	if err != nil {
		return err
	}
	if format := r.FormValue("format"); format != "" {
		return s.export(w, r, f, k, hedgerow.ObjectQuery{Text: strings.TrimSpace(r.FormValue("q"))}, format)
	}
	p := objectsPage{frame: s.frame(r, k.Plural, crumb{"Fabrics", "/"}, crumb{f.Name, fabricAddress(f)}), Fabric: f, Kind: k, Text: strings.TrimSpace(r.FormValue("q"))}
	p.Watch = fmt.Sprint(f.ID)
	if p.Proof, err = s.proof(r, f, k, p.Now); err != nil {
		return err
	}
	q := hedgerow.ObjectQuery{Text: p.Text, Limit: pageSize + 1}
	q.AfterNamespace, q.AfterName, _ = strings.Cut(r.FormValue("after"), "/")
	found, err := s.Record.ObjectsPage(r.Context(), f.ID, k.ID(), q)
	if err != nil {
		return err
	}
	here := func(after string) string {
		v := url.Values{}
		if p.Text != "" {
			v.Set("q", p.Text)
		}
		if after != "" {
			v.Set("after", after)
		}
		return kindAddress(f, k) + "?" + v.Encode()
	}
	if q.AfterName != "" {
		p.First = here("")
	}
	p.CSV, p.YAML = here("")+"&format=csv", here("")+"&format=yaml"
	if len(found) > pageSize {
		found = found[:pageSize]
		last := found[pageSize-1]
		p.Next = here(last.Namespace + "/" + last.Name)
	}
	if err := p.fill(found); err != nil {
		return err
	}
	s.render(w, r, http.StatusOK, "objects", p)
	return nil
}

// fill makes the table, with the columns that the cluster prints.
func (p *objectsPage) fill(found []hedgerow.Recorded) error {
	rows := make([]view.Row, len(found))
	spaces := map[string]bool{}
	for i, o := range found {
		rows[i] = view.Row{Fabric: p.Fabric.Name, Object: o.Object}
		spaces[o.Namespace] = true
	}
	t, err := view.Objects(p.Kind, rows, view.TableOptions{Wide: true}, p.Now)
	if err != nil {
		return err
	}
	p.Header = t.Header
	if len(spaces) > 1 {
		p.Header = slices.Insert(p.Header, 1, "NAMESPACE")
	}
	for i, cells := range t.Rows {
		if len(spaces) > 1 {
			cells = slices.Insert(cells, 1, hedgerow.OneLine(found[i].Namespace))
		}
		p.Rows = append(p.Rows, objectRow{ObjectAddress(p.Fabric.ID, p.Kind.Plural, found[i].Ref), cells})
	}
	return nil
}

// ObjectAddress is where the page of an object is.
func ObjectAddress(fabric int64, plural string, ref hedgerow.Ref) string {
	return address("fabrics", fabric, plural+"."+ref.Group, ref.Namespace, ref.Name)
}

type objectPage struct {
	frame
	Fabric  hedgerow.Fabric
	Kind    hedgerow.Kind
	Object  hedgerow.Recorded
	Gone    bool // it is not there any more; only its history is
	Proof   proof
	Summary []field
	YAML    string
	To      []linkLine
	From    []linkLine
	Events  []eventLine
	Agent   *Agent
	Partial bool // only listed fields of the kind are stored
}

// field is a column's value.
type field struct{ Name, Value string }

type linkLine struct {
	Link
	Address string
}

func (s *site) object(w http.ResponseWriter, r *http.Request, f hedgerow.Fabric) error {
	k, err := s.kindOf(r, f)
	if err != nil {
		return err
	}
	ref := hedgerow.Ref{Group: k.Group, Kind: k.Kind, Namespace: r.PathValue("namespace"), Name: r.PathValue("name")}
	if ref.Namespace == "-" {
		ref.Namespace = ""
	}
	none := hedgerow.Errorf(hedgerow.CodeNotFound, "the record of fabric %s knows no %s of that name", f.Name, k.Kind)
	if k.Namespaced != (ref.Namespace != "") {
		return none // history would take "" for any namespace
	}
	p := objectPage{
		frame:  s.frame(r, ref.Name, crumb{"Fabrics", "/"}, crumb{f.Name, fabricAddress(f)}, crumb{k.Plural, kindAddress(f, k)}),
		Fabric: f, Kind: k, Partial: k.Rule.AllowListed(),
	}
	p.Watch = fmt.Sprint(f.ID)
	if p.Proof, err = s.proof(r, f, k, p.Now); err != nil {
		return err
	}
	events, err := s.Record.History(r.Context(), f.ID, hedgerow.HistoryQuery{Kind: k.ID(), Namespace: ref.Namespace, Name: ref.Name, Limit: 30})
	if err != nil {
		return err
	}
	if p.Events, err = s.lines(r, f, events, true); err != nil {
		return err
	}
	named, err := s.Record.Named(r.Context(), f.ID, k.ID(), ref.Name)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(named, func(o hedgerow.Recorded) bool { return o.Namespace == ref.Namespace })
	switch {
	case i >= 0:
		p.Object = named[i]
		err = p.fill(s, r)
	case len(events) == 0:
		return none
	default:
		p.Gone, p.Object.Ref = true, ref
	}
	if err != nil {
		return err
	}
	s.render(w, r, http.StatusOK, "object", p)
	return nil
}

func (p *objectPage) fill(s *site, r *http.Request) error {
	t, err := view.Objects(p.Kind, []view.Row{{Object: p.Object.Object}}, view.TableOptions{Wide: true, Labels: true}, p.Now)
	if err != nil {
		return err
	}
	for i, name := range t.Header[1:] {
		p.Summary = append(p.Summary, field{name, t.Rows[0][i+1]})
	}
	tree, err := view.Tree(p.Object.Object)
	if err != nil {
		return err
	}
	yaml, err := view.YAML(tree)
	if err != nil {
		return err
	}
	p.YAML = string(yaml)
	if p.Agent, err = s.Record.Agent(r.Context(), p.Fabric, p.Kind, p.Object); err != nil {
		return err
	}
	to, from, err := s.Record.Links(r.Context(), p.Fabric, p.Kind, p.Object)
	p.To, p.From = p.linked(to), p.linked(from)
	return err
}

func (p *objectPage) linked(all []Link) (lines []linkLine) {
	for _, l := range all {
		line := linkLine{Link: l}
		if !l.Missing && l.Plural != "" {
			line.Address = ObjectAddress(p.Fabric.ID, l.Plural, hedgerow.Ref{Group: l.Kind.Group, Kind: l.Kind.Kind, Namespace: l.Namespace, Name: l.Name})
		}
		lines = append(lines, line)
	}
	return lines
}

type searchPage struct {
	frame
	Found []foundLine
	More  bool
}

type foundLine struct {
	hedgerow.Found
	Address string
}

// mostFound is how many objects a search shows.
const mostFound = 100

func (s *site) search(w http.ResponseWriter, r *http.Request) error {
	p := searchPage{frame: s.frame(r, "Search", crumb{"Fabrics", "/"})}
	p.Query = strings.TrimSpace(r.FormValue("q"))
	if p.Query != "" {
		found, err := s.Record.Search(r.Context(), p.User.ID, p.Query, mostFound+1)
		if err != nil {
			return err
		}
		if p.More = len(found) > mostFound; p.More {
			found = found[:mostFound]
		}
		for _, o := range found {
			p.Found = append(p.Found, foundLine{o, ObjectAddress(o.Fabric, o.Plural, o.Ref)})
		}
	}
	s.render(w, r, http.StatusOK, "search", p)
	return nil
}
