package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"hedgerow"
)

func (a *app) keyCommand() *cobra.Command {
	rotate := &cobra.Command{
		Use: "rotate", Short: "Make a new key and seal every credential anew with it", Args: exactly(),
		Long: `Make a new key in the key file, seal every credential anew with it, and drop the
older keys. A crash at any point leaves everything readable. Afterwards back up
the new key file; the old one opens nothing any more.`,
		Example: "  hedgerow key rotate",
		RunE: func(cmd *cobra.Command, _ []string) error {
			db, err := a.store(cmd.Context())
			if err != nil {
				return err
			}
			n, err := db.RotateKey(cmd.Context(), a.now())
			if err != nil {
				return err
			}
			fmt.Fprintf(a.out, "%d secrets sealed with a new key in %s\n", n, a.conf.KeyFile)
			return nil
		},
	}
	var yes bool
	reset := &cobra.Command{
		Use: "reset --yes", Short: "Begin with a new key when the key file is lost", Args: exactly(),
		Long: `Forget every credential and begin with a new key, for when the key file is lost.
Every fabric needs its credential again afterwards: hedgerow fabric edit NAME
--kubeconfig FILE. Texts that are masked show as changed once, since the marks
that stand for them are keyed too. Objects and history stay.`,
		Example: "  hedgerow key reset --yes",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !yes {
				return hedgerow.Errorf(hedgerow.CodeInvalid, "this would forget every credential").WithHint("If you mean it: hedgerow key reset --yes")
			}
			db, err := a.store(cmd.Context())
			if err != nil {
				return err
			}
			n, err := db.ResetKey(cmd.Context())
			if err != nil {
				return err
			}
			fmt.Fprintf(a.out, "%d secrets forgotten; give each fabric its credential again: hedgerow fabric edit NAME --kubeconfig FILE\n", n)
			return nil
		},
	}
	reset.Flags().BoolVar(&yes, "yes", false, "do it")
	cmd := &cobra.Command{Use: "key", Short: "Manage the key that credentials are sealed with", Args: subcommand, RunE: help}
	cmd.AddCommand(rotate, reset)
	return cmd
}
