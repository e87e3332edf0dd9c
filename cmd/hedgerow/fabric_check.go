package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"hedgerow"
	"hedgerow/internal/kube"
)

func (a *app) fabricTest() *cobra.Command {
	var o string
	cmd := &cobra.Command{
		Use:   "test NAME",
		Short: "Test the connection to a fabric's cluster, layer by layer",
		Long: `Test the connection layer by layer: name, TCP, TLS, sign-in, clock, kinds, and
the right to get, list and watch each kind. It names the layer that fails and
what to do, and prints the smallest RBAC manifest that grants what is missing.`,
		Example: "  hedgerow fabric test lab",
		Args:    exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := format(o, "", "json"); err != nil {
				return err
			}
			f, err := a.fabric(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			c, err := a.client(cmd.Context(), f)
			if err != nil {
				return err
			}
			defer c.Close()
			ctx, cancel := context.WithTimeout(cmd.Context(), f.Policy.PassTimeout)
			defer cancel()
			r := c.Check(ctx, func(k hedgerow.Kind) bool { return slices.ContainsFunc(f.Policy.Exclude, k.Matches) })
			if o == "json" {
				err = a.json(struct {
					OK bool `json:"ok"`
					kube.Report
				}{r.OK(), r})
			} else {
				a.report(r)
			}
			if err == nil && !r.OK() {
				return exitError(exitFailed)
			}
			return err
		},
	}
	cmd.Flags().StringVarP(&o, "output", "o", "", "json")
	return cmd
}

func (a *app) report(r kube.Report) {
	for _, s := range r.Steps {
		fmt.Fprintf(a.out, "%-8s %-8s %s\n", s.Layer, s.Result, s.Sentence)
		if s.Hint != "" {
			fmt.Fprintf(a.out, "%-17s %s\n", "", s.Hint)
		}
	}
	if r.Manifest != "" {
		fmt.Fprintf(a.out, "\n# Apply this to the cluster with kubectl as an administrator:\n%s", r.Manifest)
	}
}
