package store

import (
	"path/filepath"
	"syscall"
)

// freeSpace is what an unprivileged user may still write to the disk of path,
// in bytes.
func freeSpace(path string) (int64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(filepath.Dir(path), &s); err != nil {
		return 0, err
	}
	return int64(s.Bavail) * s.Bsize, nil
}
