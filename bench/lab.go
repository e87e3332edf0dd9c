package main

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"hedgerow"
	"hedgerow/internal/kube"
	"hedgerow/internal/manifest"
	"hedgerow/internal/pgtest"
	"hedgerow/internal/store"
	"hedgerow/internal/syncer"
)

// lab is a cluster with so many objects, and the databases to record it in.
type lab struct {
	dir     string
	vlab    *exec.Cmd
	config  string // kubeconfig
	rest    *rest.Config
	kinds   []hedgerow.Kind
	objects int
	changes int
	nth     int
	pg      *pgtest.Server
}

func startLab(ctx context.Context, bin string, n int) (*lab, error) {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, err
	}
	l := &lab{dir: dir, config: filepath.Join(dir, "kubeconfig")}
	load := []string{"--objects", fmt.Sprint(n)}
	if n == 48 {
		load = []string{"--fabric", "spine-leaf"}
	}
	l.vlab = exec.CommandContext(ctx, filepath.Join(bin, "vlab"), append([]string{"--data", filepath.Join(dir, "vlab"), "--listen", "127.0.0.1:0", "--kubeconfig-out", l.config}, load...)...)
	l.vlab.Cancel = func() error { return l.vlab.Process.Signal(syscall.SIGTERM) }
	l.vlab.Stderr = os.Stderr
	out, err := l.vlab.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := l.vlab.Start(); err != nil {
		return nil, err
	}
	s := bufio.NewScanner(out)
	for s.Scan() && !strings.HasPrefix(s.Text(), "vlab ready") {
	}
	if l.rest, err = clientcmd.BuildConfigFromFlags("", l.config); err != nil {
		return nil, fmt.Errorf("vlab did not become ready: %w", err)
	}
	c, err := l.client()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	d, err := c.Discover(ctx, nil)
	if err != nil {
		return nil, err
	}
	l.kinds = d.Kinds
	l.objects, err = l.floor(ctx)
	return l, err
}

func (l *lab) stop() error {
	var errs []error
	if l.pg != nil {
		errs = append(errs, l.pg.Stop())
	}
	_ = l.vlab.Process.Signal(syscall.SIGTERM)
	_ = l.vlab.Wait() // ended by the signal
	return errors.Join(append(errs, os.RemoveAll(l.dir))...)
}

func (l *lab) client() (*kube.Client, error) {
	cl, cred, err := kube.FromKubeconfig(l.config, "")
	if err != nil {
		return nil, err
	}
	return kube.New(cl, cred, kube.Options{Policy: hedgerow.DefaultPolicy, Mask: manifest.NewMask([]byte("bench"))})
}

// database makes an empty one.
func (l *lab) database(engine string) (where string, err error) {
	if engine == "sqlite" {
		l.nth++
		return filepath.Join(l.dir, fmt.Sprintf("%d.db", l.nth)), nil
	}
	if l.pg == nil {
		if l.pg, err = pgtest.Start(); err != nil {
			return "", err
		}
	}
	return l.pg.Create()
}

func timed(fn func() error) (time.Duration, error) {
	runtime.GC() // every contestant starts with an empty heap
	start := time.Now()
	err := fn()
	return time.Since(start), err
}

// round measures every contestant once.
func (l *lab) round(ctx context.Context, engine string) (r round, err error) {
	bare := func(into *time.Duration, fn func(context.Context) error) {
		if err == nil {
			*into, err = timed(func() error { return fn(ctx) })
		}
	}
	bare(&r.floor, func(ctx context.Context) error { _, err := l.floor(ctx); return err })
	bare(&r.dynamic, func(ctx context.Context) error { return l.dynamicClient(ctx, false) })
	bare(&r.dynamicDefault, func(ctx context.Context) error { return l.dynamicClient(ctx, true) })
	if err != nil {
		return r, err
	}
	where, err := l.database(engine)
	if err != nil {
		return r, err
	}
	db, err := store.Open(ctx, where, store.Options{KeyFile: filepath.Join(l.dir, "key.json")})
	if err != nil {
		return r, err
	}
	defer db.Close()
	f, err := db.AddFabric(ctx, hedgerow.Fabric{Name: "bench", Policy: hedgerow.DefaultPolicy}, hedgerow.Secret{}, time.Now())
	if err != nil {
		return r, err
	}
	pass := func(into *time.Duration, check func(hedgerow.Counts) bool) error {
		var run hedgerow.Run
		*into, err = timed(func() error {
			c, err := l.client()
			if err != nil {
				return err
			}
			defer c.Close()
			s := syncer.Syncer{Store: db, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
			run, err = s.Observe(ctx, c, syncer.Request{Fabric: f, Trigger: "bench"})
			return err
		})
		if err == nil && (run.Outcome != hedgerow.RunComplete || !check(run.Counts())) {
			err = fmt.Errorf("a pass proved something else than it should: %s %s %+v", run.Outcome, run.Message, run.Counts())
		}
		return err
	}
	if err := pass(&r.first, func(c hedgerow.Counts) bool { return c.Created == l.objects }); err != nil {
		return r, err
	}
	bare(&r.metadata, l.metadataOnly)
	if err != nil {
		return r, err
	}
	before, err := rows(ctx, engine, where)
	if err != nil {
		return r, err
	}
	if err := pass(&r.unchanged, func(c hedgerow.Counts) bool { return c.Unchanged == l.objects && !c.Changed() }); err != nil {
		return r, err
	}
	after, err := rows(ctx, engine, where)
	if err != nil {
		return r, err
	}
	if r.writes = "1 run"; before != after {
		r.writes = "MORE than the run"
	}
	n, err := l.change(ctx)
	if err != nil {
		return r, err
	}
	return r, pass(&r.changed, func(c hedgerow.Counts) bool { return c.Updated == n })
}

// rows counts the rows of every table but runs.
func rows(ctx context.Context, engine, where string) (s string, err error) {
	q, err := sql.Open(map[string]string{"sqlite": "sqlite", "postgres": "pgx"}[engine], where)
	if err != nil {
		return "", err
	}
	defer q.Close()
	for _, t := range []string{"objects", "history", "contents", "vitals", "kinds"} {
		var n int
		if err := q.QueryRowContext(ctx, `SELECT count(*) FROM `+t).Scan(&n); err != nil {
			return "", err
		}
		s += fmt.Sprintf("%s %d, ", t, n)
	}
	return s, nil
}

// change edits 1 % of the connections (at least one) and returns how many.
func (l *lab) change(ctx context.Context) (int, error) {
	conf := rest.CopyConfig(l.rest)
	conf.QPS, conf.Burst = 1000, 1000
	c, err := dynamic.NewForConfig(conf)
	if err != nil {
		return 0, err
	}
	var servers hedgerow.Kind
	for _, k := range l.kinds {
		if k.Plural == "connections" {
			servers = k
		}
	}
	list, err := c.Resource(gvr(servers)).Namespace("default").List(ctx, metav1.ListOptions{Limit: int64(max(1, l.objects/100))})
	if err != nil {
		return 0, err
	}
	l.changes++
	patch := fmt.Sprintf(`{"metadata":{"labels":{"bench":"%d"}}}`, l.changes)
	for _, o := range list.Items {
		if _, err := c.Resource(gvr(servers)).Namespace("default").Patch(ctx, o.GetName(), types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
			return 0, err
		}
	}
	return len(list.Items), nil
}

// memory runs the built command for a first and an unchanged pass and returns
// the most memory that each had resident.
func (l *lab) memory(ctx context.Context, engine, bin string) (first, unchanged int64, err error) {
	where, err := l.database(engine)
	if err != nil {
		return 0, 0, err
	}
	peak := func(args ...string) (int64, error) {
		cmd := exec.CommandContext(ctx, filepath.Join(bin, "hedgerow"), args...)
		cmd.Env = append(os.Environ(), "HEDGEROW_DATA="+filepath.Join(l.dir, "data"), "HEDGEROW_DB="+where, "HEDGEROW_KEY_FILE="+filepath.Join(l.dir, "memory-"+engine+".json"))
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			return 0, err
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		// What wait4 tells would be no less than this process had when it
		// forked, so the kernel's own mark is read until the end.
		var most int64
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			most = max(most, highWater(cmd.Process.Pid))
			select {
			case err := <-ended:
				if err != nil {
					err = fmt.Errorf("hedgerow %s: %w\n%s", strings.Join(args, " "), err, &out)
				}
				return most, err
			case <-tick.C:
			}
		}
	}
	if _, err := peak("fabric", "add", "bench", "--kubeconfig", l.config); err != nil {
		return 0, 0, err
	}
	if first, err = peak("sync", "bench"); err != nil {
		return 0, 0, err
	}
	unchanged, err = peak("sync", "bench")
	return first, unchanged, err
}

// highWater is the most memory that a process has had resident so far, in
// bytes; 0 when it has ended.
func highWater(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), "VmHWM:")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	kib, _ := strconv.ParseInt(fields[0], 10, 64) // the kernel writes a number
	return kib << 10
}
