package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hedgerow"
	"hedgerow/internal/kube"
)

func (a *app) fabricCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "fabric", Aliases: []string{"fabrics"}, Short: "Add, test, change and remove fabrics"}
	cmd.AddCommand(a.fabricAdd(), a.fabricList(), a.fabricShow(), a.fabricEdit(), a.fabricRemove(), a.fabricTest())
	return cmd
}

// fabricFlags are what add and edit have in common.
type fabricFlags struct {
	kubeconfig, context, namespace     string
	server, tokenFile, caFile, tlsName string
	allNamespaces, insecure            bool
	interval                           string
	connect, request, pass             time.Duration
	qps                                float64
	burst, pageSize, maxDeleteFloor    int
	maxDeleteShare                     float64
	exclude                            []string
}

func (f *fabricFlags) register(cmd *cobra.Command) {
	p := cmd.Flags()
	p.StringVar(&f.kubeconfig, "kubeconfig", "", "kubeconfig file to take server and credential from")
	p.StringVar(&f.context, "context", "", "context in it (default its current one)")
	p.StringVar(&f.server, "server", "", "URL of the API server, instead of a kubeconfig")
	p.StringVar(&f.tokenFile, "token-file", "", "file with a bearer token")
	p.StringVar(&f.caFile, "ca-file", "", "file with the authority that signed the server's certificate (PEM)")
	p.StringVar(&f.tlsName, "tls-server-name", "", "name to expect in the server's certificate")
	p.BoolVar(&f.insecure, "insecure", false, "do NOT verify the server's certificate")
	p.StringVarP(&f.namespace, "namespace", "n", "default", "namespace to observe")
	p.BoolVar(&f.allNamespaces, "all-namespaces", false, "observe every namespace")
	p.StringVar(&f.interval, "interval", "", "time between passes, 30s to 24h, or manual (default 5m)")
	p.DurationVar(&f.connect, "connect-timeout", 0, "for TCP and for TLS (default 5s)")
	p.DurationVar(&f.request, "request-timeout", 0, "until an answer begins, and between signs of progress (default 30s)")
	p.DurationVar(&f.pass, "pass-timeout", 0, "for one whole pass (default 10m)")
	p.Float64Var(&f.qps, "qps", 0, "requests a second to this cluster (default 50)")
	p.IntVar(&f.burst, "burst", 0, "requests that may go ahead of --qps (default 100)")
	p.IntVar(&f.pageSize, "page-size", 0, "objects a list page; 0 reads whole lists, which is faster")
	p.Float64Var(&f.maxDeleteShare, "max-delete-share", 0, "a pass that finds more than this share gone stops and asks (default 0.5)")
	p.IntVar(&f.maxDeleteFloor, "max-delete-floor", 0, "... unless fewer than this many are gone (default 10)")
	p.StringSliceVar(&f.exclude, "exclude", nil, "kinds not to observe, such as agents (comma-separated)")
}

// apply changes fab by the flags that were given, and returns the credential
// if they give one.
func (f *fabricFlags) apply(cmd *cobra.Command, fab *hedgerow.Fabric) (*kube.Credential, error) {
	set := cmd.Flags().Changed
	var cred *kube.Credential
	switch {
	case f.kubeconfig != "" && f.server != "":
		return nil, hedgerow.Errorf(hedgerow.CodeInvalid, "give either --kubeconfig or --server, not both")
	case f.kubeconfig != "":
		cl, c, err := kube.FromKubeconfig(f.kubeconfig, f.context)
		if err != nil {
			return nil, err
		}
		if fab.Cluster != nil {
			cl.Namespace = fab.Cluster.Namespace
		}
		fab.Cluster, cred = &cl, &c
	case f.context != "":
		return nil, hedgerow.Errorf(hedgerow.CodeInvalid, "--context needs --kubeconfig")
	case f.server != "" || f.tokenFile != "" || f.caFile != "":
		if fab.Cluster == nil {
			if f.server == "" {
				return nil, hedgerow.Errorf(hedgerow.CodeInvalid, "--token-file and --ca-file need --server")
			}
			fab.Cluster = &hedgerow.Cluster{Namespace: "default"}
		} else if f.server != "" && (f.tokenFile == "" || f.caFile == "") && f.server != fab.Cluster.Server {
			// A credential must never go to a server that it was not given for.
			return nil, hedgerow.Errorf(hedgerow.CodeInvalid, "another server needs its own credential: give --token-file and --ca-file with --server")
		}
		c, err := kube.FromFlags(f.tokenFile, f.caFile)
		if err != nil {
			return nil, err
		}
		if f.server != "" {
			fab.Cluster.Server = f.server
		}
		fab.Cluster.Auth, fab.Cluster.Context = c.Auth(), ""
		cred = &c
	}
	if fab.Cluster != nil {
		if set("namespace") {
			fab.Cluster.Namespace = f.namespace
		}
		if f.allNamespaces {
			fab.Cluster.Namespace = ""
		}
		if set("tls-server-name") {
			fab.Cluster.TLSServerName = f.tlsName
		}
		if set("insecure") {
			fab.Cluster.Insecure = f.insecure
		}
		if _, err := kube.ParseServer(fab.Cluster.Server); err != nil {
			return nil, err
		}
	}
	return cred, f.policy(cmd, &fab.Policy)
}

func (f *fabricFlags) policy(cmd *cobra.Command, p *hedgerow.Policy) error {
	set := cmd.Flags().Changed
	if set("interval") {
		if f.interval == "manual" {
			p.Interval = hedgerow.Manual
		} else {
			d, err := time.ParseDuration(f.interval)
			if err != nil {
				return hedgerow.Errorf(hedgerow.CodeInvalid, "interval %q: use a duration such as 5m, or manual", f.interval)
			}
			p.Interval = d
		}
	}
	for name, change := range map[string]func(){
		"connect-timeout": func() { p.ConnectTimeout = f.connect }, "request-timeout": func() { p.RequestTimeout = f.request },
		"pass-timeout": func() { p.PassTimeout = f.pass }, "qps": func() { p.QPS = f.qps }, "burst": func() { p.Burst = f.burst },
		"page-size": func() { p.PageSize = f.pageSize }, "max-delete-share": func() { p.MaxDeleteShare = f.maxDeleteShare },
		"max-delete-floor": func() { p.MaxDeleteFloor = f.maxDeleteFloor }, "exclude": func() { p.Exclude = f.exclude },
	} {
		if set(name) {
			change()
		}
	}
	*p = p.WithDefaults()
	return p.Validate()
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
			if fab.Cluster.Insecure {
				a.note("WARNING: the server's certificate is NOT verified.")
			}
			a.note("Next: hedgerow fabric test %s, or hedgerow sync %s", fab.Name, fab.Name)
			return nil
		},
	}
	f.register(cmd)
	return cmd
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
			cred, err := f.apply(cmd, &fab)
			if err != nil {
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

// mergeCredential keeps of the stored credential what the flags did not give.
func (a *app) mergeCredential(ctx context.Context, f hedgerow.Fabric, c kube.Credential) (kube.Credential, error) {
	sealed, err := a.db.Credential(ctx, f.ID)
	if err != nil {
		return c, err
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

func (a *app) fabricList() *cobra.Command {
	var o string
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the fabrics", Args: exactly(),
		Example: "  hedgerow fabric list -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := format(o, "", "json", "name"); err != nil {
				return err
			}
			db, err := a.store(cmd.Context())
			if err != nil {
				return err
			}
			all, err := db.Fabrics(cmd.Context())
			if err != nil {
				return err
			}
			var rows [][]string
			list := []fabricJSON{}
			for _, f := range all {
				facts, err := a.facts(cmd.Context(), f)
				if err != nil {
					return err
				}
				st := hedgerow.StatusOf(facts, a.now())
				list = append(list, describeFabric(f))
				row := []string{f.Name, string(st.Badge), "", "", fmt.Sprint(facts.Objects), age(a.now(), facts.LastComplete)}
				if f.Cluster != nil {
					row[2], row[3] = f.Cluster.Server, namespace(f.Cluster.Namespace)
				}
				rows = append(rows, row)
			}
			switch o {
			case "json":
				return a.json(list)
			case "name":
				for _, f := range all {
					fmt.Fprintln(a.out, f.Name)
				}
				return nil
			}
			if len(all) == 0 {
				a.note("There is no fabric yet. Add one: hedgerow fabric add NAME --kubeconfig FILE")
				return nil
			}
			columns(a.out, []string{"NAME", "STATUS", "SERVER", "NAMESPACE", "OBJECTS", "PROOF"}, rows)
			return nil
		},
	}
	cmd.Flags().StringVarP(&o, "output", "o", "", "json or name")
	return cmd
}

// age is how long ago t was, "never" for no time.
func age(now, t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return hedgerow.Age(now.Sub(t))
}

type fabricJSON struct {
	Name      string            `json:"name"`
	Cluster   *hedgerow.Cluster `json:"cluster"`
	Policy    map[string]any    `json:"policy"`
	Suspended bool              `json:"suspended"`
	Version   int64             `json:"version"`
	CreatedAt time.Time         `json:"createdAt"`
	UpdatedAt time.Time         `json:"updatedAt"`
}

func describeFabric(f hedgerow.Fabric) fabricJSON {
	p := f.Policy
	interval := p.Interval.String()
	if p.Interval == hedgerow.Manual {
		interval = "manual"
	}
	policy := map[string]any{
		"interval": interval, "connectTimeout": p.ConnectTimeout.String(), "requestTimeout": p.RequestTimeout.String(),
		"passTimeout": p.PassTimeout.String(), "qps": p.QPS, "burst": p.Burst, "pageSize": p.PageSize,
		"maxDeleteShare": p.MaxDeleteShare, "maxDeleteFloor": p.MaxDeleteFloor, "exclude": append([]string{}, p.Exclude...),
	}
	return fabricJSON{f.Name, f.Cluster, policy, f.Suspended, f.Version, f.CreatedAt, f.UpdatedAt}
}

func (a *app) fabricShow() *cobra.Command {
	var o string
	cmd := &cobra.Command{
		Use: "show NAME", Short: "Show a fabric's settings", Args: exactly("NAME"),
		Example: "  hedgerow fabric show lab",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := format(o, "", "json"); err != nil {
				return err
			}
			f, err := a.fabric(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			d := describeFabric(f)
			if o == "json" {
				return a.json(d)
			}
			line := func(k string, v any) { fmt.Fprintf(a.out, "%-18s %v\n", k+":", v) }
			line("Name", f.Name)
			if c := f.Cluster; c != nil {
				line("Server", c.Server)
				line("Namespace", namespace(c.Namespace))
				line("Signing in by", c.Auth+" (sealed)")
				if c.Context != "" {
					line("From context", hedgerow.OneLine(c.Context))
				}
				if c.TLSServerName != "" {
					line("TLS server name", c.TLSServerName)
				}
				line("Certificate", map[bool]string{false: "verified", true: "NOT verified"}[c.Insecure])
			}
			line("Suspended", f.Suspended)
			for _, k := range []string{"interval", "connectTimeout", "requestTimeout", "passTimeout", "qps", "burst", "pageSize", "maxDeleteShare", "maxDeleteFloor"} {
				line(strings.ToUpper(k[:1])+k[1:], d.Policy[k])
			}
			line("Exclude", strings.Join(f.Policy.Exclude, ", "))
			line("Version", f.Version)
			line("Added", f.CreatedAt.Format(time.RFC3339))
			return nil
		},
	}
	cmd.Flags().StringVarP(&o, "output", "o", "", "json")
	return cmd
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
