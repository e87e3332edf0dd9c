package e2e

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"hedgerow/e2e/lab"
)

// small mounts a filesystem of so many MiB, and skips the test where that is
// not allowed.
func small(t *testing.T, mib string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+mib+"m", "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("no small filesystem can be mounted here, which needs root: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

// fill writes to a file until so many MiB are left on its disk, or none.
func fill(t *testing.T, file string, left int64) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size > 0; { // ever smaller pieces, to the last byte
		var s syscall.Statfs_t
		if err := syscall.Statfs(file, &s); err != nil {
			t.Fatal(err)
		}
		if left > 0 && int64(s.Bavail)*s.Bsize <= left<<20 {
			return
		}
		if _, err := f.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
			size /= 16
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// degraded is what status says of the first fabric to be degraded, a line a
// reason, and its exit code.
func degraded(t *testing.T, h *lab.Hedgerow) (what string, code int) {
	t.Helper()
	res := h.Run(t, "status", "-o", "json")
	var all []struct {
		Conditions []struct{ Type, Reason, Message string }
	}
	if err := json.Unmarshal([]byte(res.Stdout), &all); err != nil || len(all) == 0 {
		return res.Stderr, res.Code
	}
	for _, c := range all[0].Conditions {
		if c.Type == "Degraded" {
			what += c.Reason + ": " + c.Message + "\n"
		}
	}
	return what, res.Code
}

// TestChaosDisk: a disk that fills up is told of before and while it is full;
// nothing is harmed, and when there is room again serve goes on by itself.
func TestChaosDisk(t *testing.T) {
	t.Parallel()
	dir := small(t, "112")
	h := &lab.Hedgerow{Dir: dir, Env: []string{"HTTPS_PROXY=", "https_proxy="}}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "hedgerow.db")+"?_pragma=busy_timeout(15000)")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = db.Close() })
	r := record{db, "sqlite"}
	fleet := lab.NewFleet(t, 3, 48)
	fleet.Add(t, h, "--interval", "30s")
	p := lab.Start(t, h, "serve")
	p.WaitReady(t, readyWithin)
	ballast := filepath.Join(dir, "ballast")
	c := fleet.Churn(t.Context(), 30, nil, lab.Varied)

	says := func(within time.Duration, words ...string) {
		t.Helper()
		var ready, status string
		waitFor(t, within, "/readyz and status to say "+strings.Join(words, ", "), func(ctx context.Context) bool {
			ok, text, err := p.Ready(ctx)
			if ready = text; err != nil {
				ready = err.Error()
			}
			var code int
			status, code = degraded(t, h)
			for _, w := range words {
				if ok || code != 0 || !strings.Contains(ready, w) || !strings.Contains(status, w) {
					return false
				}
			}
			return len(words) > 0 || ok && code == 0 && status == ""
		}, func() string { return ready + "\n" + status })
	}
	says(30 * time.Second) // that all is well
	fill(t, ballast, 40)
	says(20*time.Second, "DiskFull", "MiB are free on the disk of the record")
	low := len(r.rows(t, `SELECT id FROM runs`))
	waitFor(t, 30*time.Second, "more runs while little room is left", func(context.Context) bool {
		return len(r.rows(t, `SELECT id FROM runs`)) > low+5
	}, p.Stderr)

	fill(t, ballast, 0)
	full := time.Now()
	waitFor(t, 30*time.Second, "a commit to fail for want of room", func(context.Context) bool {
		fill(t, ballast, 0) // a checkpoint may have made some
		return strings.Contains(p.Stderr(), "disk is full")
	}, p.Stderr)
	t.Logf("a commit failed %s after the disk was full", time.Since(full).Round(time.Millisecond))
	says(30*time.Second, "DiskFull")
	pause(t, 8*time.Second)
	says(30*time.Second, "DiskFull")
	r.whole(t, "while the disk is full", false)

	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	free := time.Now()
	pause(t, 2*time.Second)
	edits, err := c.Stop()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("caught up %s after there was room, with %d edits", r.catchesUp(t, fleet, free, caughtUpWithin).Round(time.Millisecond), len(edits))
	says(caughtUpWithin) // that all is well
	t.Logf("well again %s after there was room", time.Since(free).Round(time.Millisecond))
	var state []string
	waitFor(t, caughtUpWithin, "every fabric to be followed and read again", func(context.Context) bool {
		state = r.rows(t, `SELECT f.name FROM fabrics f WHERE NOT EXISTS (SELECT 1 FROM followers w JOIN processes p ON p.id = w.process_id WHERE w.fabric_id = f.id AND w.state = 'following')
			OR NOT EXISTS (SELECT 1 FROM runs r WHERE r.fabric_id = f.id AND r.outcome = 'complete' AND r.trigger <> 'follow' AND r.started_at > $1)`, free.UnixMicro())
		return len(state) == 0
	}, func() string { return strings.Join(state, "\n") })
	if code := p.Stop(t); code != 0 {
		t.Errorf("%s ended with %d", p, code)
	}
	if v, told, over := r.whole(t, "after it all", true).history(fleet, live(edits)); len(v) > 0 {
		t.Errorf("the history is not what happened (%d told, %d passed over):\n%s", told, over, v)
	}
}
