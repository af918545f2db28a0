package network

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// conn is an rtnetlink socket. It serves one caller at a time.
type conn struct {
	fd  int
	seq uint32
	buf [4096]byte
}

func dial() (*conn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("rtnetlink socket: %w", err)
	}
	return &conn{fd: fd}, nil
}

func (c *conn) close() { _ = unix.Close(c.fd) }

// send sends m.
func (c *conn) send(m message) error {
	c.seq++
	b := c.buf[:0]
	b = binary.NativeEndian.AppendUint32(b, uint32(unix.SizeofNlMsghdr+len(m.body)))
	b = binary.NativeEndian.AppendUint16(b, m.kind)
	b = binary.NativeEndian.AppendUint16(b, m.flags|unix.NLM_F_REQUEST)
	b = binary.NativeEndian.AppendUint32(b, c.seq)
	b = binary.NativeEndian.AppendUint32(b, 0) // from: the kernel fills it in
	b = append(b, m.body...)
	return unix.Sendto(c.fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
}

// call sends m and returns the kernel's answer: nil or an errno.
func (c *conn) call(m message) error {
	m.flags |= unix.NLM_F_ACK
	if err := c.send(m); err != nil {
		return err
	}
	// The kernel has answered when the send returns.
	n, _, err := unix.Recvfrom(c.fd, c.buf[:], unix.MSG_DONTWAIT)
	if err != nil {
		return err
	}
	return c.result(c.buf[:n])
}

// dumpSize is as much as the kernel sends at once.
const dumpSize = 32 << 10

// dump sends m and calls do with the body of each message that answers it.
func (c *conn) dump(m message, do func(body []byte)) error {
	m.flags |= unix.NLM_F_DUMP
	if err := c.send(m); err != nil {
		return err
	}
	buf := make([]byte, dumpSize)
	for {
		n, _, err := unix.Recvfrom(c.fd, buf, unix.MSG_DONTWAIT)
		if err != nil {
			return err
		}
		for b := buf[:n]; len(b) > 0; {
			if len(b) < unix.SizeofNlMsghdr {
				return errAnswer
			}
			size := int(binary.NativeEndian.Uint32(b))
			if size < unix.SizeofNlMsghdr || size > len(b) {
				return errAnswer
			}
			switch binary.NativeEndian.Uint16(b[4:]) {
			case unix.NLMSG_DONE:
				return nil
			case unix.NLMSG_ERROR:
				return c.result(b[:size])
			}
			do(b[unix.SizeofNlMsghdr:size])
			b = b[min(align(size), len(b)):]
		}
	}
}

var errAnswer = errors.New("an rtnetlink answer that can't be understood")

// result reads an nlmsgerr, with which the kernel acknowledges as well.
func (c *conn) result(b []byte) error {
	if len(b) < unix.SizeofNlMsghdr+4 ||
		binary.NativeEndian.Uint16(b[4:]) != unix.NLMSG_ERROR || binary.NativeEndian.Uint32(b[8:]) != c.seq {
		return errAnswer
	}
	if errno := int32(binary.NativeEndian.Uint32(b[unix.SizeofNlMsghdr:])); errno < 0 {
		return unix.Errno(-errno)
	}
	return nil
}
