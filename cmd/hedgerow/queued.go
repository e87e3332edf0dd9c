package main

import (
	"context"
	"errors"

	"hedgerow"
	"hedgerow/internal/jobs"
	"hedgerow/internal/store"
)

// errSeen ends a wait that has been successful.
var errSeen = errors.New("seen")

// syncQueued has a running process make a pass, and waits for its end.
func (a *app) syncQueued(ctx context.Context, f hedgerow.Fabric) (run hedgerow.Run, err error) {
	db, err := a.store(ctx)
	if err != nil {
		return run, err
	}
	if err := a.worked(ctx, db); err != nil {
		return run, err
	}
	queue, err := db.Queue(ctx)
	if err != nil {
		return run, err
	}
	defer queue.Close()
	engine, err := jobs.New(ctx, jobs.Config{Store: db, Now: a.now, Log: a.log, Database: jobs.Database(*queue)})
	if err != nil {
		return run, err
	}
	before, err := engine.Request(ctx, f.ID, jobs.Manual, actor())
	if err != nil {
		return run, err
	}
	err = a.whenever(ctx, func(ctx context.Context) error {
		newest, err := db.NewestPass(ctx, f.ID)
		if err != nil {
			return err
		}
		if newest.Outcome == hedgerow.Running || newest.ID == before.ID && before.Outcome != hedgerow.Running { // not yet
			return a.stillComing(ctx, db, f)
		}
		if run, err = db.Run(ctx, newest.ID); err != nil {
			return err
		}
		return errSeen
	})
	if errors.Is(err, errSeen) {
		return run, nil
	}
	if err == nil { // interrupted
		err = hedgerow.Errorf(hedgerow.CodeInterrupted, "not waited for: the pass is still asked for").WithHint("See what became of it: hedgerow runs -F %s", f.Name)
	}
	return run, err
}

// stillComing fails when the pass that was asked for will not come.
func (a *app) stillComing(ctx context.Context, db *store.DB, f hedgerow.Fabric) error {
	if err := a.worked(ctx, db); err != nil {
		return err
	}
	if err := db.CloseInterrupted(ctx, a.now()); err != nil {
		return err
	}
	now, err := db.FabricByID(ctx, f.ID)
	if err == nil && now.Suspended {
		err = hedgerow.Errorf(hedgerow.CodeSuspended, "fabric %s has been suspended", f.Name).WithHint("Resume it: hedgerow fabric resume %s", f.Name)
	}
	return err
}

// worked fails when no process works the queue.
func (a *app) worked(ctx context.Context, db *store.DB) error {
	processes, err := db.Processes(ctx)
	if err != nil {
		return err
	}
	for _, p := range processes {
		if p.Workers > 0 && !p.Gone {
			return nil
		}
	}
	return hedgerow.Errorf(hedgerow.CodeUnconfigured, "no process works the queue").WithHint("Start hedgerow serve, or make the pass here: leave --queue out.")
}
