package pgtest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	osuser "os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// user is the administrator of the server.
const user = "hedgerow"

const (
	startTimeout = 2 * time.Minute // a busy machine of two cores
	stopTimeout  = 30 * time.Second
)

// server is a running PostgreSQL.
type server struct {
	dir  string // socket and data
	bin  string // its programs
	attr *syscall.SysProcAttr
	args []string
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
}

// find returns the folder of the newest installed PostgreSQL.
func find() (string, bool) {
	if p, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(p), true
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // the pattern is valid
	slices.SortFunc(found, func(a, b string) int { return release(a) - release(b) })
	if len(found) == 0 {
		return "", false
	}
	return filepath.Dir(found[len(found)-1]), true
}

// release is the 15 of /usr/lib/postgresql/15/bin/initdb.
func release(path string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path)))) // 0 sorts first
	return n
}

func start(bin string, args ...string) (_ *server, err error) {
	dir, err := os.MkdirTemp("", "hedgerow-pg-")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(dir)
		}
	}()
	attr, err := unprivileged(dir)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	// A language's order of words, as most installations have it: a query that
	// relies on the order of bytes without saying so shows.
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", user, "-A", "trust", "-E", "UTF8", "--no-sync",
		"--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US")
	initdb.SysProcAttr, initdb.Dir = attr, dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	s := &server{dir: dir, bin: bin, attr: attr, args: args}
	return s, s.run()
}

// unprivileged makes dir the home of whom PostgreSQL runs as, for it refuses
// to run as root.
func unprivileged(dir string) (*syscall.SysProcAttr, error) {
	// The server goes down with the test process, however that ends.
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT}
	if os.Geteuid() != 0 {
		return attr, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := osuser.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			return nil, err
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			return nil, err
		}
		attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		return attr, os.Chown(dir, int(uid), int(gid))
	}
	return nil, errors.New("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")
}

// run starts the process and waits until it serves.
func (s *server) run() error {
	s.done = make(chan struct{})
	s.cmd = exec.Command(filepath.Join(s.bin, "postgres"), append([]string{
		"-D", filepath.Join(s.dir, "data"), "-k", s.dir, "-c", "listen_addresses=", "-c", "logging_collector=off",
		"-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off", "-c", "max_connections=200", "-c", "shared_buffers=64MB",
	}, s.args...)...)
	s.cmd.SysProcAttr, s.cmd.Dir = s.attr, s.dir
	logged, err := s.cmd.StderrPipe()
	if err != nil {
		return err
	}
	started, ready := make(chan error, 1), make(chan struct{})
	cmd, done := s.cmd, s.done
	var log bytes.Buffer // complete when done is closed
	go func() {
		// The signal of Pdeathsig comes with the death of the thread that
		// started the process, so that thread must live.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			<-done
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	go func() {
		defer close(done)
		lines := bufio.NewScanner(io.TeeReader(logged, &log))
		serves := false
		for lines.Scan() {
			if !serves && strings.Contains(lines.Text(), "ready to accept connections") {
				serves = true
				close(ready)
			}
		}
		_ = cmd.Wait() // it is ended on purpose
	}()
	select {
	case <-ready:
		return nil
	case <-done:
		return fmt.Errorf("postgres ended before it was ready:\n%s", &log)
	case <-time.After(startTimeout):
		return errors.Join(fmt.Errorf("postgres was not ready within %s", startTimeout), s.stop())
	}
}

// stop ends the server and removes its folder.
func (s *server) stop() error {
	s.halt()
	return os.RemoveAll(s.dir)
}

// halt ends the server, by its pid.
func (s *server) halt() {
	_ = s.cmd.Process.Signal(syscall.SIGINT) // fast shutdown; it may have ended
	select {
	case <-s.done:
	case <-time.After(stopTimeout):
		_ = s.cmd.Process.Signal(syscall.SIGQUIT) // its children end with it
		<-s.done
	}
}
