// Command bench measures what DESIGN P9 promises: how long a pass takes beside
// three bare clients that read the same lists in the same minute. It prints a
// table in Markdown; BENCHMARKS.md holds one.
//
// Every round runs all contestants one after another, so that a machine that
// gets slower gets slower for all; the table shows medians over the rounds,
// and ratios of rounds.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	sizes := flag.String("sizes", "48,1000,10000,100000", "objects in the cluster, comma-separated")
	engines := flag.String("engines", "sqlite,postgres", "databases, comma-separated")
	rounds := flag.Int("rounds", 5, "rounds; a third of that at 100,000 objects")
	bin := flag.String("bin", "../bin", "folder of the built hedgerow and vlab")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *sizes, *engines, *bin, *rounds, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, sizes, engines, bin string, rounds int, out io.Writer) error {
	fmt.Fprintf(out, "%s, %s/%s, %d cores, %s\n\n", time.Now().UTC().Format("2006-01-02"), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version())
	fmt.Fprintln(out, "| objects | engine | raw GET + thin decode | metadata only | dynamic client | dynamic, default limits | first pass | unchanged | 1 % changed | first ÷ floor | first ÷ dynamic | unchanged ÷ metadata | writes if unchanged | peak memory first / unchanged |")
	fmt.Fprintln(out, "|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|--:|")
	for size := range strings.SplitSeq(sizes, ",") {
		n, err := strconv.Atoi(size)
		if err != nil {
			return fmt.Errorf("size %q is not a number", size)
		}
		r := rounds
		if n >= 100_000 {
			r = max(1, rounds/3)
		}
		if err := measure(ctx, n, r, strings.Split(engines, ","), bin, out); err != nil {
			return fmt.Errorf("%d objects: %w", n, err)
		}
	}
	return nil
}

// measure measures one size on every engine.
func measure(ctx context.Context, n, rounds int, engines []string, bin string, out io.Writer) (err error) {
	lab, err := startLab(ctx, bin, n)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lab.stop()) }()
	for _, engine := range engines {
		var all []round
		for i := range rounds {
			fmt.Fprintf(os.Stderr, "%d objects, %s, round %d of %d\n", n, engine, i+1, rounds)
			r, err := lab.round(ctx, engine)
			if err != nil {
				return fmt.Errorf("%s: %w", engine, err)
			}
			all = append(all, r)
		}
		first, unchanged, err := lab.memory(ctx, engine, bin)
		if err != nil {
			return err
		}
		ms := func(f func(round) time.Duration) string { return fmt.Sprintf("%d ms", median(all, f).Milliseconds()) }
		ratio := func(a, b func(round) time.Duration) string {
			return fmt.Sprintf("%.2f", ratios(all, a, b))
		}
		fmt.Fprintf(out, "| %d | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %d / %d MiB |\n", lab.objects, engine,
			ms(byFloor), ms(byMetadata), ms(byDynamic), ms(byDefaults), ms(firstPass), ms(unchangedPass), ms(changedPass),
			ratio(firstPass, byFloor), ratio(firstPass, byDynamic), ratio(unchangedPass, byMetadata), all[0].writes, first>>20, unchanged>>20)
	}
	return nil
}

// round is one measurement of every contestant.
type round struct {
	floor, metadata, dynamic, dynamicDefault time.Duration
	first, unchanged, changed                time.Duration
	writes                                   string
}

func byFloor(r round) time.Duration       { return r.floor }
func byMetadata(r round) time.Duration    { return r.metadata }
func byDynamic(r round) time.Duration     { return r.dynamic }
func byDefaults(r round) time.Duration    { return r.dynamicDefault }
func firstPass(r round) time.Duration     { return r.first }
func unchangedPass(r round) time.Duration { return r.unchanged }
func changedPass(r round) time.Duration   { return r.changed }

func median(all []round, f func(round) time.Duration) time.Duration {
	var ds []time.Duration
	for _, r := range all {
		ds = append(ds, f(r))
	}
	slices.Sort(ds)
	return ds[len(ds)/2]
}

func ratios(all []round, a, b func(round) time.Duration) float64 {
	var rs []float64
	for _, r := range all {
		rs = append(rs, float64(a(r))/float64(b(r)))
	}
	slices.Sort(rs)
	return rs[len(rs)/2]
}
