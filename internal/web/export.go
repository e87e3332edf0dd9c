package web

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"net/http"
	"strings"
	"time"

	"hedgerow"
	"hedgerow/internal/view"
)

// exportPage is how many objects are read at a time for an export.
const exportPage = 500

// export writes every object of a kind that q selects, as a table for
// spreadsheets or as the YAML that kubectl takes. It is sent as it is read, so
// that it may be long; one that breaks off is cut, not ended.
func (s *site) export(w http.ResponseWriter, r *http.Request, f hedgerow.Fabric, k hedgerow.Kind, q hedgerow.ObjectQuery, format string) error {
	write, kind := yamlRows, "application/yaml"
	switch format {
	case "csv":
		write, kind = csvRows, "text/csv; charset=utf-8"
	case "yaml":
	default:
		return hedgerow.Errorf(hedgerow.CodeInvalid, "there is no export as %q", format).WithHint("There are csv and yaml.")
	}
	q.Limit, q.AfterNamespace, q.AfterName = exportPage, "", ""
	now, begun := s.Now(), false
	for {
		page, err := s.Record.ObjectsPage(r.Context(), f.ID, k.ID(), q)
		var b bytes.Buffer
		if err == nil {
			err = write(&b, k, page, view.TableOptions{Wide: true, Namespace: true, Labels: true}, !begun, now)
		}
		if err != nil && begun {
			s.Log.Error("export cut off", "fabric", f.Name, "kind", k.ID().String(), "error", err.Error())
			panic(http.ErrAbortHandler) // nobody may take it for whole
		}
		if err != nil {
			return err
		}
		if !begun {
			w.Header().Set("Content-Type", kind)
			w.Header().Set("Content-Disposition", fmt.Sprintf(`attachment; filename="%s-%s.%s"`, fileName(f.Name), fileName(k.Plural), format))
			begun = true
		}
		if _, err := w.Write(b.Bytes()); err != nil || len(page) < exportPage {
			return nil //nolint:nilerr // who has gone needs no answer
		}
		last := page[len(page)-1]
		q.AfterNamespace, q.AfterName = last.Namespace, last.Name
	}
}

// fileName is what of a name is safe in a header and on every disk (S35).
func fileName(s string) string {
	return strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' {
			return c
		}
		return '_'
	}, s)
}

func csvRows(b *bytes.Buffer, k hedgerow.Kind, page []hedgerow.Recorded, opt view.TableOptions, first bool, now time.Time) error {
	rows := make([]view.Row, len(page))
	for i, o := range page {
		rows[i] = view.Row{Object: o.Object}
	}
	t, err := view.Objects(k, rows, opt, now)
	if err != nil {
		return err
	}
	c := csv.NewWriter(b)
	c.UseCRLF = true // RFC 4180
	if first {
		t.Rows = append([][]string{t.Header}, t.Rows...)
	}
	for _, row := range t.Rows {
		for i, cell := range row {
			row[i] = inert(cell)
		}
		if err := c.Write(row); err != nil {
			return err
		}
	}
	c.Flush()
	return c.Error()
}

// inert keeps a spreadsheet from taking a text for a formula (S35), as OWASP's
// page on CSV injection has it.
func inert(cell string) string {
	if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
		return "'" + cell
	}
	return cell
}

func yamlRows(b *bytes.Buffer, _ hedgerow.Kind, page []hedgerow.Recorded, _ view.TableOptions, first bool, _ time.Time) error {
	for i, o := range page {
		tree, err := view.Tree(o.Object)
		if err != nil {
			return err
		}
		text, err := view.YAML(tree)
		if err != nil {
			return err
		}
		if !first || i > 0 {
			b.WriteString("---\n")
		}
		b.Write(text)
	}
	return nil
}
