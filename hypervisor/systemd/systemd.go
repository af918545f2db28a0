// Package systemd is what a service manager and a daemon tell each other. Without
// systemd, all of it does nothing.
package systemd

import (
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Manager is the service manager that started this process. The zero Manager is
// none: nobody hears anything. Its methods may be called from any goroutine; what
// the manager doesn't hear it asks for, by ending the daemon.
type Manager struct {
	socket   string        // empty: nobody listens
	watchdog time.Duration // 0: nobody waits
}

const envNotify = "NOTIFY_SOCKET"

// NewManager returns the manager that the environment tells of, and takes its
// words out of the environment: they are for this process and not for its
// children. It is called once, before there are any.
func NewManager() (*Manager, error) {
	m := &Manager{socket: os.Getenv(envNotify)}
	watchdog, err := daemon.SdWatchdogEnabled(true)
	if err != nil {
		return nil, fmt.Errorf("the service manager's watchdog: %w", err)
	}
	m.watchdog = watchdog
	return m, os.Unsetenv(envNotify)
}

// Ready says that the daemon serves, or that it has its configuration read again.
func (m *Manager) Ready(status string) { m.tell(daemon.SdNotifyReady, statusLine(status)) }

// Reloading says that the daemon reads its configuration again, until Ready.
func (m *Manager) Reloading() { m.tell(daemon.SdNotifyReloading, monotonic()) }

// Status says how the daemon is, in a line for people.
func (m *Manager) Status(status string) { m.tell(statusLine(status)) }

// Stopping says that the daemon is about to end.
func (m *Manager) Stopping(status string) { m.tell(daemon.SdNotifyStopping, statusLine(status)) }

func statusLine(status string) string {
	return "STATUS=" + strings.ReplaceAll(strings.TrimSpace(status), "\n", "; ")
}

// tell sends a message; sd_notify(3).
func (m *Manager) tell(lines ...string) {
	if m.socket == "" {
		return
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: m.socket, Net: "unixgram"})
	if err != nil {
		return
	}
	defer conn.Close()
	conn.Write([]byte(strings.Join(lines, "\n")))
}
