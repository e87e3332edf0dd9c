package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

// lockFile takes an advisory lock on a file without waiting, nil when somebody
// has it; the kernel drops it with the process.
func lockFile(path string) (*heldLock, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, nil
		}
		return nil, err
	}
	return &heldLock{
		unlock: func() { _ = f.Close() }, // closing unlocks
		alive:  func(context.Context) bool { return true },
	}, nil
}
