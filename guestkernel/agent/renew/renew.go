// Package renew gives a machine that was restored from a snapshot what it must not
// share with the one that was saved, nor with others restored from it: random
// numbers, and the time.
package renew

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
)

// How many bytes of entropy make sense: as much as the kernel's generator has, and a
// bound.
const (
	MinEntropy = 32
	MaxEntropy = 4096
)

// CheckEntropy fails unless b are as many bytes as Entropy takes, or none.
func CheckEntropy(b []byte) error {
	if len(b) != 0 && len(b) < MinEntropy || len(b) > MaxEntropy {
		return fail.Errorf(fail.Invalid, "%d bytes of entropy: it takes %d to %d", len(b), MinEntropy, MaxEntropy)
	}
	return nil
}

const device = "/dev/urandom"

// Entropy mixes b into the kernel's random numbers, which are others from then on.
// Nobody else knows b. Of no bytes it does nothing.
func Entropy(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	fd, err := openRandom()
	if err == nil {
		err = errors.Join(addEntropy(fd, b), reseed(fd), unix.Close(fd))
	}
	if err != nil {
		return fmt.Errorf("renew the kernel's random numbers: %w", err)
	}
	return nil
}

// openRandom opens the device, and nothing that is in its place.
func openRandom() (int, error) {
	fd, err := unix.Open(device, unix.O_WRONLY|unix.O_CLOEXEC|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, fmt.Errorf("open %s: %w", device, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != unix.Mkdev(1, 9) {
		unix.Close(fd)
		return -1, fail.Errorf(fail.Untimely, "%s isn't the kernel's: the guest has something else there", device)
	}
	return fd, nil
}

// reseed has the generator take what was added at once.
func reseed(fd int) error {
	if err := unix.IoctlSetInt(fd, unix.RNDRESEEDCRNG, 0); err != nil {
		return fmt.Errorf("reseed: %w", err)
	}
	return nil
}

// CheckTime fails unless t, in nanoseconds since 1970, can be the time. 0 can.
func CheckTime(t int64) error {
	if t < 0 {
		return fail.Errorf(fail.Invalid, "the time can't be before 1970")
	}
	return nil
}

// Time sets the wall clock, in nanoseconds since 1970. To 0 it does nothing.
func Time(t int64) error {
	if t == 0 {
		return nil
	}
	ts := unix.NsecToTimespec(t)
	err := unix.ClockSettime(unix.CLOCK_REALTIME, &ts)
	if errors.Is(err, unix.EINVAL) {
		return fail.Errorf(fail.Invalid, "set the clock to %v: %w: so much time hasn't passed since the guest began, or it is too far ahead", time.Unix(0, t).UTC(), err)
	}
	if err != nil {
		return fmt.Errorf("set the clock: %w", err)
	}
	return nil
}
