//go:build linux

// Command kube runs the real thing beside vlab: etcd and kube-apiserver, built
// from their Go modules, as two child processes on this machine. It is what
// `make test-kube` points the integration tests at: RBAC, access reviews,
// namespaces and definitions are then Kubernetes' own. It builds nothing,
// downloads nothing and knows nothing of Hedgerow; run it from any folder:
//
//	bin/kube/kube --bin bin/kube --data DIR --kubeconfig-out FILE [--users viewer,nobody] [--stdin]
//
// It prints one line when the cluster can be used, and then waits:
//
//	kube ready: https://127.0.0.1:41683 kubeconfig FILE pid 4711
//
// (the pid is kube-apiserver's, for tests that pause or kill it). SIGINT, SIGTERM
// or, with --stdin, the end of standard input stop both servers, kube-apiserver
// first. Started again on the same --data it has the same objects, authority and
// tokens. The servers' own logs are DATA/etcd.log and DATA/kube-apiserver.log.
//
// Exit codes: 0 stopped as asked, 1 failed, 2 wrong flags.
//
// The servers are built in this folder (CGO_ENABLED=0 go build -trimpath -o
// ../../bin/kube/…) as go.etcd.io/etcd/server/v3 and
// k8s.io/kubernetes/cmd/kube-apiserver; the latter needs to be told its version
// with -ldflags "-X k8s.io/component-base/version.gitVersion=v…". See the Makefile.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// options are the command line.
type options struct {
	bin, data, kubeconfig, listen, users string
	stdin                                bool
	wait                                 time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.bin, "bin", "", "folder that holds etcd and kube-apiserver (required)")
	flag.StringVar(&o.data, "data", "", "folder for objects, keys, tokens and logs (required)")
	flag.StringVar(&o.kubeconfig, "kubeconfig-out", "", "where to write admin's kubeconfig; each other user's goes to FILE.NAME (required)")
	flag.StringVar(&o.listen, "listen", "127.0.0.1:0", "loopback address of the API server; port 0 takes a free one")
	flag.StringVar(&o.users, "users", "", "further users, comma-separated; they have no rights until RBAC gives them some")
	flag.BoolVar(&o.stdin, "stdin", false, "stop when standard input ends")
	flag.DurationVar(&o.wait, "wait", 5*time.Minute, "how long the servers may take to be ready")
	flag.Parse()
	if o.bin == "" || o.data == "" || o.kubeconfig == "" || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "kube: --bin, --data and --kubeconfig-out are required, and nothing else is taken; see --help")
		os.Exit(2)
	}
	// The second signal finds no handler and ends the process at once, and the
	// kernel ends the servers with it (child.go).
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	if err := run(ctx, o); err != nil {
		fmt.Fprintf(os.Stderr, "kube: %v\n", err)
		os.Exit(1)
	}
}

// run starts both servers, says when they are ready, and stops them when ctx is
// done. Being stopped is no error, also before they were ready.
func run(ctx context.Context, o options) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if o.stdin {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin) // the end is what counts, however it comes
			cancel()
		}()
	}
	s, err := prepare(o)
	if err != nil {
		return err
	}
	etcd, err := startChild(o, "etcd", s.etcdArgs())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, etcd.stop()) }()
	// kube-apiserver waits for etcd by itself.
	api, err := startChild(o, "kube-apiserver", s.apiArgs())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, api.stop()) }()

	ready := make(chan error, 1)
	go func() { ready <- s.waitReady(ctx, o.wait) }()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-etcd.done:
			_ = api.cmd.Process.Kill() // without etcd it takes a minute to stop
			return etcd.endedAlone()
		case <-api.done:
			return api.endedAlone()
		case err := <-ready:
			if err != nil && ctx.Err() == nil {
				return errors.Join(err, api.tail())
			} else if err == nil {
				if err = s.writeKubeconfigs(o.kubeconfig); err != nil {
					return err
				}
				fmt.Printf("kube ready: %s kubeconfig %s pid %d\n", s.url(), o.kubeconfig, api.cmd.Process.Pid)
			}
			ready = nil
		}
	}
}

// servers is what both servers need to know, and who may talk to them.
type servers struct {
	data, host, port string
	etcd             string // its URL
	users            []user
}

// prepare makes what the servers find in the data folder. The serving certificate
// is kube-apiserver's own work.
func prepare(o options) (*servers, error) {
	data, err := filepath.Abs(o.data)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, err
	}
	s := &servers{data: data}
	if s.host, s.port, err = net.SplitHostPort(o.listen); err != nil {
		return nil, fmt.Errorf("--listen: %w", err)
	}
	if ip := net.ParseIP(s.host); ip == nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("--listen %s: give a loopback address; this server is for tests", o.listen)
	}
	// Neither server tells which port it got when asked for 0, so free ones are
	// found first, and held until both are known.
	e, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer func() { _ = e.Close() }() // nothing was written
	s.etcd = "http://" + e.Addr().String()
	a, err := net.Listen("tcp", o.listen)
	if err != nil {
		return nil, err
	}
	defer func() { _ = a.Close() }()
	if _, s.port, err = net.SplitHostPort(a.Addr().String()); err != nil {
		return nil, err
	}
	return s, s.makeUsers(o.users)
}

func (s *servers) url() string { return "https://" + net.JoinHostPort(s.host, s.port) }

func (s *servers) path(name string) string { return filepath.Join(s.data, name) }

func (s *servers) etcdArgs() []string {
	return []string{
		"--data-dir=" + s.path("etcd"),
		"--listen-client-urls=" + s.etcd,
		"--advertise-client-urls=" + s.etcd,
		"--listen-peer-urls=http://127.0.0.1:0", // a cluster of one has no peers
		"--unsafe-no-fsync",                     // much faster; a test's data may be lost with the machine
		"--log-level=warn",
	}
}

func (s *servers) apiArgs() []string {
	return []string{
		"--etcd-servers=" + s.etcd,
		"--bind-address=" + s.host,
		"--advertise-address=" + s.host, // else it looks for a default route, and fails without one
		"--secure-port=" + s.port,
		"--cert-dir=" + s.path("certs"),
		"--token-auth-file=" + s.path("tokens.csv"),
		"--authorization-mode=RBAC",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + s.path("service-account.key"),
		"--service-account-signing-key-file=" + s.path("service-account.key"),
		"--service-cluster-ip-range=10.0.0.0/24",
		"--endpoint-reconciler-type=none",
		// No controller manager makes the default account that it would ask for.
		"--disable-admission-plugins=ServiceAccount",
	}
}
