package main

import (
	"context"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// supervised tells systemd, where it asked to be told, that the service is up,
// that it is still well, and that it stops.
func (s *service) supervised(ctx context.Context) error {
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		s.log.Warn("the watchdog is not served", "error", err.Error())
	}
	// Up is who does its work.
	look := time.NewTicker(soon)
	defer look.Stop()
	for up := false; !up; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-look.C:
			up = s.flags.workers == 0 || !s.engine.TickedAt().IsZero()
		}
	}
	s.notify(daemon.SdNotifyReady)
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
			s.notify(daemon.SdNotifyStopping)
			draining = nil
		case <-tick:
			// Only a process that does its work is alive.
			if s.flags.workers == 0 || s.now().Sub(s.engine.TickedAt()) < every {
				s.notify(daemon.SdNotifyWatchdog)
			}
		}
	}
}

// soon is how often it is looked whether the service is up.
const soon = 50 * time.Millisecond

// notify tells systemd. That it cannot be told is no reason to stop.
func (s *service) notify(what string) {
	if _, err := daemon.SdNotify(false, what); err != nil {
		s.log.Warn("systemd not told", "what", what, "error", err.Error())
	}
}
