package spec

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// interfaceName is what Linux takes, and nothing that could be a path.
var interfaceName = regexp.MustCompile(`^[a-zA-Z0-9_.-]{1,15}$`)

func (c *checker) networks(networks []*bulkheadv1.Network) {
	if n := len(networks); n > maxNetworks {
		c.wrong("spec.networks", "%d, a sandbox has up to %d", n, maxNetworks)
		return
	}
	for i, n := range networks {
		c.network(fmt.Sprintf("spec.networks[%d]", i), n)
	}
}

func (c *checker) network(field string, n *bulkheadv1.Network) {
	switch h := n.GetHost().(type) {
	case *bulkheadv1.Network_Tap:
		c.interfaceName(field+".tap", h.Tap)
	case *bulkheadv1.Network_Bridge:
		c.interfaceName(field+".bridge", h.Bridge)
	default:
		c.wrong(field, "neither tap nor bridge is given")
	}
	if s := n.GetMac(); s != "" {
		if mac, err := net.ParseMAC(s); err != nil || len(mac) != 6 || mac[0]&1 != 0 {
			c.wrong(field+".mac", "%.100q is not a unicast MAC address", s)
		}
	}
	if n.GetAnyMac() && n.GetTap() != "" {
		c.wrong(field+".any_mac", "it is for bridges: with a tap any address may send, leave it out")
	}
	if mtu := n.GetMtu(); mtu != 0 && (mtu < 68 || mtu > 65535) {
		c.wrong(field+".mtu", "%d, it is 68 to 65535", mtu)
	}
	c.addresses(field+".addresses", n.GetAddresses(), func(s string) error {
		_, err := netip.ParsePrefix(s)
		return err
	})
	c.addresses(field+".gateways", n.GetGateways(), parseAddress)
}

func (c *checker) interfaceName(field, name string) {
	if !interfaceName.MatchString(name) || name == "." || name == ".." {
		c.wrong(field, "%.100q is not the name of a network interface", name)
	}
}

func parseAddress(s string) error {
	_, err := netip.ParseAddr(s)
	return err
}

// maxAddresses bounds a list of them.
const maxAddresses = 16

func (c *checker) addresses(field string, list []string, parse func(string) error) {
	if len(list) > maxAddresses {
		c.wrong(field, "%d, %d is the most", len(list), maxAddresses)
		return
	}
	for i, s := range list {
		if err := parse(s); err != nil {
			c.wrong(fmt.Sprintf("%s[%d]", field, i), "%.100q is not an address: %v", s, err)
		}
	}
}
