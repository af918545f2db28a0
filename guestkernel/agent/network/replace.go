package network

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
)

// Replace takes from interfaces the addresses and routes they have, and gives them
// others.
func Replace(interfaces []Interface) error {
	if len(interfaces) == 0 {
		return nil
	}
	c, err := dial()
	if err != nil {
		return err
	}
	defer c.close()
	for _, i := range interfaces {
		if err := c.replace(i); err != nil {
			return err
		}
	}
	return nil
}

func (c *conn) replace(i Interface) error {
	index, err := c.indexOf(i.Name)
	if err != nil {
		return fail.Errorf(fail.NotFound, "network interface %s: %w", i.Name, err)
	}
	// With that routes are gone, and neighbours that were known, and most interfaces
	// let their Ethernet address be changed only then.
	if err := c.call(linkDown(index)); err != nil {
		return fmt.Errorf("bring %s down: %w", i.Name, err)
	}
	old, err := c.addresses(index)
	if err != nil {
		return fmt.Errorf("addresses of %s: %w", i.Name, err)
	}
	for _, m := range old {
		m.kind = unix.RTM_DELADDR
		if err := c.call(m); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) { // gone with another
			return fmt.Errorf("take an address from %s: %w", i.Name, err)
		}
	}
	if !i.Down {
		return c.up(i)
	}
	if err := c.call(linkWith(0, index, i.MTU, i.MAC)); err != nil {
		return fmt.Errorf("set up %s: %w", i.Name, err)
	}
	return nil
}

// addresses returns those of an interface, each as what names it in a request.
func (c *conn) addresses(index uint32) (list []message, err error) {
	get := message{kind: unix.RTM_GETADDR, body: make([]byte, unix.SizeofIfAddrmsg)}
	err = c.dump(get, func(body []byte) {
		if len(body) < unix.SizeofIfAddrmsg || binary.NativeEndian.Uint32(body[4:]) != index {
			return
		}
		m := message{body: append([]byte(nil), body[:unix.SizeofIfAddrmsg]...)}
		eachAttribute(body[unix.SizeofIfAddrmsg:], func(kind uint16, data []byte) {
			if kind == unix.IFA_LOCAL || kind == unix.IFA_ADDRESS {
				m.attribute(kind, data)
			}
		})
		list = append(list, m)
	})
	return list, err
}

// eachAttribute calls do for each rtattr.
func eachAttribute(b []byte, do func(kind uint16, data []byte)) {
	for len(b) >= unix.SizeofRtAttr {
		size := int(binary.NativeEndian.Uint16(b))
		if size < unix.SizeofRtAttr || size > len(b) {
			return
		}
		do(binary.NativeEndian.Uint16(b[2:]), b[unix.SizeofRtAttr:size])
		b = b[min(align(size), len(b)):]
	}
}

// align rounds a size up to 4 bytes, as netlink does.
func align(n int) int { return (n + 3) &^ 3 }
