package pgtest

import (
	"errors"
	"fmt"
)

// Server is a PostgreSQL for a program that is not a test, such as a
// benchmark. It is not safe for concurrent use.
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

// Stop ends the server and removes what it stored.
func (s *Server) Stop() error { return s.stop() }
