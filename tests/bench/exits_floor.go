package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/vmm/kvm"
)

// bareLoop is a vCPU that is run by the system call alone: no loop, no bus, and
// nothing told to Go's scheduler.
type bareLoop struct {
	vcpu *kvm.VCPU
	fd   uintptr
}

// newBareLoop makes the only vCPU of this process so far.
func newBareLoop() (bareLoop, func(), error) {
	v, release, err := tinyVCPU(counterGuest)
	if err != nil {
		return bareLoop{}, nil, err
	}
	links, err := filepath.Glob("/proc/self/fd/*")
	for _, link := range links {
		if to, _ := os.Readlink(link); to == "anon_inode:kvm-vcpu:0" {
			l := bareLoop{vcpu: v}
			_, err := fmt.Sscan(filepath.Base(link), &l.fd)
			return l, release, err // a number, in that directory
		}
	}
	release()
	return bareLoop{}, nil, errors.Join(err, errors.New("the vCPU's descriptor is not in /proc/self/fd"))
}

// run takes a batch of exits and returns nanoseconds for each. What a signal
// interrupts is no exit.
func (l bareLoop) run() (float64, error) {
	const kvmRun = 0xae80
	start := time.Now()
	for left := batch; left > 0; {
		switch _, _, errno := unix.RawSyscall(unix.SYS_IOCTL, l.fd, kvmRun, 0); {
		case errno == unix.EINTR:
		case errno != 0:
			return 0, fmt.Errorf("bare KVM_RUN: %w", errno)
		case l.vcpu.ExitReason() != kvm.ExitIO:
			return 0, fmt.Errorf("bare KVM_RUN ended with %v", l.vcpu.ExitReason())
		default:
			left--
		}
	}
	return float64(time.Since(start).Nanoseconds()) / batch, nil
}

// floorExits is the loop in C, waiting for its turns.
type floorExits struct {
	cmd  *exec.Cmd
	turn io.WriteCloser
	took *bufio.Reader
}

func (b *bench) startFloorExits() (*floorExits, error) {
	f := &floorExits{cmd: exec.Command(b.floor, "exits", fmt.Sprint(batch))}
	var err error
	if f.turn, err = f.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := f.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	f.took = bufio.NewReader(out)
	return f, f.cmd.Start()
}

// run has the C loop serve a batch and returns its nanoseconds for each exit.
func (f *floorExits) run() (float64, error) {
	if _, err := f.turn.Write([]byte("\n")); err != nil {
		return 0, fmt.Errorf("floor: %w", err)
	}
	var ns float64
	if _, err := fmt.Fscanln(f.took, &ns); err != nil {
		return 0, fmt.Errorf("floor: %w", err)
	}
	return ns / batch, nil
}

func (f *floorExits) close() error { return errors.Join(f.turn.Close(), f.cmd.Wait()) }
