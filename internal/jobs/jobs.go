// Package jobs decides when which pass is made: it keeps the schedule, queues
// what is due or asked for, and works the queue, so many passes at a time.
//
// The queue is River, in tables of its own beside the record's. It brings a
// request to one worker; that a fabric has one pass at a time, and what became
// of it, is for the record to say. So a job that is delivered twice, or by a
// process that has died, does no harm: it finds that its pass has been made.
// Retries are not River's either: a pass that fails moves its fabric's next
// moment, which everybody can see.
//
// The package knows no SQL of ours and no cluster: a pass is a function.
package jobs

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"

	"hedgerow"
)

// Store is the record, as the schedule needs it.
type Store interface {
	FabricByID(ctx context.Context, id int64) (hedgerow.Fabric, error)
	Due(ctx context.Context, now time.Time, limit int) ([]hedgerow.Due, error)
	Advance(ctx context.Context, d hedgerow.Due, next time.Time) error
	NewestPass(ctx context.Context, fabric int64) (hedgerow.Run, error)
	Schedule(ctx context.Context, fabric int64) (hedgerow.Schedule, error)
	// Probed records a probe in vain, unless the breaker that it was for has
	// been closed meanwhile.
	Probed(ctx context.Context, fabric int64, before, after hedgerow.Schedule) error
	Counts(ctx context.Context, fabric int64) (map[hedgerow.KindID]int, error)
	CloseInterrupted(ctx context.Context, now time.Time) error
	Prune(ctx context.Context, quiet, old time.Time) (runs int64, err error)
}

// Passes makes them.
type Passes interface {
	// Observe makes one pass and returns its run as recorded. It fails with
	// CodeBusy while another is under way, or when the newest has met what is
	// wanted.
	Observe(ctx context.Context, w Wanted) (hedgerow.Run, error)
	// Probe asks a fabric's cluster whether it answers at all.
	Probe(ctx context.Context, f hedgerow.Fabric) error
}

// Wanted says which pass is to be made.
type Wanted struct {
	Fabric  hedgerow.Fabric
	Trigger string
	Actor   string
	Met     func(newest hedgerow.Run) bool // whether that is as good
	Begun   func()                         // called once its run is in the record
}

// Database is where the queue is: one of SQLite and Postgres is set.
type Database struct {
	SQLite   *sql.DB
	Postgres *pgxpool.Pool
	// Alone keeps other processes from changing tables until the function that
	// it returns is called. River does not do so itself.
	Alone func(context.Context) (func(), error)
}

// Config says how an engine works.
type Config struct {
	ID       string // of the process
	Workers  int    // passes at a time
	Store    Store
	Passes   Passes
	Database Database
	Now      func() time.Time
	Log      *slog.Logger
	Meter    Meter
}

// Meter is told what the engine does, for the metrics.
type Meter interface {
	Ticked(now time.Time)
	Waited(d time.Duration) // from due to begun
	Ended(f hedgerow.Fabric, r hedgerow.Run)
}

// An Engine keeps the schedule and works the queue. Several of them, in
// several processes, share one.
type Engine struct {
	conf  Config
	queue queue
	clock clock

	// The passes under way, what ends them, and the places of those that no
	// worker waits for any more.
	passes   sync.WaitGroup
	ctx      context.Context
	cancel   context.CancelFunc
	overtime chan struct{}

	mu       sync.Mutex
	tickedAt time.Time
	working  int
	problems map[string]hedgerow.Problem // by reason
}

// queue is what we use of a river.Client, whose type depends on the database.
type queue interface {
	Start(ctx context.Context) error
	Stop(ctx context.Context) error
	StopAndCancel(ctx context.Context) error
	Insert(ctx context.Context, args river.JobArgs, opts *river.InsertOpts) (*rivertype.JobInsertResult, error)
	JobList(ctx context.Context, params *river.JobListParams) (*river.JobListResult, error)
}

// The lanes of the queue, in the order in which they go.
const (
	Manual   = "manual"   // somebody waits for it
	Gap      = "gap"      // a follower cannot go on without it
	Schedule = "schedule" // its time has come
)

var priorities = map[string]int{Manual: 1, Gap: 2, Schedule: 3}

// New brings the queue's tables up to date and returns an engine that does
// nothing until Run, but takes requests.
func New(ctx context.Context, conf Config) (*Engine, error) {
	e := &Engine{conf: conf, overtime: make(chan struct{}, Overtime(conf.Workers)), problems: map[string]hedgerow.Problem{}}
	e.ctx, e.cancel = context.WithCancel(context.WithoutCancel(ctx))
	unlock, err := conf.Database.Alone(ctx)
	if err != nil {
		return nil, hedgerow.Errorf(hedgerow.CodeStore, "open the queue: %w", err)
	}
	defer unlock()
	switch db := conf.Database; {
	case db.SQLite != nil:
		e.queue, err = open[*sql.Tx](ctx, e, riversqlite.New(db.SQLite))
	default:
		e.queue, err = open[pgx.Tx](ctx, e, riverpgxv5.New(db.Postgres))
	}
	if err != nil {
		return nil, hedgerow.Errorf(hedgerow.CodeStore, "open the queue: %w", err)
	}
	return e, nil
}

const (
	// poll is how often the queue is looked at though nobody told us to.
	poll = time.Second
	// keepJobs is how long jobs that are done are kept: their outcome is in
	// the runs.
	keepJobs = 10 * time.Minute
	// rescue is the age above which a job may be looked at whether its worker
	// is lost.
	rescue = 2 * time.Minute
	// keepQuiet and keepRuns are how long runs are kept: those that found
	// nothing new, and all.
	keepQuiet = 48 * time.Hour
	keepRuns  = 90 * 24 * time.Hour
)

func open[TTx any](ctx context.Context, e *Engine, driver riverdriver.Driver[TTx]) (queue, error) {
	// River speaks of its own affairs at every step.
	log := slog.New(quieter{e.conf.Log.Handler()})
	m, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: log})
	if err != nil {
		return nil, err
	}
	if _, err := m.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return nil, err
	}
	c := &river.Config{ID: e.conf.ID, Logger: log}
	if e.conf.Workers > 0 {
		workers := river.NewWorkers()
		river.AddWorker(workers, &observer{engine: e})
		river.AddWorker(workers, &pruner{engine: e})
		c.Workers = workers
		c.Queues = map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: e.conf.Workers}}
		c.JobTimeout = -1 // a pass has a deadline of its own
		c.FetchPollInterval = poll
		c.CompletedJobRetentionPeriod, c.CancelledJobRetentionPeriod, c.DiscardedJobRetentionPeriod = keepJobs, keepJobs, keepJobs
		c.RescueStuckJobsAfter = rescue
		c.PeriodicJobs = []*river.PeriodicJob{river.NewPeriodicJob(river.PeriodicInterval(time.Hour),
			func() (river.JobArgs, *river.InsertOpts) { return pruneArgs{}, nil }, &river.PeriodicJobOpts{RunOnStart: true})}
	}
	return river.NewClient(driver, c)
}

// quieter logs as debugging what River calls information, and what went wrong
// because it was told to stop.
type quieter struct{ slog.Handler }

func (q quieter) Handle(ctx context.Context, r slog.Record) error {
	stopped := false
	r.Attrs(func(a slog.Attr) bool {
		stopped = stopped || strings.Contains(a.Value.String(), context.Canceled.Error()) // River makes text of errors
		return !stopped
	})
	if r.Level == slog.LevelInfo || stopped {
		r.Level = slog.LevelDebug
	}
	if !q.Enabled(ctx, r.Level) {
		return nil
	}
	return q.Handler.Handle(ctx, r)
}

func (q quieter) WithAttrs(as []slog.Attr) slog.Handler { return quieter{q.Handler.WithAttrs(as)} }

func (q quieter) WithGroup(name string) slog.Handler { return quieter{q.Handler.WithGroup(name)} }

// Run keeps the schedule and works the queue until ctx is done. Then it takes
// no more jobs, and gives the passes under way the grace to end by themselves;
// those that do not are cancelled, and recorded as interrupted.
func (e *Engine) Run(ctx context.Context, grace time.Duration) error {
	if e.conf.Workers == 0 {
		<-ctx.Done()
		return ctx.Err()
	}
	background := context.WithoutCancel(ctx)
	if err := e.start(ctx, background); err != nil {
		return err
	}
	var wg sync.WaitGroup
	wg.Go(func() { e.keep(ctx) })
	<-ctx.Done()
	wg.Wait()
	stop, cancel := context.WithTimeout(background, grace)
	defer cancel()
	err := errors.Join(e.queue.Stop(stop), e.ended(stop))
	e.cancel()
	if err != nil {
		// Cancelled passes still record that they were.
		stop, cancel := context.WithTimeout(background, afterGrace)
		defer cancel()
		err = errors.Join(e.queue.StopAndCancel(stop), e.ended(stop))
	}
	return errors.Join(ctx.Err(), err)
}

// ended waits until no pass is under way, when no new one can begin.
func (e *Engine) ended(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		e.passes.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// start starts the queue, which may take the database's coming back.
func (e *Engine) start(ctx, background context.Context) error {
	t := time.NewTicker(startAgain)
	defer t.Stop()
	for {
		err := e.queue.Start(background)
		e.trouble("QueueNotStarted", err)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
	}
}

// startAgain is the wait before another try to start the queue.
const startAgain = time.Second

// afterGrace is how long a pass that was cancelled has to record it.
const afterGrace = 10 * time.Second

// Request asks for a pass of a fabric. Requests that meet, or meet a pass that
// is waiting or under way, get one pass; the result is the number of the
// newest pass when the request was made: the pass asked for is a later one, or
// that one if it is still under way.
func (e *Engine) Request(ctx context.Context, fabric int64, lane, actor string) (newest hedgerow.Run, err error) {
	newest, err = e.conf.Store.NewestPass(ctx, fabric)
	if err != nil {
		return newest, err
	}
	args := observeArgs{Fabric: fabric, Lane: lane, Key: newest.ID, Actor: actor}
	res, err := e.queue.Insert(ctx, args, opts(lane))
	if err == nil && res.UniqueSkippedAsDuplicate && newest.Outcome != hedgerow.Running && e.lost(res.Job) {
		args.Instead = res.Job.ID
		_, err = e.queue.Insert(ctx, args, opts(lane))
	}
	if err != nil {
		return newest, hedgerow.Errorf(hedgerow.CodeStore, "queue the pass: %w", err)
	}
	return newest, nil
}

// lost reports whether a job that is said to be worked, without a pass of its
// fabric, was taken by a process that died before it could begin one.
func (e *Engine) lost(job *rivertype.JobRow) bool {
	return job.State == rivertype.JobStateRunning && job.AttemptedAt != nil && e.conf.Now().Sub(*job.AttemptedAt) > takesToBegin
}

// takesToBegin is more than a job needs to begin its pass.
const takesToBegin = 10 * time.Second

func opts(lane string) *river.InsertOpts {
	return &river.InsertOpts{Priority: priorities[lane], MaxAttempts: attempts, UniqueOpts: river.UniqueOpts{ByArgs: true, ByState: undone}}
}

// undone are the states of jobs that another may meet. One that is done may
// have come to nothing, and is no reason to do nothing again.
var undone = []rivertype.JobState{
	rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable, rivertype.JobStateRunning, rivertype.JobStateScheduled,
}

// attempts at a job whose worker failed for a reason of its own.
const attempts = 5

// Depth says how many jobs wait for a worker, at most a thousand, and for how
// long the first of them has.
func (e *Engine) Depth(ctx context.Context) (waiting int, oldest time.Duration, err error) {
	const most = 1000
	list, err := e.queue.JobList(ctx, river.NewJobListParams().States(rivertype.JobStateAvailable).OrderBy(river.JobListOrderByScheduledAt, river.SortOrderAsc).First(most))
	if err != nil {
		return 0, 0, hedgerow.Errorf(hedgerow.CodeStore, "look at the queue: %w", err)
	}
	if len(list.Jobs) > 0 {
		oldest = e.conf.Now().Sub(list.Jobs[0].ScheduledAt)
	}
	return len(list.Jobs), max(oldest, 0), nil
}
