package supervise

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is a worker's, by a descriptor that stays its own, whoever started it.
type process struct {
	Identity
	fd     *os.File
	cmd    *exec.Cmd     // nil: it isn't this process's child
	exited chan struct{} // closed by watch when it is gone
}

// openProcess returns the process that has pid now.
func openProcess(pid int) (*process, error) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("process %d: %w", pid, err)
	}
	p := &process{fd: os.NewFile(uintptr(fd), "process"), exited: make(chan struct{})}
	if p.Identity, err = identify(pid); err != nil {
		return nil, errors.Join(fmt.Errorf("process %d: %w", pid, err), p.fd.Close())
	}
	return p, nil
}

// watch waits until the process is gone, or p is closed, which a child isn't before
// it is gone. It takes no thread meanwhile.
func (p *process) watch() {
	conn, err := p.fd.SyscallConn()
	if err == nil {
		err = conn.Read(gone)
	}
	if err != nil {
		return // closed: who does so doesn't want to know any more
	}
	if p.cmd == nil {
		close(p.exited)
		return
	}
	p.cmd.Wait() // its state says how it went
	close(p.exited)
	p.fd.Close()
}

// close lets go of the process. A child is watched all the same until it is gone:
// nobody else can wait for it, and it would stay as a zombie.
func (p *process) close() error {
	if p.cmd != nil {
		return nil
	}
	return p.fd.Close()
}

// gone reports whether the process with descriptor fd has ended; pidfd_open(2).
func gone(fd uintptr) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, 0)
	return n > 0 && err == nil
}

// killTime is how long a process may take to end that was killed: its memory is
// given back, and what it has in the kernel.
const killTime = 30 * time.Second

// kill makes sure that the process is gone.
func (p *process) kill() error {
	conn, err := p.fd.SyscallConn()
	if err != nil {
		return fmt.Errorf("kill the worker: %w", err)
	}
	var sent error
	err = conn.Control(func(fd uintptr) { sent = unix.PidfdSendSignal(int(fd), unix.SIGKILL, nil, 0) })
	if err = errors.Join(err, sent); err != nil && !errors.Is(err, unix.ESRCH) && !p.over() {
		return fmt.Errorf("kill the worker: %w", err)
	}
	select {
	case <-p.exited:
		return nil
	case <-time.After(killTime):
		return fmt.Errorf("kill the worker: process %d is still there after %v, stuck in the kernel: see /proc/%[1]d/stack", p.PID, killTime)
	}
}

// over reports whether the process is known to be gone: a child's descriptor is, too.
func (p *process) over() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// how says how the process went, once it has; that of another's child is only
// known to be gone.
func (p *process) how() (text string, signaled bool) {
	if p.cmd == nil {
		return "gone", false
	}
	status, _ := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return fmt.Sprintf("gone (%v)", p.cmd.ProcessState), status.Signaled()
}

// Kill ends a process that was a worker's once, if it still is there, and waits
// for its end.
func Kill(id Identity) error {
	boot, err := BootID()
	if err != nil {
		return err
	}
	if boot != id.BootID {
		return nil // the host was booted anew
	}
	p, err := openProcess(id.PID)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer p.close()
	if p.Identity != id {
		return nil // another one has its number
	}
	go p.watch()
	return p.kill()
}
