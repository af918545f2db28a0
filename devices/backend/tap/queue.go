package tap

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/devices/iovec"
)

// queue is one descriptor of a tap interface.
type queue struct {
	f    *os.File
	raw  syscall.RawConn
	recv transfer
	send transfer
}

// transfer is one direction. The function is made once, so that a frame costs
// no allocation.
type transfer struct {
	do   func(fd uintptr) (done bool)
	bufs [][]byte
	more func() [][]byte // asked for bufs at each attempt; may be nil
	idle func()          // called before a wait; may be nil
	n    int
	err  error
}

func (t *transfer) init(call func(int, [][]byte) (int, error)) {
	t.do = func(fd uintptr) bool {
		if t.more != nil {
			t.bufs = t.more()
		}
		if t.n, t.err = call(int(fd), t.bufs); t.err != unix.EAGAIN {
			return true
		}
		if t.idle != nil {
			t.idle()
		}
		return false
	}
}

// run waits with wait until the transfer could be made.
func (t *transfer) run(wait func(func(uintptr) bool) error) (int, error) {
	if err := wait(t.do); err != nil {
		return 0, err
	}
	return t.n, t.err
}

func openQueue(name string, flags uint16) (*queue, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/net/tun: %w (modprobe tun, or run with access to it)", err)
	}
	if err := setInterface(fd, name, flags); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	q := &queue{f: os.NewFile(uintptr(fd), name)} // non-blocking: known to the poller
	if q.raw, err = q.f.SyscallConn(); err != nil {
		return nil, errors.Join(err, q.f.Close())
	}
	q.recv.init(iovec.Readv)
	q.send.init(iovec.Writev)
	return q, nil
}

func setInterface(fd int, name string, flags uint16) error {
	req, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR | flags)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		return err
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, HeaderSize); err != nil {
		return fmt.Errorf("set header size: %w", err)
	}
	return nil
}

// attach gives frames to the queue, or no longer.
func (q *queue) attach(name string, on bool) error {
	req, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_DETACH_QUEUE)
	if on {
		req.SetUint16(unix.IFF_ATTACH_QUEUE)
	}
	if err := q.control(func(fd int) error { return unix.IoctlIfreq(fd, unix.TUNSETQUEUE, req) }); err != nil {
		return fmt.Errorf("tap interface %q: attach a queue: %w", name, err)
	}
	return nil
}

func (q *queue) control(f func(fd int) error) error {
	var done error
	err := q.raw.Control(func(fd uintptr) { done = f(int(fd)) })
	return errors.Join(err, done)
}
