//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// patience is how long a server may take to stop before it is killed.
const patience = 30 * time.Second

// child is one running server.
type child struct {
	name, log string
	cmd       *exec.Cmd
	done      chan struct{} // closed when it has ended
}

// startChild starts the server called name, with its output going to DATA/name.log.
//
// The kernel kills the server when this process dies, however it dies. It watches
// the thread that started the server, so that thread does nothing else until the
// server has ended. A process group of its own keeps a terminal's Ctrl-C from the
// server: the two are stopped in order.
func startChild(o options, name string, args []string) (*child, error) {
	c := &child{name: name, log: filepath.Join(o.data, name+".log"), done: make(chan struct{})}
	out, err := os.OpenFile(c.log, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close() // the server has its own
	c.cmd = exec.Command(filepath.Join(o.bin, name), args...)
	c.cmd.Stdout, c.cmd.Stderr = out, out
	// ETCD_* and the like in the caller's shell must not configure a test's server.
	c.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + o.data}
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
		err := c.cmd.Start()
		started <- err
		if err == nil {
			_ = c.cmd.Wait() // endedAlone reads how it ended
			close(c.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return c, nil
}

// stop ends the server if it still runs, and waits until it is gone.
func (c *child) stop() error {
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", c.name, err)
	}
	select {
	case <-c.done:
		return nil
	case <-time.After(patience):
	}
	_ = c.cmd.Process.Kill() // it may have ended just now
	<-c.done
	return fmt.Errorf("%s did not stop within %s and was killed", c.name, patience)
}

// endedAlone is the error of a server that nobody stopped.
func (c *child) endedAlone() error {
	return errors.Join(fmt.Errorf("%s ended by itself: %s", c.name, c.cmd.ProcessState), c.tail())
}

// tail is the end of the server's log, as an error: tests remove their folders, so
// whoever reads it may have no other way to see the file.
func (c *child) tail() error {
	b, err := os.ReadFile(c.log)
	if err != nil {
		return err
	}
	lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	return fmt.Errorf("the end of %s:\n%s", c.log, bytes.Join(lines[max(0, len(lines)-20):], []byte("\n")))
}
