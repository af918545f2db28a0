package freezer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
)

const (
	firstPause = time.Millisecond
	lastPause  = 20 * time.Millisecond
)

// Freeze has every process stand still. It waits for that as long as ctx; when it
// fails all go on. To freeze what is frozen is fine. Nobody calls Enter meanwhile.
func (f *Freezer) Freeze(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.open(); err != nil {
		return err
	}
	err := f.freeze(ctx)
	if err != nil {
		return errors.Join(fmt.Errorf("freeze: %w", err), f.thaw())
	}
	return nil
}

// freeze looks until it has seen, twice in a row, that all stand still and nothing
// is new: who was running in between was seen the second time.
func (f *Freezer) freeze(ctx context.Context) error {
	quiet := 0
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		same, err := f.freezeMore()
		if err != nil {
			return err
		}
		still, err := f.stillStanding()
		if err != nil {
			return err
		}
		if !same || !still {
			quiet = 0
		} else if quiet++; quiet == 2 {
			return nil
		}
		if quiet > 0 {
			continue
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return f.late(ctx)
		}
	}
}

func (f *Freezer) late(ctx context.Context) error {
	cause := context.Cause(ctx)
	if !errors.Is(cause, context.DeadlineExceeded) {
		return cause
	}
	return fail.Errorf(fail.Late, "not everything stands still in time: %s", f.moving())
}

// freezeMore freezes what isn't being frozen, and reports whether there was nothing.
func (f *Freezer) freezeMore() (same bool, err error) {
	same, err = f.herd()
	if err != nil {
		return false, err
	}
	names, err := f.root.dirs(".")
	if err != nil {
		return false, err
	}
	for _, name := range names {
		if f.frozen[name] {
			continue
		}
		file := name + "/cgroup.freeze"
		now, err := f.root.read(file)
		if err == nil && now == "0\n" { // else the guest has done so itself
			same = false
			err = f.root.write(file, "1")
			if err == nil {
				f.remember(name)
			}
		}
		if err != nil && !vanished(err) {
			return false, err
		}
	}
	return same, nil
}

func (f *Freezer) remember(name string) {
	if f.frozen == nil {
		f.frozen = map[string]bool{}
	}
	f.frozen[name] = true
}

// stillStanding tells whether all cgroups are frozen.
func (f *Freezer) stillStanding() (bool, error) {
	names, err := f.root.dirs(".")
	if err != nil {
		return false, err
	}
	for _, name := range names {
		if still, err := f.root.isFrozen(name); !still && !vanished(err) {
			return false, err
		}
	}
	return true, nil
}

// Thaw has those go on that Freeze has frozen. It may be called at any time.
func (f *Freezer) Thaw() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.thaw(); err != nil {
		return fmt.Errorf("thaw: %w", err)
	}
	return nil
}

// thaw leaves what it can't do to be tried again. The caller holds f.mu.
func (f *Freezer) thaw() (err error) {
	if f.moved {
		err = f.release()
	}
	for name := range f.frozen {
		e := f.root.write(name+"/cgroup.freeze", "0")
		if e != nil && !vanished(e) {
			err = errors.Join(err, e)
			continue
		}
		delete(f.frozen, name)
	}
	if err == nil && f.moved {
		// It fails if a process is left, or was started there.
		f.moved = unix.Unlinkat(f.root.fd, strayName, unix.AT_REMOVEDIR) != nil
	}
	return err
}
