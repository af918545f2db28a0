// Package power ends the guest: its processes first, the machine last.
package power

import (
	"context"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/process"
)

const (
	// MaxGrace is the most that processes get to end by themselves.
	MaxGrace = time.Hour
	// killTime is for the kernel to carry SIGKILL out.
	killTime = 5 * time.Second
	// sendTime is for the last output, which a host that doesn't read holds up.
	sendTime = 2 * time.Second
)

// EndAll ends every process: by SIGTERM, and after the grace by SIGKILL. No
// other is started from then on. It returns when all are gone and their output
// is on its way to the host.
func EndAll(t *process.Table, grace time.Duration) {
	t.Close()
	signalAll(unix.SIGTERM)
	signalAll(unix.SIGCONT) // for who is stopped to get it
	if !within(grace, t.WaitEmpty) {
		signalAll(unix.SIGKILL)
		within(killTime, t.WaitEmpty)
	}
	within(sendTime, t.WaitSent)
}

func within(d time.Duration, wait func(context.Context) error) bool {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return wait(ctx) == nil
}

// signalAll signals every process but this one, which must be the first of
// its machine: there is nobody outside then.
func signalAll(s unix.Signal) {
	if os.Getpid() == 1 {
		_ = unix.Kill(-1, s) // fails when there is none
	}
}

// Off turns the machine off, as its kernel knows to by ACPI, or else as the
// kernel's command line says. It returns only if that fails.
func Off(commandLine string) error {
	if os.Getpid() != 1 {
		return fmt.Errorf("turn the machine off: %w: only its first process does", unix.EPERM)
	}
	if port, value, ok := offPort(commandLine); ok {
		writePort(port, value)
	}
	return fmt.Errorf("turn the machine off: %w", unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF))
}
