package main

import (
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

func (a *app) describeCommand() *cobra.Command {
	var s selection
	cmd := &cobra.Command{
		Use:   "describe KIND NAME",
		Short: "Show one object: its content, its references both ways, its history",
		Example: `  hedgerow describe switch leaf-01 -F lab
  hedgerow describe conn server-01--eslag--leaf-01--leaf-02 -F lab`,
		Args: exactly("KIND", "NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			f, err := a.fabric(ctx, s.fabric)
			if err != nil {
				return err
			}
			g := getting{app: a, selection: s, name: args[1], labels: labels.Everything()}
			if err := g.read(ctx, []hedgerow.Fabric{f}, args[0]); err != nil {
				return err
			}
			n := 0
			for _, fd := range g.found {
				for _, o := range fd.objects {
					if n++; n > 1 {
						fmt.Fprintln(a.out)
					}
					if err := a.describe(ctx, fd, o); err != nil {
						return err
					}
				}
			}
			if n == 0 {
				return g.print("", false)
			}
			return nil
		},
	}
	s.register(cmd)
	return cmd
}

func (a *app) describe(ctx context.Context, f found, o hedgerow.Recorded) error {
	tree, err := view.Tree(o.Object)
	if err != nil {
		return err
	}
	line := func(k, format string, args ...any) {
		fmt.Fprintf(a.out, "%-14s %s\n", k+":", hedgerow.OneLine(fmt.Sprintf(format, args...)))
	}
	line("Name", "%s", o.Name)
	if o.Namespace != "" {
		line("Namespace", "%s", o.Namespace)
	}
	line("Kind", "%s.%s (%s)", f.kind.Kind, f.kind.Group, f.kind.Version)
	line("Fabric", "%s", f.fabric.Name)
	line("UID", "%s", o.UID)
	line("Created", "%s (%s ago, by the cluster's clock)", o.CreatedAt.Format(time.RFC3339), age(a.now(), o.CreatedAt))
	line("This content", "%s in run %d, %s ago", o.Began, o.SinceRun, age(a.now(), o.Since))
	line("Proof", "%s", proofSentence(f, a.now()))
	line("Digest", "sha256:%s", o.Digest)
	meta, _ := tree["metadata"].(map[string]any)
	for _, k := range []string{"labels", "annotations", "ownerReferences", "finalizers", "deletionTimestamp"} {
		if v, ok := meta[k]; ok {
			if err := a.section(strings.ToUpper(k[:1])+k[1:], v); err != nil {
				return err
			}
		}
	}
	for _, k := range sections(tree) {
		if err := a.section(strings.ToUpper(k[:1])+k[1:], tree[k]); err != nil {
			return err
		}
	}
	if f.kind.Rule.AllowListed() {
		fmt.Fprintln(a.out, "Only listed fields of this kind are stored: the rest may hold secrets.")
	}
	if err := a.references(ctx, f, o); err != nil {
		return err
	}
	events, err := a.db.History(ctx, f.fabric.ID, hedgerow.HistoryQuery{Kind: f.kind.ID(), Namespace: o.Namespace, Name: o.Name, Limit: 10})
	if err != nil {
		return err
	}
	fmt.Fprintln(a.out, "History:")
	for _, e := range events {
		fmt.Fprintf(a.out, "  %s  run %d  %s\n", e.At.Format(time.RFC3339), e.Run, e.What)
		if e.What == string(hedgerow.Updated) {
			if err := a.deltas(ctx, "    ", e); err != nil {
				return err
			}
		}
	}
	return nil
}

// sections are the keys of an object that describe shows one by one.
func sections(tree map[string]any) []string {
	var all []string
	for k := range tree {
		if k != "apiVersion" && k != "kind" && k != "metadata" {
			all = append(all, k)
		}
	}
	slices.Sort(all)
	return all
}

func (a *app) section(title string, v any) error {
	b, err := view.YAML(v)
	if err != nil {
		return err
	}
	text := strings.TrimSuffix(string(b), "\n")
	if !strings.Contains(text, "\n") {
		fmt.Fprintf(a.out, "%-14s %s\n", title+":", text)
		return nil
	}
	fmt.Fprintf(a.out, "%s:\n", title)
	for l := range strings.SplitSeq(text, "\n") {
		fmt.Fprintf(a.out, "  %s\n", l)
	}
	return nil
}

// references writes what an object refers to, and what refers to it.
func (a *app) references(ctx context.Context, f found, o hedgerow.Recorded) error {
	to, from, err := a.links(ctx, f.fabric, f.kind, o)
	if err != nil {
		return err
	}
	for _, side := range []struct {
		title string
		links []link
	}{{"Refers to:", to}, {"Referred to by:", from}} {
		if len(side.links) > 0 {
			fmt.Fprintln(a.out, side.title)
		}
		for _, l := range side.links {
			missing := ""
			if l.missing {
				missing = "  (not in the record)"
			}
			fmt.Fprintf(a.out, "  %s %s  by %s%s\n", l.kind.Kind, hedgerow.OneLine(l.name), l.path, missing)
		}
	}
	return nil
}
