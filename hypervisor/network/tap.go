// Package network makes network interfaces for sandboxes: taps of their own on
// bridges that the operator made.
package network

import (
	"errors"
	"fmt"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/hypervisor/node"
)

// aliasPrefix begins the alias of each tap that was made here, by which it is
// known whose it is: "bulkhead:NODE:SANDBOX".
const aliasPrefix = "bulkhead:"

// Taps implements node.Taps.
type Taps struct {
	node string
}

var _ node.Taps = (*Taps)(nil)

// New returns the taps of a node. Other nodes' on the same host are left alone.
func New(node string) *Taps { return &Taps{node} }

func (t *Taps) alias(sandbox string) string { return aliasPrefix + t.node + ":" + sandbox }

// Add implements node.Taps.
func (t *Taps) Add(name, sandbox, bridge string, queues int, mtu uint32) error {
	if err := t.Remove(name); err != nil {
		return err
	}
	if err := t.add(name, sandbox, bridge, queues, mtu); err != nil {
		return errors.Join(fmt.Errorf("tap %s on bridge %s: %w", name, bridge, err), t.Remove(name))
	}
	return nil
}

func (t *Taps) add(name, sandbox, bridge string, queues int, mtu uint32) error {
	master, err := netlink.LinkByName(bridge)
	if err != nil {
		return fmt.Errorf("%w (make the bridge with \"ip link add %s type bridge\")", err, bridge)
	}
	if master.Type() != "bridge" {
		return fmt.Errorf("%s is no bridge but a %s", bridge, master.Type())
	}
	if mtu == 0 {
		mtu = uint32(master.Attrs().MTU)
	}
	tap := &netlink.Tuntap{
		LinkAttrs: netlink.LinkAttrs{Name: name},
		Mode:      netlink.TUNTAP_MODE_TAP,
		Flags:     netlink.TUNTAP_NO_PI | netlink.TUNTAP_VNET_HDR,
	}
	if queues > 1 {
		tap.Flags |= netlink.TUNTAP_MULTI_QUEUE
	}
	if err := netlink.LinkAdd(tap); err != nil {
		return err
	}
	for _, f := range tap.Fds { // it stays without
		f.Close()
	}
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	return errors.Join(
		netlink.LinkSetAlias(link, t.alias(sandbox)),
		netlink.LinkSetMTU(link, int(mtu)),
		netlink.LinkSetMaster(link, master),
		netlink.LinkSetUp(link),
	)
}

// Remove implements node.Taps.
func (t *Taps) Remove(name string) error {
	link, err := netlink.LinkByName(name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil
	}
	if err == nil {
		err = netlink.LinkDel(link)
	}
	if err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("remove tap %s: %w", name, err)
	}
	return nil
}

// Names implements node.Taps.
func (t *Taps) Names() (map[string][]string, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list taps: %w", err)
	}
	taps := map[string][]string{}
	for _, l := range links {
		if sandbox, ok := strings.CutPrefix(l.Attrs().Alias, t.alias("")); ok {
			taps[sandbox] = append(taps[sandbox], l.Attrs().Name)
		}
	}
	return taps, nil
}
