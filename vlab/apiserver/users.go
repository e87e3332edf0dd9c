package apiserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"hedgerow/vlab/access"
)

// usersPoll is how often the users file is looked at. Polling also sees edits on file systems without notification.
const usersPoll = 500 * time.Millisecond

// usersFile keeps a policy equal to a file.
type usersFile struct {
	policy atomic.Pointer[access.Policy]
	name   string
	start  time.Time
	log    *slog.Logger
	text   []byte // as last read
	broken string // the last complaint, so that each is made once
}

func newUsersFile(o Options, start time.Time) (*usersFile, error) {
	f := &usersFile{name: o.Tokens, start: start, log: o.Log}
	if f.name == "" {
		f.name = filepath.Join(o.Data, "tokens.yaml")
		if err := makeDefault(f.name); err != nil {
			return nil, fmt.Errorf("make the users file: %w", err)
		}
	}
	text, err := os.ReadFile(f.name)
	if err != nil {
		return nil, fmt.Errorf("read the users file: %w", err)
	}
	policy, err := access.Parse(f.name, text, start)
	if err != nil {
		return nil, err
	}
	f.text = text
	f.policy.Store(policy)
	return f, nil
}

func makeDefault(name string) error {
	if _, err := os.Stat(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	return writeFile(name, access.Default())
}

// watch applies edits until ctx ends. A broken edit changes nothing: the last good rules stay, and the log says so.
func (f *usersFile) watch(ctx context.Context) {
	poll := time.NewTicker(usersPoll)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-poll.C:
			f.reread()
		}
	}
}

// reread compares contents, not times: the file is small, and two edits may share a time stamp.
func (f *usersFile) reread() {
	text, err := os.ReadFile(f.name)
	if err == nil && bytes.Equal(text, f.text) {
		f.broken = ""
		return
	}
	var policy *access.Policy
	if err == nil {
		policy, err = access.Parse(f.name, text, f.start)
	}
	if err != nil {
		if f.broken != err.Error() {
			f.broken = err.Error()
			f.log.Error("the users file is broken, the old rules stay in force", "error", err)
		}
		return
	}
	f.text, f.broken = text, ""
	f.policy.Store(policy)
	f.log.Info("new rules from the users file", "file", f.name, "users", len(policy.Users()))
}
