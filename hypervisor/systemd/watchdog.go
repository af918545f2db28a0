package systemd

import (
	"context"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Watchdog tells the manager that the daemon works, as often as it wants to hear
// it and as long as healthy says so, until ctx is done. A healthy that doesn't
// return says no.
func (m *Manager) Watchdog(ctx context.Context, healthy func() bool) {
	if m.watchdog == 0 {
		return
	}
	// Asking takes time as well: with a third of it, one that is late is in time.
	tick := time.NewTicker(m.watchdog / 3)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if healthy() {
				m.tell(daemon.SdNotifyWatchdog)
			}
		case <-ctx.Done():
			return
		}
	}
}
