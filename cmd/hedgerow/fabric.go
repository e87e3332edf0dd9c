package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"hedgerow"
	"hedgerow/internal/kube"
)

func (a *app) fabricCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "fabric", Aliases: []string{"fabrics"}, Short: "Add, test, change and remove fabrics", Args: subcommand, RunE: help}
	cmd.AddCommand(a.fabricAdd(), a.fabricList(), a.fabricShow(), a.fabricEdit(), a.fabricSuspend(true), a.fabricSuspend(false), a.fabricRemove(), a.fabricTest())
	return cmd
}

func (a *app) fabricAdd() *cobra.Command {
	var f fabricFlags
	cmd := &cobra.Command{
		Use:   "add NAME --kubeconfig FILE",
		Short: "Add a fabric",
		Long: `Add a fabric by a kubeconfig, or by server, token and authority. The credential
is read now, sealed with the key file, and never shown again. The fabric is
added also when its cluster cannot be reached just then.`,
		Example: `  hedgerow fabric add lab --kubeconfig ~/.kube/config --context lab
  hedgerow fabric add dc1 --server https://10.0.0.1:6443 --token-file token --ca-file ca.pem`,
		Args: exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.kubeconfig == "" && f.server == "" {
				return hedgerow.Errorf(hedgerow.CodeInvalid, "where is the cluster?").WithHint("Give --kubeconfig FILE, or --server URL --token-file FILE --ca-file FILE.")
			}
			fab := hedgerow.Fabric{Name: args[0], Policy: hedgerow.DefaultPolicy}
			cred, err := f.apply(cmd, &fab)
			if err != nil {
				return err
			}
			packed, err := cred.Pack()
			if err != nil {
				return err
			}
			db, err := a.store(cmd.Context())
			if err != nil {
				return err
			}
			if fab, err = db.AddFabric(cmd.Context(), fab, packed, a.now()); err != nil {
				return err
			}
			fmt.Fprintf(a.out, "fabric %s added: %s, namespace %s, signing in by %s\n", fab.Name, fab.Cluster.Server, namespace(fab.Cluster.Namespace), fab.Cluster.Auth)
			if !fab.Cluster.Trusted() {
				a.note("WARNING: the server is NOT verified: %s.", trust(*fab.Cluster))
			}
			a.note("Next: hedgerow fabric test %s, then hedgerow sync %s, or leave it to a running hedgerow serve", fab.Name, fab.Name)
			return nil
		},
	}
	f.register(cmd)
	return cmd
}

// trust says how far a cluster is what it says it is.
func trust(c hedgerow.Cluster) string {
	switch {
	case c.Trusted():
		return "its certificate is verified"
	case c.Insecure:
		return "its certificate is not looked at"
	default:
		return "the connection is not encrypted, and the token is sent in clear"
	}
}

func namespace(ns string) string {
	if ns == "" {
		return "(all)"
	}
	return ns
}

func (a *app) fabricEdit() *cobra.Command {
	var f fabricFlags
	var suspend, resume bool
	cmd := &cobra.Command{
		Use:   "edit NAME",
		Short: "Change a fabric: only what you name is changed",
		Example: `  hedgerow fabric edit lab --interval 1m --exclude agents
  hedgerow fabric edit lab --token-file new-token --ca-file ca.pem
  hedgerow fabric edit lab --suspend`,
		Args: exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().NFlag() == 0 {
				return hedgerow.Errorf(hedgerow.CodeInvalid, "nothing to change").WithHint("See: hedgerow fabric edit --help")
			}
			fab, err := a.fabric(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if suspend && resume {
				return hedgerow.Errorf(hedgerow.CodeInvalid, "give either --suspend or --resume, not both")
			}
			fab.Suspended = fab.Suspended && !resume || suspend
			var before hedgerow.Cluster
			if fab.Cluster != nil {
				before = *fab.Cluster
			}
			cred, err := f.apply(cmd, &fab)
			if err != nil {
				return err
			}
			if err := a.sameScope(cmd.Context(), fab, before); err != nil {
				return err
			}
			var packed *hedgerow.Secret
			if cred != nil {
				if f.kubeconfig == "" {
					if *cred, err = a.mergeCredential(cmd.Context(), fab, *cred); err != nil {
						return err
					}
					fab.Cluster.Auth = cred.Auth()
				}
				p, err := cred.Pack()
				if err != nil {
					return err
				}
				packed = &p
			}
			if err := a.db.UpdateFabric(cmd.Context(), fab, packed, a.now()); err != nil {
				return err
			}
			fmt.Fprintf(a.out, "fabric %s changed\n", fab.Name)
			return nil
		},
	}
	f.register(cmd)
	cmd.Flags().BoolVar(&suspend, "suspend", false, "stop observing")
	cmd.Flags().BoolVar(&resume, "resume", false, "observe again")
	return cmd
}

// fabricSuspend is the command suspend, or resume.
func (a *app) fabricSuspend(suspend bool) *cobra.Command {
	word, done, short := "resume", "resumed", "Observe a suspended fabric again, beginning at once"
	if suspend {
		word, done, short = "suspend", "suspended", "Stop observing a fabric; what is recorded of it stays"
	}
	return &cobra.Command{
		Use: word + " NAME", Short: short, Args: exactly("NAME"), Example: "  hedgerow fabric " + word + " lab",
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := a.fabric(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if f.Suspended == suspend {
				a.note("fabric %s is %s already", f.Name, done)
				return nil
			}
			f.Suspended = suspend
			if err := a.db.UpdateFabric(cmd.Context(), f, nil, a.now()); err != nil {
				return err
			}
			fmt.Fprintf(a.out, "fabric %s %s\n", f.Name, done)
			return nil
		},
	}
}

// sameScope refuses what would make recorded objects look deleted though
// nobody deleted them, and words that exclude nothing.
func (a *app) sameScope(ctx context.Context, f hedgerow.Fabric, before hedgerow.Cluster) error {
	ks, err := a.kinds(ctx, f)
	if err != nil || len(ks) == 0 {
		return err
	}
	for _, word := range f.Policy.Exclude {
		if !slices.ContainsFunc(ks, func(k hedgerow.Kind) bool { return k.Matches(word) }) {
			return hedgerow.Errorf(hedgerow.CodeInvalid, "fabric %s has no kind %q to exclude", f.Name, word).WithHint("See what it has: hedgerow status %s", f.Name)
		}
	}
	if f.Cluster == nil || f.Cluster.Namespace == before.Namespace || f.Cluster.Namespace == "" {
		return nil
	}
	counts, err := a.db.Counts(ctx, f.ID)
	if err != nil || len(counts) == 0 {
		return err
	}
	return hedgerow.Errorf(hedgerow.CodeInvalid, "fabric %s has recorded namespace %s: observing %s instead would make its objects look deleted", f.Name, namespace(before.Namespace), f.Cluster.Namespace).
		WithHint("Add a fabric of its own for namespace %s, or remove this one first.", f.Cluster.Namespace)
}

// mergeCredential keeps of the stored credential what the flags did not give.
func (a *app) mergeCredential(ctx context.Context, f hedgerow.Fabric, c kube.Credential) (kube.Credential, error) {
	sealed, err := a.db.Credential(ctx, f.ID)
	if err != nil {
		return c, err
	}
	if sealed.IsZero() {
		return c, nil
	}
	old, err := kube.Unpack(sealed)
	if err != nil {
		return c, err
	}
	if c.Token.IsZero() {
		if len(c.CA) > 0 {
			old.CA = c.CA
		}
		return old, nil
	}
	if len(c.CA) == 0 {
		c.CA = old.CA
	}
	c.ProxyURL = old.ProxyURL
	return c, nil
}

func (a *app) fabricRemove() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "remove NAME --yes", Aliases: []string{"rm", "delete"}, Short: "Remove a fabric and everything recorded of it", Args: exactly("NAME"),
		Long:    "Remove a fabric, its credential, its objects, its history and its runs from the\nrecord. The cluster itself is not touched.",
		Example: "  hedgerow fabric remove lab --yes",
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := a.fabric(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			facts, err := a.facts(cmd.Context(), f)
			if err != nil {
				return err
			}
			if !yes {
				return hedgerow.Errorf(hedgerow.CodeInvalid, "this would remove fabric %s with %s and their whole history from the record", f.Name, hedgerow.Count(facts.Objects, "object")).
					WithHint("If you mean it: hedgerow fabric remove %s --yes", f.Name)
			}
			if err := a.db.RemoveFabric(cmd.Context(), f.ID); err != nil {
				return err
			}
			fmt.Fprintf(a.out, "fabric %s removed, with %s and their history\n", f.Name, hedgerow.Count(facts.Objects, "object"))
			return nil
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do it")
	return cmd
}
