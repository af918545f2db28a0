// Package slack lets the kernel be late with timers. The Go runtime has a
// thread that looks after the others every 20 µs when a program begins, and
// whenever one comes back from a long system call. Where the kernel's code is
// emulated, or the host is a virtual machine itself, to wake it costs more than
// that, and a program that does little else is slowed down several times over.
package slack

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Set lets timers of this process, and of those it starts, be late by d.
func Set(d time.Duration) error {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return fmt.Errorf("timer slack: %w", err)
	}
	value := []byte(strconv.FormatInt(int64(d), 10))
	for _, t := range threads {
		if err := write("/proc/"+t.Name()+"/timerslack_ns", value); err != nil {
			return fmt.Errorf("timer slack: %w", err)
		}
	}
	return nil
}

func write(path string, b []byte) error {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, b)
	return err
}
