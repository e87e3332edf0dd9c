package lab

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Process is a hedgerow command that runs until it is told to stop: serve,
// worker, or a command with --watch.
type Process struct {
	URL     string // of the web port, "" without
	Metrics string // of the port of /metrics, which also has /readyz

	args   []string
	cmd    *exec.Cmd
	stdout *Buffer
	stderr *Buffer
	done   chan struct{} // closed when it has ended
}

const (
	// startsWithin bounds the time until a process says that it has started.
	// It may have to wait for the database, and for two processors.
	startsWithin = time.Minute
	// stopsWithin bounds the time that a process takes to stop when asked: its
	// default grace and what comes after it.
	stopsWithin = 45 * time.Second
	// look is how often a condition is looked at.
	look = 20 * time.Millisecond
)

// Start starts "serve" or "worker" on free ports and waits until it says that
// it has started. It logs in JSON, and is stopped when the test ends.
func Start(tb testing.TB, h *Hedgerow, role string, flags ...string) *Process {
	tb.Helper()
	args := []string{role, "--log-format", "json", "--metrics-listen", "127.0.0.1:0"}
	if role == "serve" {
		args = append(args, "--listen", "127.0.0.1:0")
	}
	p := Launch(tb, h, append(args, flags...)...)
	p.Await(tb, startsWithin, "started", func() bool {
		for _, l := range p.Log() {
			switch {
			case l.Message == "listening" && l.For == "web":
				p.URL = "http://" + l.Address
			case l.Message == "listening" && l.For == "metrics":
				p.Metrics = "http://" + l.Address
			case l.Message == "started":
				return true
			}
		}
		return false
	})
	return p
}

// Launch starts any command that runs until it is stopped, and stops it when
// the test ends.
func Launch(tb testing.TB, h *Hedgerow, args ...string) *Process {
	tb.Helper()
	// Not the test's context: that ends before what the test has to clean up.
	cmd := h.Command(context.Background(), tb, args...)
	p := &Process{args: args, cmd: cmd, stdout: &Buffer{}, stderr: &Buffer{}, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.stdout, p.stderr
	if err := cmd.Start(); err != nil {
		tb.Fatalf("%s: %v", p, err)
	}
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // how it ended is in its state
	}()
	tb.Cleanup(func() {
		_ = p.Signal(syscall.SIGCONT)
		p.Stop(tb)
		if tb.Failed() {
			var grave []string
			for line := range strings.Lines(p.Stderr()) {
				if strings.Contains(line, `"WARN"`) || strings.Contains(line, `"ERROR"`) {
					grave = append(grave, line)
				}
			}
			const most = 40
			tb.Logf("%s warned (the first %d of %d lines):\n%sand wrote at last:\n%s", p, min(most, len(grave)), len(grave),
				strings.Join(grave[:min(most, len(grave))], ""), tail(p.Stderr(), most))
		}
	})
	return p
}

func tail(s string, lines int) string {
	all := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// String names the process in messages.
func (p *Process) String() string {
	pid := 0
	if p.cmd.Process != nil {
		pid = p.cmd.Process.Pid
	}
	return fmt.Sprintf("hedgerow %s (pid %d)", strings.Join(p.args, " "), pid)
}

// PID is the number of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Stdout is what the process has written to standard output so far.
func (p *Process) Stdout() string { return p.stdout.String() }

// Stderr is what the process has written to standard error so far.
func (p *Process) Stderr() string { return p.stderr.String() }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Signal sends the process a signal; SIGSTOP and SIGCONT pause it.
func (p *Process) Signal(s syscall.Signal) error { return p.cmd.Process.Signal(s) }

// Kill ends the process without warning and waits for its end.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.done
}

// Stop asks the process to stop, waits for its end, and returns its exit code:
// -1 when a signal ended it. One that does not stop in time fails the test.
func (p *Process) Stop(tb testing.TB) int {
	tb.Helper()
	_ = p.Signal(syscall.SIGTERM) // it may have ended
	t := time.NewTimer(stopsWithin)
	defer t.Stop()
	select {
	case <-p.done:
	case <-t.C:
		// Where it hangs.
		_ = p.Signal(syscall.SIGQUIT)
		select {
		case <-p.done:
		case <-time.After(5 * time.Second):
			p.Kill()
		}
		tb.Errorf("%s did not stop within %s:\n%s", p, stopsWithin, tail(p.Stderr(), 200))
	}
	return p.cmd.ProcessState.ExitCode()
}

// LogLine is a line of the log, as far as tests look at it.
type LogLine struct {
	Time                time.Time
	Level               string
	Message             string `json:"msg"`
	For, Address        string
	Fabric, Error, Text string
	Outcome, Code       string
	Reason              string
}

// Log returns the lines of the log so far, in order. Lines that are not JSON,
// such as a panic, are of the level "OTHER".
func (p *Process) Log() (all []LogLine) {
	s := bufio.NewScanner(strings.NewReader(p.Stderr()))
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		var l LogLine
		if err := json.Unmarshal(s.Bytes(), &l); err != nil {
			l = LogLine{Level: "OTHER"}
		}
		l.Text = s.Text()
		all = append(all, l)
	}
	if n := len(all); n > 0 && all[n-1].Level == "OTHER" && !strings.HasSuffix(p.Stderr(), "\n") {
		all = all[:n-1] // half a line
	}
	return all
}

// Await waits until a condition holds, and fails the test when it does not
// within some time, or the process ends first.
func (p *Process) Await(tb testing.TB, within time.Duration, what string, done func() bool) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), within)
	defer cancel()
	tick := time.NewTicker(look)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-p.done:
			if done() {
				return
			}
			tb.Fatalf("%s ended (%s) and was not %s:\n%s", p, p.cmd.ProcessState, what, tail(p.Stderr(), 40))
		case <-ctx.Done():
			tb.Fatalf("%s was not %s within %s:\n%s", p, what, within, tail(p.Stderr(), 40))
		}
	}
}

// WaitReady waits until /readyz says that the process does its work.
func (p *Process) WaitReady(tb testing.TB, within time.Duration) {
	tb.Helper()
	var last string
	defer func() {
		if tb.Failed() {
			tb.Logf("/readyz said at last: %s", last)
		}
	}()
	p.Await(tb, within, "ready", func() bool {
		ready, text, err := p.Ready(tb.Context())
		if last = text; err != nil {
			last = err.Error()
		}
		return ready
	})
}

// Ready asks /readyz, which also says why not.
func (p *Process) Ready(ctx context.Context) (ready bool, text string, err error) {
	status, b, err := get(ctx, p.Metrics+"/readyz")
	return status == http.StatusOK, string(b), err
}

// Measure reads /metrics: the values by name and labels, as they stand there.
func (p *Process) Measure(ctx context.Context) (map[string]float64, error) {
	status, b, err := get(ctx, p.Metrics+"/metrics")
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("/metrics answers %d: %s", status, b)
	}
	if err != nil {
		return nil, err
	}
	all := map[string]float64{}
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		i := strings.LastIndexByte(line, ' ')
		if i < 0 || line[0] == '#' {
			continue
		}
		v, err := strconv.ParseFloat(line[i+1:], 64)
		if err != nil {
			return nil, fmt.Errorf("/metrics says %q: %w", line, err)
		}
		all[line[:i]] = v
	}
	return all, nil
}

// get asks a process, which may be paused.
func get(ctx context.Context, url string) (status int, body []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, err
	}
	q.Close = true // the process counts its connections
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		return 0, nil, err
	}
	defer func() { err = errors.Join(err, r.Body.Close()) }()
	body, err = io.ReadAll(r.Body)
	return r.StatusCode, body, err
}
