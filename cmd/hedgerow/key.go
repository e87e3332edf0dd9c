package main

import (
	"fmt"

	"github.com/spf13/cobra"
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
	cmd := &cobra.Command{Use: "key", Short: "Manage the key that credentials are sealed with"}
	cmd.AddCommand(rotate)
	return cmd
}
