package syncer_test

import (
	"testing"
	"testing/synctest"

	"hedgerow"
	"hedgerow/internal/pgtest"
)

func postgres(t *testing.T) string { return pgtest.URL(t) }

// TestFollow: what happens between passes is recorded as it happens, each
// state once.
func TestFollow(t *testing.T) {
	onBoth(t, func(h *house) {
		h.write(switches, "a", "1")
		h.write(switches, "b", "1")
		f := h.follow()
		h.is(hedgerow.Starting, "a pass is to read the fabric first")
		h.pass()
		f.poke()
		h.is(hedgerow.Following, "")
		h.write(switches, "a", "2")
		h.write(switches, "c", "1")
		h.remove(switches, "b")
		h.write(vpcs, "v", "1")
		synctest.Wait()
		h.agrees()
		h.same("story", []string{"updated a", "created c", "deleted b", "created v"}, h.story())
		h.remove(switches, "a")
		h.write(switches, "a", "2") // the same again, but another
		synctest.Wait()
		h.agrees()
		h.same("story", []string{"updated a", "created c", "deleted b", "created v", "deleted a", "created a"}, h.story())
	})
}
