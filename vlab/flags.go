package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"hedgerow/vlab/generate"
)

// flags are the command line.
type flags struct {
	data, listen, kubeconfig, tokens, crds, fabric string
	load                                           []string
	objects, namespaces                            int
	agents, strictLoad, verbose                    bool
}

// usageError is a mistake on the command line.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

const about = `vlab runs a real Kubernetes API server with the Hedgehog kinds on this machine, to develop, test and show with.
It needs no cluster, no container engine and no network. When it serves, it prints one line on stdout:

  vlab ready: https://127.0.0.1:6444 kubeconfig /tmp/lab/kubeconfig objects 48

Examples:
  vlab --data /tmp/lab --fabric spine-leaf --agents     the reference fabric, with switches that report
  kubectl --kubeconfig /tmp/lab/kubeconfig get switches

  vlab --data /tmp/a --listen 127.0.0.1:0 --load fabric.yaml --load more/     your own objects, on a free port
  vlab --data /tmp/b --tokens users.yaml                                      your own users and rules
  vlab --data /tmp/d --fabric spine-leaf --namespaces 200                     many fabrics, a namespace each
  vlab --data /tmp/c --crds crds/ --load old.yaml                             another release's definitions

A users file; vlab reads it again when it changes:
  - name: admin
    token: secret-1
    rules: [{verbs: ["*"], groups: ["*"], resources: ["*"]}]
  - name: no-switches
    token: secret-2
    expires: 10m                              # after the start, or a time: 2026-12-31T12:00:00Z
    rules:
    - {verbs: [get, list, watch], groups: ["vpc.githedgehog.com"], resources: ["*"]}
    - {verbs: [list], groups: ["wiring.githedgehog.com"], resources: [connections, switches/status], namespaces: [default]}

Exit codes: 0 stopped by a signal, 1 failed, 2 something in the command line or a file is wrong.

Flags:
`

// parseFlags reads the command line; done says that help was asked for and given.
func parseFlags(args []string) (f flags, done bool, err error) {
	set := pflag.NewFlagSet("vlab", pflag.ContinueOnError)
	set.SortFlags = false
	set.Usage = func() {} // an error is one sentence; help is asked for
	set.StringVar(&f.data, "data", "", "directory for everything that is kept: objects, certificates, tokens (required)")
	set.StringVar(&f.listen, "listen", "127.0.0.1:6444", "address to serve on; port 0 takes a free one")
	set.StringVar(&f.kubeconfig, "kubeconfig-out", "", "where to write admin's kubeconfig; each other user's goes to FILE.NAME (default DATA/kubeconfig)")
	set.StringVar(&f.tokens, "tokens", "", "users, their tokens and rules (default DATA/tokens.yaml, made with admin and viewer)")
	set.StringVar(&f.crds, "crds", "", "install the definitions in this directory (or file) instead of the built-in ones")
	set.StringArrayVar(&f.load, "load", nil, "create or update the objects of this YAML file or directory; may be given again, and further names may follow")
	set.StringVar(&f.fabric, "fabric", "", "create a built-in fabric: "+strings.Join(generate.Names(), ", "))
	set.IntVar(&f.objects, "objects", 0, "create a load fabric of `N` objects")
	set.IntVar(&f.namespaces, "namespaces", 0, "put what --fabric and --objects create into `N` namespaces, fab-001 and so on, each a fabric of its own, instead of into default")
	set.BoolVar(&f.agents, "agents", false, "simulate the agent of every switch")
	set.BoolVar(&f.strictLoad, "strict-load", false, "exit 1 when the server refuses an object of --load or --fabric, instead of going on")
	set.BoolVar(&f.verbose, "verbose", false, "show the API server's own log on stderr")
	if err := set.Parse(args); errors.Is(err, pflag.ErrHelp) {
		fmt.Print(about, set.FlagUsages())
		return f, true, nil
	} else if err != nil {
		return f, false, usagef("%v (vlab --help lists the flags)", err)
	}
	if set.NArg() > 0 && len(f.load) == 0 {
		return f, false, usagef("unexpected %q: files to load need --load before them", set.Arg(0))
	}
	f.load = append(f.load, set.Args()...)
	return f, false, f.complete()
}

func (f *flags) complete() error {
	if f.data == "" {
		return usagef("--data is missing: name a directory that vlab may fill, such as --data /tmp/lab")
	}
	if info, err := os.Stat(f.data); err == nil && !info.IsDir() {
		return usagef("--data %s is not a directory", f.data)
	}
	if _, _, err := net.SplitHostPort(f.listen); err != nil {
		return usagef("--listen %q is not HOST:PORT: try 127.0.0.1:0", f.listen)
	}
	if f.objects < 0 {
		return usagef("--objects %d: give a number above zero", f.objects)
	}
	if f.namespaces < 0 {
		return usagef("--namespaces %d: give a number above zero", f.namespaces)
	}
	if f.namespaces > 0 && f.fabric == "" && f.objects == 0 {
		return usagef("--namespaces %d: say what they shall hold, with --fabric or --objects", f.namespaces)
	}
	if f.fabric != "" && !slices.Contains(generate.Names(), f.fabric) {
		return usagef("--fabric %q: there are %s", f.fabric, strings.Join(generate.Names(), ", "))
	}
	if f.kubeconfig == "" {
		f.kubeconfig = filepath.Join(f.data, "kubeconfig")
	}
	if info, err := os.Stat(filepath.Dir(f.kubeconfig)); f.kubeconfig != filepath.Join(f.data, "kubeconfig") && (err != nil || !info.IsDir()) {
		return usagef("--kubeconfig-out %s: there is no directory %s", f.kubeconfig, filepath.Dir(f.kubeconfig))
	}
	return nil
}
