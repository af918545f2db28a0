package freezer

import (
	"errors"

	"golang.org/x/sys/unix"
)

// strayName is the cgroup that holds, while they are frozen, processes that the
// guest has put into the root of the hierarchy, which can't be.
const strayName = homeName + "-strays"

// herd moves strays where they can be frozen, and the agent where it can't be. It
// reports whether there were none.
func (f *Freezer) herd() (none bool, err error) {
	pids, err := f.root.processes(".")
	if err != nil {
		return false, err
	}
	none = true
	here := false
	for _, pid := range pids {
		if pid == f.self {
			here = true
		}
		if pid == f.self || ofKernel(pid) {
			continue
		}
		none = false
		if err := f.moveOut(pid); err != nil {
			return false, err
		}
	}
	if f.self != 0 && !here {
		return false, f.root.attach(".", f.self)
	}
	return none, nil
}

// ofKernel tells whether a process is a thread of the kernel's: all others that the
// agent started have a session, as had those that started them.
func ofKernel(pid int) bool {
	sid, err := unix.Getsid(pid)
	return err == nil && sid == 0
}

func (f *Freezer) moveOut(pid int) error {
	if !f.moved {
		strays, err := f.root.make(strayName)
		if err != nil {
			return err
		}
		unix.Close(strays.fd)
		f.moved = true
	}
	if err := f.root.attach(strayName, pid); err != nil && !vanished(err) {
		return err
	}
	return nil
}

// release moves the strays back.
func (f *Freezer) release() error {
	pids, err := f.root.processes(strayName)
	for _, pid := range pids {
		if e := f.root.attach(".", pid); e != nil && !vanished(e) {
			err = errors.Join(err, e)
		}
	}
	if vanished(err) {
		return nil
	}
	return err
}
