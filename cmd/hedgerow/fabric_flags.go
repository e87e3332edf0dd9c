package main

import (
	"time"

	"github.com/spf13/cobra"

	"hedgerow"
	"hedgerow/internal/kube"
)

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
	mode                               string
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
	p.StringVar(&f.interval, "interval", "", "time between passes: 30s to 24h, or 0 or manual for on request only (default 5m)")
	p.DurationVar(&f.connect, "connect-timeout", 0, "for TCP and for TLS (default 5s)")
	p.DurationVar(&f.request, "request-timeout", 0, "until an answer begins, and between signs of progress (default 30s)")
	p.DurationVar(&f.pass, "pass-timeout", 0, "for one whole pass (default 10m)")
	p.Float64Var(&f.qps, "qps", 0, "requests a second to this cluster (default 50)")
	p.IntVar(&f.burst, "burst", 0, "requests that may go ahead of --qps (default 100)")
	p.IntVar(&f.pageSize, "page-size", 0, "objects a list page; 0 reads whole lists, which is faster")
	p.Float64Var(&f.maxDeleteShare, "max-delete-share", 0, "a pass that finds more than this share gone stops and asks (default 0.5)")
	p.IntVar(&f.maxDeleteFloor, "max-delete-floor", 0, "... unless fewer than this many are gone (default 10)")
	p.StringVar(&f.mode, "mode", "", "watch: see changes as they happen; poll: by passes only (default watch)")
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
	if err := f.policy(cmd, &fab.Policy); err != nil || cred == nil {
		return nil, err
	}
	// What does not fit together should not wait for the first pass to show.
	c, err := kube.New(*fab.Cluster, *cred, kube.Options{Policy: fab.Policy})
	if err != nil {
		return nil, err
	}
	c.Close()
	return cred, nil
}

func (f *fabricFlags) policy(cmd *cobra.Command, p *hedgerow.Policy) error {
	set := cmd.Flags().Changed
	if set("interval") {
		if f.interval == "manual" || f.interval == "0" {
			p.Interval = hedgerow.Manual
		} else {
			d, err := time.ParseDuration(f.interval)
			if err != nil {
				return hedgerow.Errorf(hedgerow.CodeInvalid, "interval %q: use a duration such as 5m, or manual", f.interval)
			}
			p.Interval = d
		}
	}
	for name, zero := range map[string]bool{
		"connect-timeout": f.connect <= 0, "request-timeout": f.request <= 0, "pass-timeout": f.pass <= 0, "qps": f.qps <= 0,
		"burst": f.burst <= 0, "max-delete-share": f.maxDeleteShare <= 0, "max-delete-floor": f.maxDeleteFloor <= 0,
	} {
		if set(name) && zero {
			return hedgerow.Errorf(hedgerow.CodeInvalid, "--%s must be more than 0", name)
		}
	}
	for name, change := range map[string]func(){
		"connect-timeout": func() { p.ConnectTimeout = f.connect }, "request-timeout": func() { p.RequestTimeout = f.request },
		"pass-timeout": func() { p.PassTimeout = f.pass }, "qps": func() { p.QPS = f.qps }, "burst": func() { p.Burst = f.burst },
		"page-size": func() { p.PageSize = f.pageSize }, "max-delete-share": func() { p.MaxDeleteShare = f.maxDeleteShare },
		"max-delete-floor": func() { p.MaxDeleteFloor = f.maxDeleteFloor }, "exclude": func() { p.Exclude = f.exclude }, "mode": func() { p.Mode = hedgerow.Mode(f.mode) },
	} {
		if set(name) {
			change()
		}
	}
	*p = p.WithDefaults()
	return p.Validate()
}
