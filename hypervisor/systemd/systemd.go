// Package systemd is what a service manager and a daemon tell each other. Without
// systemd, all of it does nothing.
package systemd

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
)

// Sockets returns the listening sockets that systemd passed in, by the names that
// their unit gives them. They are not passed on to children.
func Sockets() (map[string][]net.Listener, error) {
	l, err := activation.ListenersWithNames()
	if err != nil {
		return nil, fmt.Errorf("sockets from systemd: %w", err)
	}
	return l, nil
}

// Notify tells systemd the daemon's state, such as daemon.SdNotifyReady. What it
// doesn't hear it asks for, by ending the daemon.
func Notify(state string) { daemon.SdNotify(false, state) }

// States of the daemon.
const (
	Ready    = daemon.SdNotifyReady
	Stopping = daemon.SdNotifyStopping
)

// Reloading tells systemd that the daemon reads its configuration again, until
// Ready.
func Reloading() { Notify(daemon.SdNotifyReloading + "\n" + monotonic()) }

// Watchdog tells systemd that the daemon works, as often as it wants to hear it
// and as long as healthy says so, until ctx is done.
func Watchdog(ctx context.Context, healthy func() bool) {
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil || interval == 0 {
		return
	}
	tick := time.NewTicker(interval / 3)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if healthy() {
				Notify(daemon.SdNotifyWatchdog)
			}
		case <-ctx.Done():
			return
		}
	}
}
