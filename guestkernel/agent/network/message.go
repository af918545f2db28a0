package network

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// message is a request to the kernel, after its nlmsghdr.
type message struct {
	kind  uint16
	flags uint16
	body  []byte
}

// create is for what must not be there yet.
const create = unix.NLM_F_CREATE | unix.NLM_F_EXCL

func (m *message) u8(values ...byte) { m.body = append(m.body, values...) }

func (m *message) u32(v uint32) { m.body = binary.NativeEndian.AppendUint32(m.body, v) }

// attribute appends an rtattr, padded to 4 bytes.
func (m *message) attribute(kind uint16, data []byte) {
	m.body = binary.NativeEndian.AppendUint16(m.body, uint16(unix.SizeofRtAttr+len(data)))
	m.body = binary.NativeEndian.AppendUint16(m.body, kind)
	m.body = append(m.body, data...)
	for len(m.body)%4 != 0 {
		m.body = append(m.body, 0)
	}
}

func (m *message) number(kind uint16, v uint32) {
	m.attribute(kind, binary.NativeEndian.AppendUint32(nil, v))
}

// linkUp is an ifinfomsg with the flag IFF_UP. The kernel does what else it says
// before that.
func linkUp(index, mtu uint32, mac []byte) message { return linkWith(unix.IFF_UP, index, mtu, mac) }

func linkWith(flags, index, mtu uint32, mac []byte) message {
	m := link(index, flags)
	if mtu != 0 {
		m.number(unix.IFLA_MTU, mtu)
	}
	if mac != nil {
		m.attribute(unix.IFLA_ADDRESS, mac)
	}
	return m
}

// linkDown is an ifinfomsg without it.
func linkDown(index uint32) message { return link(index, 0) }

func link(index, flags uint32) message {
	m := message{kind: unix.RTM_NEWLINK}
	m.u8(unix.AF_UNSPEC, 0, 0, 0)
	m.u32(index)
	m.u32(flags)
	m.u32(unix.IFF_UP) // which of them change
	return m
}

// newAddress is an ifaddrmsg. An IPv6 address is usable at once: nobody else
// has it, for the host gave it out.
func newAddress(index uint32, p netip.Prefix) message {
	m := message{kind: unix.RTM_NEWADDR, flags: create}
	m.u8(family(p.Addr()), byte(p.Bits()), 0, unix.RT_SCOPE_UNIVERSE)
	m.u32(index)
	m.attribute(unix.IFA_LOCAL, p.Addr().AsSlice())
	m.attribute(unix.IFA_ADDRESS, p.Addr().AsSlice())
	if p.Addr().Is6() {
		m.number(unix.IFA_FLAGS, unix.IFA_F_NODAD)
	} else if last, ok := broadcast(p); ok {
		m.attribute(unix.IFA_BROADCAST, last.AsSlice())
	}
	return m
}

// broadcast returns the last address of an IPv4 network that has one to spare.
func broadcast(p netip.Prefix) (netip.Addr, bool) {
	if p.Bits() > 30 {
		return netip.Addr{}, false
	}
	b := p.Addr().As4()
	v := binary.BigEndian.Uint32(b[:]) | 1<<(32-p.Bits()) - 1
	binary.BigEndian.PutUint32(b[:], v)
	return netip.AddrFrom4(b), true
}

// newDefaultRoute is an rtmsg. On link, the gateway need not be in a network
// of the interface.
func newDefaultRoute(index uint32, gateway netip.Addr, onLink bool) message {
	m := message{kind: unix.RTM_NEWROUTE, flags: create}
	m.u8(family(gateway), 0, 0, 0) // to everywhere
	m.u8(unix.RT_TABLE_MAIN, unix.RTPROT_STATIC, unix.RT_SCOPE_UNIVERSE, unix.RTN_UNICAST)
	flags := uint32(0)
	if onLink {
		flags = unix.RTNH_F_ONLINK
	}
	m.u32(flags)
	m.attribute(unix.RTA_GATEWAY, gateway.AsSlice())
	m.number(unix.RTA_OIF, index)
	return m
}

func family(a netip.Addr) byte {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}
