// Package network makes network interfaces for sandboxes: taps of their own on
// bridges that the operator made.
package network

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// aliasPrefix begins the alias of each tap that was made here, by which it is
// known whose it is: "bulkhead:NODE:SANDBOX".
const aliasPrefix = "bulkhead:"

// Taps are those of a node. Its methods may be called from any goroutine, for
// different names at the same time.
type Taps struct {
	node string
}

// New returns the taps of a node. Other nodes' on the same host are left alone.
func New(node string) *Taps { return &Taps{node} }

func (t *Taps) alias(sandbox string) string { return aliasPrefix + t.node + ":" + sandbox }

// owner returns the sandbox that an interface was made for, by its alias. One of
// another kind, or another node's, isn't known.
func (t *Taps) owner(link netlink.Link) (sandbox string, ok bool) {
	sandbox, ok = strings.CutPrefix(link.Attrs().Alias, t.alias(""))
	return sandbox, ok && !strings.Contains(sandbox, ":") // no sandbox's name has one, but a node's may go on
}

// Add makes a tap called name that belongs to the sandbox, plugged into a bridge.
// One that is there already is replaced, unless it isn't the node's. An mtu of 0 is
// the bridge's.
func (t *Taps) Add(name, sandbox, bridge string, queues int, mtu uint32) error {
	if err := t.remove(name); err != nil {
		return err
	}
	if err := t.add(name, sandbox, bridge, queues, mtu); err != nil {
		return fmt.Errorf("tap %s on bridge %s: %w", name, bridge, err)
	}
	return nil
}

func (t *Taps) add(name, sandbox, bridge string, queues int, mtu uint32) error {
	master, err := netlink.LinkByName(bridge)
	if err != nil {
		return fmt.Errorf("%w (make the bridge with \"ip link add %s type bridge && ip link set %s up\")", err, bridge, bridge)
	}
	if master.Type() != "bridge" {
		return fmt.Errorf("%s is no bridge but a %s: name a bridge, see \"ip link show type bridge\"", bridge, master.Type())
	}
	if mtu == 0 {
		mtu = uint32(master.Attrs().MTU)
	}
	tap := &netlink.Tuntap{
		LinkAttrs: netlink.LinkAttrs{Name: name},
		Mode:      netlink.TUNTAP_MODE_TAP,
		Flags:     netlink.TUNTAP_NO_PI | netlink.TUNTAP_VNET_HDR | netlink.TUNTAP_TUN_EXCL,
		Queues:    1, // that are held open here
		// Until it is whole it goes with this process: who is killed leaves none of
		// which nobody knows whose it is.
		NonPersist: true,
	}
	if queues > 1 {
		tap.Flags |= netlink.TUNTAP_MULTI_QUEUE
	}
	if err := netlink.LinkAdd(tap); err != nil {
		return err
	}
	defer func() {
		for _, f := range tap.Fds {
			f.Close()
		}
	}()
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	if err := netlink.LinkSetAlias(link, t.alias(sandbox)); err != nil {
		return fmt.Errorf("alias: %w", err)
	}
	if err := netlink.LinkSetMTU(link, int(mtu)); err != nil {
		return fmt.Errorf("MTU %d: %w", mtu, err)
	}
	if err := netlink.LinkSetMaster(link, master); err != nil {
		return fmt.Errorf("plug it in: %w", err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("set it up: %w", err)
	}
	return persist(tap.Fds[0])
}

// persist has a tap stay when nobody holds it open.
func persist(f *os.File) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = conn.Control(func(fd uintptr) { failed = unix.IoctlSetInt(int(fd), unix.TUNSETPERSIST, 1) })
	return errors.Join(err, failed)
}

// othersError is of an interface that this node hasn't made.
type othersError struct{ name, alias string }

func (e *othersError) Error() string {
	return fmt.Sprintf("interface %s isn't this node's (its alias is %q): it stays; remove it with \"ip link del %s\" if nobody needs it",
		e.name, e.alias, e.name)
}

// Remove removes it; that there is none is no error. One that is somebody else's,
// who only has the name, stays.
func (t *Taps) Remove(name string) error {
	err := t.remove(name)
	if errors.As(err, new(*othersError)) {
		return nil
	}
	return err
}

func (t *Taps) remove(name string) error {
	link, err := netlink.LinkByName(name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove tap %s: %w", name, err)
	}
	if _, ok := t.owner(link); !ok {
		return &othersError{name, link.Attrs().Alias}
	}
	if err := netlink.LinkDel(link); err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("remove tap %s: %w", name, err)
	}
	return nil
}

// listTries is how often the kernel is asked again for a list that was changed
// while it was read.
const listTries = 20

// Names returns the taps there are by the sandboxes they belong to.
func (t *Taps) Names() (map[string][]string, error) {
	links, err := netlink.LinkList()
	for i := 0; errors.Is(err, netlink.ErrDumpInterrupted) && i < listTries; i++ {
		links, err = netlink.LinkList()
	}
	if err != nil {
		return nil, fmt.Errorf("list taps: %w", err)
	}
	taps := map[string][]string{}
	for _, l := range links {
		if sandbox, ok := t.owner(l); ok {
			taps[sandbox] = append(taps[sandbox], l.Attrs().Name)
		}
	}
	return taps, nil
}
