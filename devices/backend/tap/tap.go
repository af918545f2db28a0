// Package tap is a network port of the guest on an existing tap interface of
// the host.
package tap

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/devices/iovec"
)

// HeaderSize is the size of the virtio_net_hdr_v1 in front of each frame, both
// ways; virtio 1.2, section 5.1.6.
const HeaderSize = 12

// Tap is an open tap interface. One goroutine may read while another writes.
type Tap struct {
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
	n    int
	err  error
}

func (t *transfer) init(call func(int, [][]byte) (int, error)) {
	t.do = func(fd uintptr) bool {
		t.n, t.err = call(int(fd), t.bufs)
		return t.err != unix.EAGAIN
	}
}

// run waits with wait until the transfer could be made.
func (t *transfer) run(wait func(func(uintptr) bool) error, bufs [][]byte) (int, error) {
	t.bufs = bufs
	if err := wait(t.do); err != nil {
		return 0, err
	}
	return t.n, t.err
}

// Open attaches to the tap interface called name, which must exist: to make
// one takes privileges that a VMM shouldn't have.
func Open(name string) (*Tap, error) {
	if _, err := net.InterfaceByName(name); err != nil {
		return nil, fmt.Errorf("tap interface %q does not exist: make it with \"ip tuntap add %s mode tap && ip link set %s up\"", name, name, name)
	}
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("tap interface %q: open /dev/net/tun: %w (modprobe tun, or run with access to it)", name, err)
	}
	if err := attach(fd, name); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	f := os.NewFile(uintptr(fd), name) // non-blocking: known to the poller
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	t := &Tap{f: f, raw: raw}
	t.recv.init(iovec.Readv)
	t.send.init(iovec.Writev)
	return t, nil
}

func attach(fd int, name string) error {
	req, err := unix.NewIfreq(name)
	if err != nil {
		return fmt.Errorf("tap interface %q: %w", name, err)
	}
	req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	switch {
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("tap interface %q is in use by another process", name)
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("interface %q is not a tap, or one with several queues: make it with \"ip tuntap add %s mode tap\"", name, name)
	case err != nil:
		return fmt.Errorf("tap interface %q: %w", name, err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, HeaderSize); err != nil {
		return fmt.Errorf("tap interface %q: set header size: %w", name, err)
	}
	return nil
}

// Receive waits for a frame and reads it, header first, into bufs. What
// doesn't fit is cut off. It fails with os.ErrDeadlineExceeded once Interrupt
// was called.
func (t *Tap) Receive(bufs [][]byte) (int, error) { return t.recv.run(t.raw.Read, bufs) }

// Send writes one frame, header first. While the host's queue is full it
// waits, until Interrupt is called.
func (t *Tap) Send(bufs [][]byte) error {
	_, err := t.send.run(t.raw.Write, bufs)
	return err
}

// Interrupt ends every Receive and Send, those to come included, until Rearm.
func (t *Tap) Interrupt() { t.f.SetDeadline(time.Unix(1, 0)) }

// Rearm undoes Interrupt.
func (t *Tap) Rearm() { t.f.SetDeadline(time.Time{}) }

// Close detaches from the interface.
func (t *Tap) Close() error { return t.f.Close() }
