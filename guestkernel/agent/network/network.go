// Package network configures the guest's interfaces through rtnetlink.
package network

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
)

// Interface says what an interface gets, and that it goes up, unless it says otherwise.
type Interface struct {
	Name      string
	Addresses []netip.Prefix
	Gateways  []netip.Addr // next hops of default routes
	MTU       uint32       // 0: as it is
	MAC       []byte       // nil: as it is
	Down      bool         // Replace leaves it down
}

// Parse makes an Interface of texts such as "10.0.0.2/24", "10.0.0.1" and, unless it
// is empty, "02:00:00:00:00:01".
func Parse(name string, addresses, gateways []string, mtu uint32, mac string) (Interface, error) {
	i := Interface{Name: name, MTU: mtu}
	if name == "" || len(name) >= unix.IFNAMSIZ || strings.ContainsAny(name, "/ \x00") {
		return i, fail.Errorf(fail.Invalid, "%q is no name for a network interface", name)
	}
	for _, s := range addresses {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return i, fail.Errorf(fail.Invalid, "address of %s: %w", name, err)
		}
		i.Addresses = append(i.Addresses, p)
	}
	for _, s := range gateways {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return i, fail.Errorf(fail.Invalid, "gateway of %s: %w", name, err)
		}
		i.Gateways = append(i.Gateways, a.WithZone(""))
	}
	if mac != "" {
		var err error
		if i.MAC, err = parseMAC(mac); err != nil {
			return i, fail.Errorf(fail.Invalid, "Ethernet address of %s: %w", name, err)
		}
	}
	return i, nil
}

// parseMAC parses an address that one interface may have: not all zeros, and not
// that of a group.
func parseMAC(s string) ([]byte, error) {
	mac, err := net.ParseMAC(s)
	switch {
	case err != nil:
		return nil, err
	case len(mac) != 6:
		return nil, fmt.Errorf("%q has %d bytes, not 6", s, len(mac))
	case mac[0]&1 != 0 || bytes.Equal(mac, make([]byte, 6)):
		return nil, fmt.Errorf("%q is no address of one interface", s)
	}
	return mac, nil
}

// Up brings lo and the interfaces up. Addresses and routes that are there
// already are fine.
func Up(interfaces []Interface) error {
	c, err := dial()
	if err != nil {
		return err
	}
	defer c.close()
	if err := c.up(Interface{Name: "lo"}); err != nil {
		return err
	}
	for _, i := range interfaces {
		if err := c.up(i); err != nil {
			return err
		}
	}
	return nil
}

func (c *conn) up(i Interface) error {
	index, err := c.indexOf(i.Name)
	if err != nil {
		return fail.Errorf(fail.NotFound, "network interface %s: %w", i.Name, err)
	}
	if err := c.call(linkUp(index, i.MTU, i.MAC)); err != nil {
		return fmt.Errorf("bring %s up: %w", i.Name, err)
	}
	for _, a := range i.Addresses {
		if err := c.call(newAddress(index, a)); err != nil && err != unix.EEXIST {
			return fmt.Errorf("give %s the address %v: %w", i.Name, a, err)
		}
	}
	for _, g := range i.Gateways {
		if err := c.call(newDefaultRoute(index, g, !i.reaches(g))); err != nil && err != unix.EEXIST {
			return fmt.Errorf("default route through %v on %s: %w", g, i.Name, err)
		}
	}
	return nil
}

// reaches tells whether a is in the network of an address of i.
func (i Interface) reaches(a netip.Addr) bool {
	for _, p := range i.Addresses {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

func (c *conn) indexOf(name string) (uint32, error) {
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return 0, err
	}
	if err := unix.IoctlIfreq(c.fd, unix.SIOCGIFINDEX, ifr); err != nil {
		return 0, err
	}
	return ifr.Uint32(), nil
}
