package stdio

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/streams"
)

// terminalContent is more than a terminal holds: the kernel's own limits are
// 8 KiB on the way and 4 KiB to be read.
const terminalContent = 64 << 10

func (p *IO) openTerminal(h *streams.Hub, size Size, owner int) error {
	ours, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("open /dev/ptmx: %w (/dev/pts must be a devpts)", err)
	}
	p.tty = os.NewFile(uintptr(ours), "terminal")
	p.outputs = []*output{{
		file:    p.tty,
		stream:  p.streams[0],
		buffers: &h.Buffers,
		tie:     p.tie,
		waiting: func(int) int { return terminalContent },
		done:    make(chan struct{}),
	}}
	p.input = &input{
		file:     p.tty,
		terminal: true,
		stream:   p.streams[0],
		buffers:  &h.Buffers,
		done:     make(chan struct{}),
	}
	theirs, err := openPeer(ours)
	if err != nil {
		return fmt.Errorf("terminal: %w", err)
	}
	p.child = [3]int{theirs, theirs, theirs}
	return prepare(theirs, size, owner)
}

// openPeer returns the process's end, without a path: what is mounted on
// /dev/pts doesn't matter.
func openPeer(ours int) (int, error) {
	if err := unix.IoctlSetPointerInt(ours, unix.TIOCSPTLCK, 0); err != nil {
		return -1, err
	}
	fd, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(ours), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if errno != 0 {
		return -1, errno
	}
	return int(fd), nil
}

func prepare(fd int, size Size, owner int) error {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err == nil {
		t.Iflag |= unix.IUTF8 // backspace takes a whole character
		err = unix.IoctlSetTermios(fd, unix.TCSETS, t)
	}
	if err == nil {
		err = setSize(fd, size)
	}
	if err == nil && owner != 0 {
		err = unix.Fchown(fd, owner, -1)
	}
	if err != nil {
		return fmt.Errorf("terminal: %w", err)
	}
	return nil
}

func setSize(fd int, size Size) error {
	return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: uint16(size.Rows), Col: uint16(size.Columns)})
}

// Resize changes the size of the terminal.
func (p *IO) Resize(size Size) error {
	if err := size.check(); err != nil {
		return err
	}
	if p.tty == nil {
		return fail.Errorf(fail.Untimely, "the process has no terminal to resize")
	}
	raw, err := p.tty.SyscallConn()
	if err != nil {
		return err
	}
	var errno error
	if err := raw.Control(func(fd uintptr) { errno = setSize(int(fd), size) }); err != nil {
		return fail.Errorf(fail.Untimely, "the terminal is closed: %w", err)
	}
	return errno
}
