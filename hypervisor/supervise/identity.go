package supervise

import (
	"bytes"
	"fmt"
	"os"

	"github.com/bulkhead-vm/bulkhead/vmm/procstat"
)

// Identity is one process's, for as long as the host isn't booted anew; with the
// boot's own, for ever. A process ID alone is somebody else's sooner or later.
type Identity struct {
	PID int
	// StartTicks is when it began: field 22 of proc(5)'s /proc/pid/stat.
	StartTicks uint64
	BootID     string
}

// BootID returns that of the running kernel.
func BootID() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("boot ID: %w", err)
	}
	return string(bytes.TrimSpace(b)), nil
}

// identify returns the identity of the process that has pid now.
func identify(pid int) (Identity, error) {
	boot, err := BootID()
	if err != nil {
		return Identity{}, err
	}
	ticks, err := procstat.StartTicks(pid)
	return Identity{PID: pid, StartTicks: ticks, BootID: boot}, err
}
