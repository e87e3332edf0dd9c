package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/labels"

	"hedgerow"
	"hedgerow/internal/view"
)

// selection is what get, describe and history have in common.
type selection struct {
	fabric, namespace, selector string
	all                         bool
}

func (a *app) getCommand() *cobra.Command {
	var s selection
	var o string
	var showLabels, noHeaders, watch bool
	cmd := &cobra.Command{
		Use:   "get KIND [NAME]",
		Short: "Show objects from the record, as kubectl does from the cluster",
		Long: `Show objects from the record, with the columns that the cluster prints. A
closing line on standard error says how old the proof of them is, and warns
when the last reading of the kind failed.

KIND is a plural, a singular, a short name or a category, with or without its
group: switches, switch, sw, switches.wiring.githedgehog.com, hedgehog. Several
may be joined by commas.`,
		Example: `  hedgerow get sw -F lab
  hedgerow get conn -F lab -l fabric.githedgehog.com/connection-type=fabric -o wide
  hedgerow get vpc vpc-1 -F lab -o yaml
  hedgerow get switches,servers -A
  hedgerow get servers -F lab --watch`,
		Args: between(1, "KIND", "NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := format(o, "", "wide", "json", "yaml", "name"); err != nil {
				return err
			}
			sel, err := labels.Parse(s.selector)
			if err != nil {
				return hedgerow.Errorf(hedgerow.CodeInvalid, "label selector: %w", err)
			}
			if watch && o != "" && o != "wide" {
				return hedgerow.Errorf(hedgerow.CodeInvalid, "--watch shows a table: leave -o %s out", o)
			}
			fabrics := func(ctx context.Context) ([]hedgerow.Fabric, error) { return a.selected(ctx, s) }
			g := getting{app: a, selection: s, labels: sel, opt: view.TableOptions{Wide: o == "wide", Fabric: s.all, Labels: showLabels}}
			if len(args) == 2 {
				g.name = args[1]
			}
			if watch {
				return g.watch(cmd.Context(), fabrics, args[0], func() error { return g.print(o, noHeaders) })
			}
			fs, err := fabrics(cmd.Context())
			if err != nil {
				return err
			}
			if err := g.read(cmd.Context(), fs, args[0]); err != nil {
				return err
			}
			return g.print(o, noHeaders)
		},
	}
	p := cmd.Flags()
	s.register(cmd)
	p.StringVarP(&o, "output", "o", "", "wide, json, yaml or name")
	p.StringVarP(&s.selector, "selector", "l", "", "labels, as kubectl takes them: a=b,c!=d,e in (f,g)")
	p.BoolVarP(&s.all, "all-fabrics", "A", false, "in every fabric")
	p.BoolVar(&showLabels, "show-labels", false, "a column with the labels")
	p.BoolVarP(&watch, "watch", "w", false, "then show every object that changes, as it does, until interrupted")
	p.BoolVar(&noHeaders, "no-headers", false, "leave out the header line")
	return cmd
}

func (s *selection) register(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&s.fabric, "fabric", "F", "", "the fabric (default: the only one)")
	cmd.Flags().StringVarP(&s.namespace, "namespace", "n", "", "only objects of this namespace")
}

func (a *app) selected(ctx context.Context, s selection) ([]hedgerow.Fabric, error) {
	if s.all {
		if s.fabric != "" {
			return nil, hedgerow.Errorf(hedgerow.CodeInvalid, "give either -F or -A, not both")
		}
		db, err := a.store(ctx)
		if err != nil {
			return nil, err
		}
		return db.Fabrics(ctx)
	}
	f, err := a.fabric(ctx, s.fabric)
	return []hedgerow.Fabric{f}, err
}

// found are the objects of one kind in one fabric.
type found struct {
	fabric  hedgerow.Fabric
	kind    hedgerow.Kind
	proof   hedgerow.KindEvidence
	objects []hedgerow.Recorded
}

// getting is one get command under way.
type getting struct {
	*app
	selection
	name   string
	labels labels.Selector
	opt    view.TableOptions
	found  []found
}

func (g *getting) read(ctx context.Context, fabrics []hedgerow.Fabric, words string) error {
	served := false
	for _, f := range fabrics {
		ks, err := g.match(ctx, f, words)
		if err != nil {
			if len(fabrics) > 1 && hedgerow.CodeOf(err) == hedgerow.CodeNotFound {
				g.note("WARNING: %s.", err) // another fabric may have it
				continue
			}
			return err
		}
		served = true
		evidence, err := g.db.Evidence(ctx, f.ID)
		if err != nil {
			return err
		}
		for _, k := range ks {
			fd := found{fabric: f, kind: k}
			if i := slices.IndexFunc(evidence, func(e hedgerow.KindEvidence) bool { return e.ID() == k.ID() }); i >= 0 {
				fd.proof = evidence[i]
			}
			if fd.objects, err = g.objects(ctx, f, k); err != nil {
				return err
			}
			g.found = append(g.found, fd)
		}
	}
	if !served {
		return hedgerow.Errorf(hedgerow.CodeNotFound, "no fabric has a kind %q", words)
	}
	return nil
}

func (g *getting) objects(ctx context.Context, f hedgerow.Fabric, k hedgerow.Kind) (all []hedgerow.Recorded, err error) {
	if g.name != "" {
		all, err = g.db.Named(ctx, f.ID, k.ID(), g.name)
	} else {
		err = g.db.EachObject(ctx, f.ID, k.ID(), func(o hedgerow.Recorded) error {
			all = append(all, o)
			return nil
		})
	}
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(o hedgerow.Recorded) bool {
		if g.namespace != "" && o.Namespace != g.namespace {
			return true
		}
		if g.labels.Empty() {
			return false
		}
		tree, err := view.Tree(o.Object)
		return err != nil || !g.labels.Matches(labels.Set(view.Labels(tree)))
	}), nil
}

// match returns the kinds of a fabric that words (joined by commas) name.
func (a *app) match(ctx context.Context, f hedgerow.Fabric, words string) ([]hedgerow.Kind, error) {
	ks, err := a.kinds(ctx, f)
	if err != nil {
		return nil, err
	}
	if len(ks) == 0 {
		return nil, hedgerow.Errorf(hedgerow.CodeNotFound, "nothing is known of fabric %s yet", f.Name).WithHint("Read its cluster first: hedgerow sync %s", f.Name)
	}
	var out []hedgerow.Kind
	for word := range strings.SplitSeq(words, ",") {
		named := false
		for _, k := range ks {
			if !k.Matches(word) && !slices.Contains(k.Categories, word) {
				continue
			}
			named = true
			if !slices.ContainsFunc(out, func(o hedgerow.Kind) bool { return o.ID() == k.ID() }) {
				out = append(out, k)
			}
		}
		if !named {
			var all []string
			for _, k := range ks {
				all = append(all, k.Plural)
			}
			return nil, hedgerow.Errorf(hedgerow.CodeNotFound, "fabric %s has no kind %q", f.Name, word).WithHint("It has: %s", strings.Join(all, ", "))
		}
	}
	return out, nil
}

func (g *getting) print(o string, noHeaders bool) error {
	n := 0
	for _, f := range g.found {
		n += len(f.objects)
	}
	unproven := g.unproven()
	if n == 0 && unproven != nil {
		return unproven
	}
	if g.name != "" && n == 0 {
		f := g.found[0]
		return hedgerow.Errorf(hedgerow.CodeNotFound, "there is no %s %q in the record%s", f.kind.Kind, g.name, in(g.found)).WithHint("%s", proofSentence(f, g.now()))
	}
	switch o {
	case "json", "yaml":
		v, err := g.list()
		if err != nil {
			return err
		}
		write := g.json
		if o == "yaml" {
			write = g.yaml
		}
		if err := write(v); err != nil {
			return err
		}
	case "name":
		for _, f := range g.found {
			for _, obj := range f.objects {
				fmt.Fprintf(g.out, "%s.%s/%s\n", f.kind.Singular, f.kind.Group, hedgerow.OneLine(obj.Name))
			}
		}
	default:
		if err := g.tables(noHeaders); err != nil {
			return err
		}
	}
	if n == 0 && g.namespace != "" {
		g.note("None of them is in namespace %s.", hedgerow.OneLine(g.namespace))
	}
	for _, f := range g.found {
		if len(g.found) == 1 || len(f.objects) > 0 || f.proof.Verdict != hedgerow.Complete {
			g.note("%s", proofSentence(f, g.now()))
		}
	}
	return unproven
}

func in(fs []found) string {
	if len(fs) == 1 {
		return " of fabric " + fs[0].fabric.Name
	}
	return ""
}

// list returns what -o json and yaml show: the object, or a List of objects
// with the proof of each kind.
func (g *getting) list() (any, error) {
	items := []any{}
	proofs := []any{}
	for _, f := range g.found {
		p := map[string]any{"fabric": f.fabric.Name, "kind": f.kind.Plural + "." + f.kind.Group, "verdict": string(f.proof.Verdict)}
		if !f.proof.CompleteAt.IsZero() {
			p["provenAt"] = f.proof.CompleteAt.Format(time.RFC3339)
		}
		proofs = append(proofs, p)
		for _, o := range f.objects {
			tree, err := view.Tree(o.Object)
			if err != nil {
				return nil, err
			}
			items = append(items, any(tree))
		}
	}
	if g.name != "" && len(items) == 1 {
		return items[0], nil
	}
	return map[string]any{"apiVersion": "v1", "kind": "List", "metadata": map[string]any{"proof": proofs}, "items": items}, nil
}

// tables writes a table for each kind; the fabrics that have it share one.
func (g *getting) tables(noHeaders bool) error {
	var order []hedgerow.KindID
	byKind := map[hedgerow.KindID][]found{}
	for _, f := range g.found {
		if byKind[f.kind.ID()] == nil {
			order = append(order, f.kind.ID())
		}
		byKind[f.kind.ID()] = append(byKind[f.kind.ID()], f)
	}
	many := len(order) > 1
	printed := false
	for _, id := range order {
		var rows []view.Row
		spaces := map[string]bool{}
		for _, f := range byKind[id] {
			for _, o := range f.objects {
				rows = append(rows, view.Row{Fabric: f.fabric.Name, Object: o.Object})
				spaces[o.Namespace] = true
			}
		}
		kind := byKind[id][0].kind
		opt := g.opt
		opt.Namespace = len(spaces) > 1
		t, err := view.Objects(kind, rows, opt, g.now())
		if err != nil {
			return err
		}
		if many {
			if len(rows) == 0 {
				continue
			}
			for i := range t.Rows {
				at := 0
				if opt.Fabric {
					at++
				}
				if opt.Namespace {
					at++
				}
				t.Rows[i][at] = kind.Singular + "/" + t.Rows[i][at]
			}
		}
		if printed {
			fmt.Fprintln(g.out)
		}
		if len(rows) > 0 {
			if noHeaders {
				columns(g.out, t.Rows[0], t.Rows[1:])
			} else {
				g.table(t)
			}
			printed = true
		}
	}
	return nil
}

// excluded reports whether the fabric's policy says not to observe the kind.
func (f found) excluded() bool { return slices.ContainsFunc(f.fabric.Policy.Exclude, f.kind.Matches) }

// unproven fails when a kind was never read whole: what was not read must not
// pass for empty.
func (g *getting) unproven() error {
	for _, f := range g.found {
		if f.proof.CompleteRun == 0 && !f.excluded() {
			return hedgerow.Errorf(cmp.Or(f.proof.Code, hedgerow.CodeNotFound), "%s of fabric %s have never been read whole: %s", f.kind.Plural, f.fabric.Name, f.proof.Message)
		}
	}
	return nil
}

// proofSentence says how old the proof of a kind is, and what went wrong since.
func proofSentence(f found, now time.Time) string {
	p := f.proof
	what := fmt.Sprintf("%s of fabric %s", f.kind.Plural, f.fabric.Name)
	switch {
	case f.excluded():
		return fmt.Sprintf("WARNING: %s are excluded from observation; this is what was there before that.", what)
	case p.CompleteRun == 0:
		return fmt.Sprintf("WARNING: %s have never been read whole: %s.", what, hedgerow.OneLine(p.Message))
	case p.Verdict != hedgerow.Complete:
		return fmt.Sprintf("WARNING: the last reading of %s failed (%s); this is what run %d proved %s ago.", what, hedgerow.OneLine(p.Message), p.CompleteRun, age(now, p.CompleteAt))
	}
	if p.Failed > 0 {
		return fmt.Sprintf("WARNING: %s: %d, of which %d could not be read anew by run %d %s ago: %s.", what, p.Present, p.Failed, p.CompleteRun, age(now, p.CompleteAt), hedgerow.OneLine(p.Message))
	}
	return fmt.Sprintf("%s: %d, proven %s ago by run %d.", what, p.Present, age(now, p.CompleteAt), p.CompleteRun)
}
