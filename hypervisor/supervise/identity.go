package supervise

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
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

// idName is where in a bundle the worker's identity is: who owned it may have been
// killed before anybody else knew.
const idName = "worker.id"

// writeID keeps the identity of the bundle's worker.
func (b *Bundle) writeID(id Identity) error {
	return os.WriteFile(b.Path(idName), fmt.Appendln(nil, id.PID, id.StartTicks, id.BootID), 0o600)
}

// Worker returns the identity of the worker that was started in the bundle, if
// it is known: an owner that was killed in between doesn't tell.
func (b *Bundle) Worker() (id Identity, known bool, err error) {
	text, err := os.ReadFile(b.Path(idName))
	if errors.Is(err, fs.ErrNotExist) {
		return Identity{}, false, nil
	}
	if err != nil {
		return Identity{}, false, fmt.Errorf("who the worker is: %w", err)
	}
	_, err = fmt.Sscanln(string(text), &id.PID, &id.StartTicks, &id.BootID)
	return id, err == nil, nil
}
