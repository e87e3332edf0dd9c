// Package etcd runs a single-member etcd inside this process, on a unix socket.
//
// It is tuned for a laboratory: nothing is synced to disk before it is acknowledged, so a crash of the machine (not of
// the process) may lose the last writes. It knows nothing of Kubernetes.
package etcd

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

const (
	// startTimeout bounds the wait for the member to elect itself; a second is usual, a busy machine takes longer.
	startTimeout = time.Minute
	// maxSocketPath is what fits into sun_path on Linux, with the terminating zero.
	maxSocketPath = 107
	// quota is the size at which etcd refuses writes. 100,000 objects with their history take about 1 GiB.
	quota = 8 << 30
)

// ErrInUse says that another process (or another server of this one) holds the data directory.
var ErrInUse = errors.New("the data directory is in use by another vlab")

// Server is a running etcd member.
type Server struct {
	// Endpoint is the address of the v3 API, in the form that etcd's client understands.
	Endpoint string

	etcd     *embed.Etcd
	lock     *os.File
	sockDir  string
	stopping bool
}

// Start runs a member that keeps its data in dir, which is made when it does not exist, and waits until it serves.
func Start(ctx context.Context, dir string) (*Server, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	s := &Server{lock: lock}
	if err := s.start(ctx, dir); err != nil {
		s.Stop()
		return nil, fmt.Errorf("start etcd in %s: %w", dir, err)
	}
	return s, nil
}

func (s *Server) start(ctx context.Context, dir string) error {
	sock, err := s.socket(dir)
	if err != nil {
		return err
	}
	c := config(dir, sock)
	if s.etcd, err = embed.StartEtcd(c); err != nil {
		return err
	}
	s.Endpoint = "unix://" + sock
	timeout := time.NewTimer(startTimeout)
	defer timeout.Stop()
	select {
	case <-s.etcd.Server.ReadyNotify():
		return nil
	case err := <-s.etcd.Err():
		return err
	case <-timeout.C:
		return fmt.Errorf("not ready in %s", startTimeout)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Stop ends the member and frees the directory. It may be called more than once, by one goroutine at a time.
func (s *Server) Stop() {
	if s.stopping {
		return
	}
	s.stopping = true
	if s.etcd != nil {
		s.etcd.Close()
	}
	if s.sockDir != "" {
		_ = os.RemoveAll(s.sockDir)
	}
	_ = s.lock.Close()
}

// socket is in the data directory, so that a killed process leaves nothing elsewhere, unless that path is too long.
func (s *Server) socket(dir string) (string, error) {
	abs, err := filepath.Abs(filepath.Join(dir, "etcd.sock"))
	if err != nil {
		return "", err
	}
	if len(abs) <= maxSocketPath {
		return abs, nil
	}
	if s.sockDir, err = os.MkdirTemp("", "vlab"); err != nil {
		return "", err
	}
	return filepath.Join(s.sockDir, "etcd.sock"), nil
}

func config(dir, sock string) *embed.Config {
	c := embed.NewConfig()
	c.Name = "vlab"
	c.Dir = filepath.Join(dir, "etcd")
	c.UnsafeNoFsync = true
	c.QuotaBackendBytes = quota
	// Fewer, larger commits of the backend: nothing waits for them without fsync.
	c.BackendBatchInterval = 250 * time.Millisecond
	c.BackendBatchLimit = 20000
	c.SnapshotCount = 10000
	// As kubeadm has it: without, an API server learns nothing of time on a kind that nobody writes, and its watches get
	// no bookmarks.
	c.WatchProgressNotifyInterval = 5 * time.Second
	c.AutoCompactionMode, c.AutoCompactionRetention = "periodic", "5m"
	// A laboratory machine may be so busy that the default 1 s election timeout of a lone member is only noise.
	c.TickMs, c.ElectionMs = 50, 500
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())

	// etcd insists on host:port in peer and advertised URLs; a lone member dials neither, so they are only names. The
	// peer listener takes a free port.
	client := url.URL{Scheme: "unix", Path: sock}
	c.ListenClientUrls = []url.URL{client}
	c.AdvertiseClientUrls = []url.URL{{Scheme: "http", Host: "127.0.0.1:2379"}}
	c.ListenPeerUrls = []url.URL{{Scheme: "http", Host: "127.0.0.1:0"}}
	c.AdvertisePeerUrls = []url.URL{{Scheme: "http", Host: "127.0.0.1:2380"}}
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	return c
}

// lockDir keeps a second vlab from waiting for ever on etcd's own file lock, without a word.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s: %w", dir, ErrInUse)
		}
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return f, nil
}
