package syncer

import (
	"log/slog"
	"runtime/debug"

	"hedgerow"
)

// guard calls fn and makes an error of a panic, which is a bug that something
// in one cluster has brought out: the other fabrics, and the other kinds, are
// none the worse for it.
func guard(log *slog.Logger, doing string, fn func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			log.Error("bug", "doing", doing, "panic", v, "stack", string(debug.Stack()))
			err = hedgerow.Errorf(hedgerow.CodeInternal, "a bug of Hedgerow's stood in the way, to %s; its log has more", doing)
		}
	}()
	return fn()
}
