package httpd

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

// A shared reading is made at most once at a time, however many ask for it,
// and is good for everybody who asks within fresh of its end. So no crowd of
// requests becomes a crowd of readings, and one that hangs is one at most.
type shared[T any] struct {
	read  func(ctx context.Context) T
	limit time.Duration // of one reading
	fresh time.Duration
	now   func() time.Time

	mu   sync.Mutex
	last *outcome[T]
}

type outcome[T any] struct {
	late  context.Context // done when nobody should wait any longer
	ended chan struct{}   // closed when the fields below are set
	value T
	bug   error // why read panicked
	at    time.Time
}

// slack is what a reading has, after its limit, to notice and say so.
const slack = time.Second

// get returns the newest reading, made now if need be. It fails when the
// reading takes too long, when ctx is done, or when read panics.
func (s *shared[T]) get(ctx context.Context) (T, error) {
	o := s.newest(ctx)
	select {
	case <-o.ended:
	case <-o.late.Done():
	case <-ctx.Done():
	}
	select {
	case <-o.ended: // whatever else has happened: late is done with it too
		return o.value, o.bug
	default:
	}
	var none T
	if err := ctx.Err(); err != nil {
		return none, err
	}
	return none, context.DeadlineExceeded
}

func (s *shared[T]) newest(ctx context.Context) *outcome[T] {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.last; o != nil && !s.over(o) {
		return o
	}
	// Others wait for it as well: it does not end with who asked first.
	ctx = context.WithoutCancel(ctx)
	late, cancel := context.WithTimeout(ctx, s.limit+slack)
	o := &outcome[T]{late: late, ended: make(chan struct{})}
	s.last = o
	go func() {
		defer cancel()
		defer close(o.ended)
		defer func() {
			if v := recover(); v != nil {
				o.bug = fmt.Errorf("%v\n%s", v, debug.Stack())
			}
			o.at = s.now()
		}()
		ctx, cancel := context.WithTimeout(ctx, s.limit)
		defer cancel()
		o.value = s.read(ctx)
	}()
	return o
}

// over reports whether o has ended and is no longer fresh.
func (s *shared[T]) over(o *outcome[T]) bool {
	select {
	case <-o.ended:
		age := s.now().Sub(o.at)
		return age < 0 || age >= s.fresh
	default:
		return false
	}
}
