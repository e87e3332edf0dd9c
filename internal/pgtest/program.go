package pgtest

import (
	"errors"
	"fmt"
	"syscall"
)

// Server is a PostgreSQL for a program that is not a test, such as a
// benchmark, or for a test that does to it what others could not bear. It is
// not safe for concurrent use.
type Server struct {
	*server
	created int
}

// Start starts a server. It must be stopped with Stop.
func Start() (*Server, error) {
	bin, ok := find()
	if !ok {
		return nil, errors.New("PostgreSQL is not installed (no initdb in PATH or /usr/lib/postgresql/*/bin)")
	}
	s, err := start(bin)
	return &Server{server: s}, err
}

// Create makes an empty database and returns its postgres:// URL.
func (s *Server) Create() (string, error) {
	s.created++
	name := fmt.Sprintf("program%d", s.created)
	return s.url(name), s.exec("CREATE DATABASE " + name + " TEMPLATE template0")
}

// Restart ends the server, which ends every session, and starts it again on the
// databases that it had. One that crashes leaves its sessions no word.
func (s *Server) Restart(crash bool) error {
	if crash {
		_ = s.cmd.Process.Signal(syscall.SIGQUIT) // "immediate": it recovers when it starts
		<-s.done
	} else {
		s.halt()
	}
	return s.run()
}

// Stop ends the server and removes what it stored.
func (s *Server) Stop() error { return s.stop() }
