// Package freezer starts processes where all of them can be made to stand still: in
// a cgroup, with all that they start.
//
// The guest has cgroup v2 and may do with it what it likes; what is mounted on
// /sys/fs/cgroup is its own. The agent has a mount of its own that is in nobody's
// tree, and in the hierarchy the cgroup "bulkhead", which processes are started in.
// Those of them that go elsewhere are found there: nothing stands still by itself
// but the agent and the kernel.
package freezer

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
)

const (
	homeName = "bulkhead"
	// maxHomes is how often the guest may spoil the cgroup that processes are
	// started in before it has itself to blame that none starts.
	maxHomes = 64
)

// Freezer freezes the processes of this machine, of which the caller is the first.
// Its methods may be called from any goroutine.
type Freezer struct {
	mount func() (fd int, err error) // the hierarchy's root
	self  int                        // the agent's process; 0: it isn't in the hierarchy

	once sync.Once
	root dir
	err  error // why there is none

	homes sync.RWMutex // held for reading while a process is started
	home  dir
	count int // of homes there were

	mu     sync.Mutex      // held by Freeze and Thaw
	frozen map[string]bool // the cgroups that Freeze has frozen
	moved  bool            // there may be processes in the cgroup for strays
}

// New returns a freezer. It does nothing until the first process is started.
func New() *Freezer { return &Freezer{mount: mount, self: os.Getpid()} }

// mount returns a mount of cgroup v2 that no path leads to.
func mount() (int, error) {
	fs, err := unix.Fsopen("cgroup2", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("cgroup2: %w", err)
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, fmt.Errorf("cgroup2: %w", err)
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
	if err != nil {
		return -1, fmt.Errorf("mount cgroup2: %w", err)
	}
	return fd, nil
}

// open finds out whether there are cgroups, the first time.
func (f *Freezer) open() error {
	f.once.Do(func() {
		fd, err := f.mount()
		if err == nil {
			f.root = dir{fd}
			f.home, err = f.root.make(homeName)
		}
		if err == nil && !f.home.has("cgroup.freeze") {
			err = errors.New("cgroups without cgroup.freeze")
		}
		if err != nil {
			f.err = fail.Errorf(fail.Untimely, "this guest's kernel can't freeze processes: %w (it needs cgroup v2, as Linux 5.2 has it)", err)
		}
	})
	return f.err
}

// Enter calls fork with the descriptor of the cgroup to start a process in, or with
// -1 where the kernel has none: then the guest can't be frozen. A fork that the
// cgroup refuses, because of what the guest has done to it, is called again with
// another.
func (f *Freezer) Enter(fork func(cgroup int) error) error {
	if f.open() != nil {
		return fork(-1)
	}
	for {
		f.homes.RLock()
		count := f.count
		err := fork(f.home.fd)
		again := err != nil && f.spoilt(err)
		f.homes.RUnlock()
		if !again || f.leave(count) != nil {
			return err
		}
	}
}

// spoilt tells whether err is what clone(2) says of a cgroup that gives controllers
// to those below it, and so takes no processes, that is part of a threaded one, or
// that was deleted: of that it says ENOENT as of a program that isn't there. The
// caller holds f.homes.
func (f *Freezer) spoilt(err error) bool {
	return errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EOPNOTSUPP) || !f.home.has("cgroup.procs")
}

// leave has another home take the place of number count.
func (f *Freezer) leave(count int) error {
	f.homes.Lock()
	defer f.homes.Unlock()
	if f.count != count {
		return nil // it was left already
	}
	if f.count >= maxHomes {
		return errors.New("too many")
	}
	f.count++
	next, err := f.root.make(fmt.Sprintf("%s-%d", homeName, f.count))
	if err != nil {
		return err
	}
	unix.Close(f.home.fd)
	f.home = next
	return nil
}
