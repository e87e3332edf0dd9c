// Command vlab is a laboratory: a real Kubernetes API server with the Hedgehog kinds, fabrics to fill it with, and
// simulated switch agents. See vlab --help.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"k8s.io/klog/v2"

	"hedgerow/vlab/access"
	"hedgerow/vlab/agents"
	"hedgerow/vlab/apiserver"
	"hedgerow/vlab/load"
)

// Exit codes.
const (
	exitFailed   = 1
	exitBadInput = 2
)

func main() {
	// The second signal finds no handler and ends the process at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:]))
}

func run(ctx context.Context, args []string) int {
	f, done, err := parseFlags(args)
	if done {
		return 0
	}
	var in *input
	if err == nil {
		in, err = readInput(f)
	}
	if err == nil {
		err = serve(ctx, f, in)
	}
	switch {
	case err == nil, errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return 0
	case isBadInput(err):
		fmt.Fprintf(os.Stderr, "vlab: %v\n", err)
		return exitBadInput
	default:
		fmt.Fprintf(os.Stderr, "vlab: %v\n", err)
		return exitFailed
	}
}

func isBadInput(err error) bool {
	_, inFile := errors.AsType[*load.InputError](err)
	_, inUsers := errors.AsType[*access.Error](err)
	_, inFlags := errors.AsType[*usageError](err)
	return inFile || inUsers || inFlags
}

func serve(ctx context.Context, f flags, in *input) (err error) {
	level := slog.LevelWarn
	if f.verbose {
		level = slog.LevelInfo
	} else {
		// upstream's log is for people who run clusters; it is process-wide, so only main may decide
		klog.LogToStderr(false)
		klog.SetLogger(klog.Logger{})
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))

	server, err := apiserver.Start(ctx, apiserver.Options{Data: f.data, Listen: f.listen, Tokens: f.tokens, Log: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	objects, err := in.load(ctx, f, server)
	if err != nil {
		return err
	}
	if err := server.WriteKubeconfigs(f.kubeconfig); err != nil {
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if f.agents {
		wg.Go(func() {
			if err := agents.Run(ctx, server.Client(), agents.Options{Log: log}); err != nil {
				log.Error("the agents stopped", "error", err)
			}
		})
	}
	fmt.Printf("vlab ready: %s kubeconfig %s objects %d\n", server.URL, f.kubeconfig, objects)
	select {
	case <-ctx.Done():
		return nil
	case <-server.Done():
		return errors.New("the API server ended by itself")
	}
}
