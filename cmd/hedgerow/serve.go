package main

import (
	"net/url"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hedgerow"
)

// serveFlags are those of serve and worker.
type serveFlags struct {
	listen, metrics string
	url             string
	workers         int
	grace           time.Duration
}

// logsInfo marks the commands that run for long: by default they log more.
const logsInfo = "logs-info"

func (a *app) serveCommand() *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Observe every fabric on schedule and as it changes, until stopped",
		Long: `Read every fabric on its schedule, follow its changes in between, and answer on
the web port: the pages, for who may sign in (hedgerow user add), and /healthz
and /readyz. The port of the metrics also has /debug/pprof. Where people reach
the pages over TLS, by a proxy, --url says so: sign-ins are then kept in cookies
that never travel without it.

Several serve and worker processes may share a record in PostgreSQL: they share
the fabrics, and take over from those that die. --workers=0 leaves the work to
the others.

SIGTERM or SIGINT stops taking on work; passes under way may end within
--grace, and are recorded as interrupted after that. A second signal ends the
process at once, which does the record no harm. Under systemd, use Type=notify;
WatchdogSec is honoured.`,
		Example: `  hedgerow serve
  hedgerow serve --listen 0.0.0.0:8080 --url https://hedgerow.example --log-format json
  HEDGEROW_DB=postgres://hedgerow@db/hedgerow hedgerow serve --workers=0`,
		Args:        exactly(),
		Annotations: map[string]string{logsInfo: "yes"},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.workers < 0 {
				return hedgerow.Errorf(hedgerow.CodeInvalid, "--workers must be 0 or more")
			}
			if u, err := url.Parse(f.url); f.url != "" && (err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || strings.Trim(u.Path, "/") != "") {
				return hedgerow.Errorf(hedgerow.CodeInvalid, "--url must be the address of the pages, such as https://hedgerow.example")
			}
			return a.serve(cmd.Context(), "serve", f)
		},
	}
	f.register(cmd, "127.0.0.1:8081")
	cmd.Flags().StringVar(&f.listen, "listen", "127.0.0.1:8080", "address of the web port")
	cmd.Flags().StringVar(&f.url, "url", "", "where people reach the pages, when that is another address")
	return cmd
}

func (a *app) workerCommand() *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use:   "worker",
		Short: "Observe fabrics beside other processes, without a web port",
		Long: `Do what serve does, without the web port: make passes and follow changes for
the fabrics of a record that other processes share. It needs PostgreSQL to be
of use on another machine than theirs.`,
		Example:     `  HEDGEROW_DB=postgres://hedgerow@db/hedgerow hedgerow worker --workers 16`,
		Args:        exactly(),
		Annotations: map[string]string{logsInfo: "yes"},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.workers < 1 {
				return hedgerow.Errorf(hedgerow.CodeInvalid, "--workers must be 1 or more")
			}
			return a.serve(cmd.Context(), "worker", f)
		},
	}
	f.register(cmd, "")
	return cmd
}

func (f *serveFlags) register(cmd *cobra.Command, metrics string) {
	p := cmd.Flags()
	p.IntVar(&f.workers, "workers", 2*runtime.NumCPU(), "passes at a time in this process")
	p.DurationVar(&f.grace, "grace", 20*time.Second, "time for passes under way to end when stopped")
	p.StringVar(&f.metrics, "metrics-listen", metrics, `address of /metrics and /debug/pprof, "" for none`)
}
