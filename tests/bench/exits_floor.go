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
)

// bareLoop is a vCPU that is run by the system call alone: no loop, no bus, and
// nothing told to Go's scheduler.
type bareLoop struct{ fd uintptr }

// newBareLoop makes the only vCPU of this process so far.
func newBareLoop() (bareLoop, func(), error) {
	_, release, err := tinyVCPU(counterGuest)
	if err != nil {
		return bareLoop{}, nil, err
	}
	links, err := filepath.Glob("/proc/self/fd/*")
	for _, link := range links {
		if to, _ := os.Readlink(link); to == "anon_inode:kvm-vcpu:0" {
			var l bareLoop
			_, err := fmt.Sscan(filepath.Base(link), &l.fd)
			return l, release, err
		}
	}
	release()
	return bareLoop{}, nil, errors.Join(err, errors.New("the vCPU's descriptor is not in /proc/self/fd"))
}

// run takes a batch of exits and returns nanoseconds for each.
func (l bareLoop) run() float64 {
	const kvmRun = 0xae80
	start := time.Now()
	for range batch {
		unix.RawSyscall(unix.SYS_IOCTL, l.fd, kvmRun, 0)
	}
	return float64(time.Since(start).Nanoseconds()) / batch
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
