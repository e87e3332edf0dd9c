// Package lab is what the end-to-end tests stand on: the built binaries, a
// real API server (vlab, or a kube-apiserver when HEDGEROW_TEST_KUBE says so),
// and a folder for each test. It knows nothing of how Hedgerow works inside.
package lab

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// root is the folder of the repository: the one above the test's own that has
// the product's and vlab's modules.
func root() string {
	dir, err := os.Getwd()
	for err == nil && dir != filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "vlab", "go.mod")); err == nil {
			return dir
		}
		dir = filepath.Dir(dir)
	}
	return "."
}

// Fixtures returns a folder or file of the shared fixtures, and skips the test
// where they are not at hand.
func Fixtures(tb testing.TB, path ...string) string {
	tb.Helper()
	p := filepath.Join(append([]string{root(), "..", "shared", "fixtures"}, path...)...)
	if _, err := os.Stat(p); err != nil {
		tb.Skipf("the shared fixtures are not beside this checkout (%s)", p)
	}
	return p
}

var built struct {
	once sync.Once
	err  error
}

// Binary returns the path of bin/hedgerow or bin/vlab, built from this tree.
func Binary(tb testing.TB, name string) string {
	tb.Helper()
	built.once.Do(func() {
		for _, b := range []struct{ dir, pkg, out string }{{".", "./cmd/hedgerow", "hedgerow"}, {"vlab", ".", "vlab"}} {
			c := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(root(), "bin", b.out), b.pkg)
			c.Dir = filepath.Join(root(), b.dir)
			c.Env = append(os.Environ(), "CGO_ENABLED=0")
			if out, err := c.CombinedOutput(); err != nil {
				built.err = fmt.Errorf("building %s: %w\n%s", b.out, err, out)
				return
			}
		}
	})
	if built.err != nil {
		tb.Fatal(built.err)
	}
	return filepath.Join(root(), "bin", name)
}

// Cluster is a running API server.
type Cluster struct {
	URL        string
	Kubeconfig string // of an administrator
	Dir        string // its data
	args       []string
	cmd        *exec.Cmd
	done       chan struct{}
	stderr     *Buffer
}

// Vlab starts an API server and stops it when the test ends. The arguments are
// those of vlab but --data, --listen and --kubeconfig-out.
func Vlab(tb testing.TB, args ...string) *Cluster {
	tb.Helper()
	dir := tb.TempDir()
	c := &Cluster{Dir: dir, Kubeconfig: filepath.Join(dir, "kubeconfig"), args: args, stderr: &Buffer{}}
	c.start(tb, "127.0.0.1:0")
	tb.Cleanup(c.Stop)
	return c
}

func (c *Cluster) start(tb testing.TB, listen string) {
	tb.Helper()
	bin := Binary(tb, "vlab")
	c.cmd = exec.Command(bin, append([]string{"--data", filepath.Join(c.Dir, "data"), "--listen", listen, "--kubeconfig-out", c.Kubeconfig}, c.args...)...)
	c.cmd.Stderr = c.stderr
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	c.done = make(chan struct{})
	ready := make(chan string, 1)
	go func() {
		defer close(c.done)
		s := bufio.NewScanner(out)
		for s.Scan() {
			if _, rest, ok := strings.Cut(s.Text(), "vlab ready: "); ok {
				ready <- strings.Fields(rest)[0]
			}
		}
		_ = c.cmd.Wait() // Stop and Kill end it on purpose
	}()
	select {
	case c.URL = <-ready:
	case <-c.done:
		tb.Fatalf("vlab ended before it was ready:\n%s", c.stderr)
	case <-time.After(10 * time.Minute):
		c.Kill()
		tb.Fatalf("vlab was not ready within 10 minutes:\n%s", c.stderr)
	}
}

// Stop ends the server and waits for it.
func (c *Cluster) Stop() { c.signal(syscall.SIGTERM) }

// Kill ends the server without warning.
func (c *Cluster) Kill() { c.signal(syscall.SIGKILL) }

func (c *Cluster) signal(s os.Signal) {
	_ = c.cmd.Process.Signal(s) // it may have ended
	select {
	case <-c.done:
	case <-time.After(20 * time.Second):
		_ = c.cmd.Process.Kill()
		<-c.done
	}
}

// Restart starts the server again on the address that it had.
func (c *Cluster) Restart(tb testing.TB) {
	tb.Helper()
	c.start(tb, strings.TrimPrefix(c.URL, "https://"))
}

// Wipe deletes everything that a server that has ended kept: its objects, its
// certificates and its tokens.
func (c *Cluster) Wipe(tb testing.TB) {
	tb.Helper()
	if err := os.RemoveAll(filepath.Join(c.Dir, "data")); err != nil {
		tb.Fatal(err)
	}
}

// Pause stops the server's process in its tracks; Resume lets it go on.
func (c *Cluster) Pause() error { return c.cmd.Process.Signal(syscall.SIGSTOP) }

// Resume ends a Pause.
func (c *Cluster) Resume() error { return c.cmd.Process.Signal(syscall.SIGCONT) }

// Stderr is what the server has written to standard error.
func (c *Cluster) Stderr() string { return c.stderr.String() }

// Kubectl runs kubectl against the cluster and returns what it prints.
func (c *Cluster) Kubectl(tb testing.TB, stdin string, args ...string) string {
	tb.Helper()
	bin, err := exec.LookPath("kubectl")
	if err != nil {
		tb.Skip("kubectl is not installed")
	}
	cmd := exec.Command(bin, append([]string{"--kubeconfig", c.Kubeconfig}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		tb.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// Hedgerow is one installation: a data folder, and the database of it.
type Hedgerow struct {
	Dir string
	Env []string // added to every run
}

// New returns an installation of its own. Without env it is on SQLite; give
// HEDGEROW_DB=postgres://… for PostgreSQL.
func New(tb testing.TB, env ...string) *Hedgerow {
	tb.Helper()
	return &Hedgerow{Dir: tb.TempDir(), Env: env}
}

// Result is how a command ended.
type Result struct {
	Code   int
	Stdout string
	Stderr string
}

// Command prepares a hedgerow command without starting it.
func (h *Hedgerow) Command(ctx context.Context, tb testing.TB, args ...string) *exec.Cmd {
	tb.Helper()
	cmd := exec.CommandContext(ctx, Binary(tb, "hedgerow"), args...)
	cmd.Env = append(append(os.Environ(), "HEDGEROW_DATA="+h.Dir, "XDG_CONFIG_HOME="+h.Dir, "NO_COLOR=1"), h.Env...)
	return cmd
}

// Run runs a hedgerow command to its end, at most two minutes.
func (h *Hedgerow) Run(tb testing.TB, args ...string) Result {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 2*time.Minute)
	defer cancel()
	cmd := h.Command(ctx, tb, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		tb.Fatalf("hedgerow %s: %v", strings.Join(args, " "), err)
	}
	return Result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// OK runs a command that must exit with 0, and returns what it prints.
func (h *Hedgerow) OK(tb testing.TB, args ...string) string {
	tb.Helper()
	r := h.Run(tb, args...)
	if r.Code != 0 {
		tb.Fatalf("hedgerow %s: exit %d\n%s%s", strings.Join(args, " "), r.Code, r.Stdout, r.Stderr)
	}
	return r.Stdout
}

// OKWith is OK with something to read on standard input.
func (h *Hedgerow) OKWith(tb testing.TB, stdin string, args ...string) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 2*time.Minute)
	defer cancel()
	cmd := h.Command(ctx, tb, args...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("hedgerow %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// JSON runs a command that must exit with one of codes (none: 0) and decodes
// what it prints.
func (h *Hedgerow) JSON(tb testing.TB, into any, args []string, codes ...int) {
	tb.Helper()
	r := h.Run(tb, args...)
	if len(codes) == 0 {
		codes = []int{0}
	}
	ok := false
	for _, c := range codes {
		ok = ok || r.Code == c
	}
	if !ok {
		tb.Fatalf("hedgerow %s: exit %d, want %v\n%s%s", strings.Join(args, " "), r.Code, codes, r.Stdout, r.Stderr)
	}
	if err := json.Unmarshal([]byte(r.Stdout), into); err != nil {
		tb.Fatalf("hedgerow %s: %v\n%s", strings.Join(args, " "), err, r.Stdout)
	}
}

// Buffer is a bytes.Buffer for several goroutines.
type Buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

var _ io.Writer = (*Buffer)(nil)

func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
