package web

import (
	"fmt"
	"net/http"

	"hedgerow"
	"hedgerow/internal/view"
)

type mapPage struct {
	frame
	Fabric  hedgerow.Fabric
	Drawing view.FabricMap
	Cables  int
	Proof   hedgerow.Facts
	Whole   bool // unfolded on request
}

func (s *site) fabricMap(w http.ResponseWriter, r *http.Request, f hedgerow.Fabric) error {
	p := mapPage{frame: s.frame(r, "Map", crumb{"Fabrics", "/"}, crumb{f.Name, fabricAddress(f)}), Fabric: f, Whole: r.FormValue("whole") != ""}
	p.Watch = fmt.Sprint(f.ID)
	facts, err := s.Record.Facts(r.Context(), f)
	if err != nil {
		return err
	}
	p.Proof = facts[0]
	devices, cables, err := s.Record.Wiring(r.Context(), f)
	if err != nil {
		return err
	}
	p.Drawing = view.Map(devices, cables, p.Whole)
	for _, l := range p.Drawing.Lines {
		p.Cables += l.Count
	}
	s.render(w, r, http.StatusOK, "map", p)
	return nil
}
