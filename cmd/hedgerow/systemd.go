package main

import (
	"context"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// supervised tells systemd, where it asked to be told, that the service is up,
// that it is still well, and that it stops.
func (s *service) supervised(ctx context.Context) error {
	if _, err := daemon.SdNotify(false, daemon.SdNotifyReady); err != nil {
		return err
	}
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return err
	}
	tick := make(<-chan time.Time)
	if every > 0 {
		t := time.NewTicker(every / 2)
		defer t.Stop()
		tick = t.C
	}
	draining := s.draining
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-draining:
			if _, err := daemon.SdNotify(false, daemon.SdNotifyStopping); err != nil {
				return err
			}
			draining = nil
		case <-tick:
			// Only a process that does its work is alive.
			if s.flags.workers > 0 && s.now().Sub(s.engine.TickedAt()) > every {
				continue
			}
			if _, err := daemon.SdNotify(false, daemon.SdNotifyWatchdog); err != nil {
				return err
			}
		}
	}
}
