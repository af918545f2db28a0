package network

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	bridge = "br0"
	owner  = "/run/node"
	name   = "bh0123456789ab"
)

// namespace moves the calling goroutine to a network namespace of its own, with a
// bridge. It keeps its thread, which goes with it.
func namespace(t *testing.T) *Taps {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: making a network namespace takes root")
	}
	runtime.LockOSThread() // never unlocked: nobody else is to have this thread
	must(t, unix.Unshare(unix.CLONE_NEWNET))
	add(t, &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: bridge, MTU: 1400}})
	return New(owner)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func add(t *testing.T, l netlink.Link) {
	t.Helper()
	must(t, netlink.LinkAdd(l))
}

// link returns an interface, nil if there is none.
func link(t *testing.T, name string) netlink.Link {
	t.Helper()
	l, err := netlink.LinkByName(name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil
	}
	must(t, err)
	return l
}

func TestAdd(t *testing.T) {
	taps := namespace(t)
	must(t, taps.Add(name, "box", bridge, 1, 0))
	l := link(t, name)
	master := link(t, bridge)
	tap, ok := l.(*netlink.Tuntap)
	if !ok || tap.Mode != netlink.TUNTAP_MODE_TAP || tap.NonPersist {
		t.Errorf("it is %#v", l)
	}
	a := l.Attrs()
	if a.MasterIndex != master.Attrs().Index || a.MTU != 1400 || a.Flags&net.FlagUp == 0 || a.Alias != "bulkhead:/run/node:box" {
		t.Errorf("master %d (the bridge is %d), MTU %d, flags %v, alias %q", a.MasterIndex, master.Attrs().Index, a.MTU, a.Flags, a.Alias)
	}
	// Another one in its place.
	must(t, taps.Add(name, "other", bridge, 4, 1300))
	if a := link(t, name).Attrs(); a.MTU != 1300 || a.Alias != "bulkhead:/run/node:other" {
		t.Errorf("MTU %d, alias %q", a.MTU, a.Alias)
	}
	for range 2 { // that it is gone already is no error
		must(t, taps.Remove(name))
		if link(t, name) != nil {
			t.Error("it is still there")
		}
	}
}

// attach opens a queue of a tap, as a worker does.
func attach(t *testing.T, flags uint16) (*os.File, error) {
	t.Helper()
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	must(t, err)
	r, err := unix.NewIfreq(name)
	must(t, err)
	r.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR | flags)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, r); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// TestQueues: a worker finds as many as its guest has processors, and one that has
// one doesn't share it.
func TestQueues(t *testing.T) {
	taps := namespace(t)
	for queues, flags := range map[int]uint16{1: 0, 4: unix.IFF_MULTI_QUEUE} {
		must(t, taps.Add(name, "box", bridge, queues, 0))
		if _, err := attach(t, flags^unix.IFF_MULTI_QUEUE); !errors.Is(err, unix.EINVAL) {
			t.Errorf("%d queues: it is of the other kind: %v", queues, err)
		}
		var open []*os.File
		for i := range queues {
			f, err := attach(t, flags)
			if err != nil {
				t.Errorf("queue %d of %d: %v", i, queues, err)
				continue
			}
			open = append(open, f)
		}
		for _, f := range open {
			f.Close()
		}
		if link(t, name) == nil {
			t.Error("it went with its worker")
		}
	}
}

func TestBadBridges(t *testing.T) {
	taps := namespace(t)
	for _, tt := range []struct {
		bridge string
		mtu    uint32
		say    []string
	}{
		{"br7", 0, []string{name, "br7", "not found", "ip link add br7 type bridge"}},
		{"lo", 0, []string{"lo is no bridge but a device", "ip link show type bridge"}},
		{bridge, 67, []string{"MTU 67", "invalid argument"}},
		{bridge, 1 << 17, []string{"MTU 131072", "invalid argument"}},
	} {
		err := taps.Add(name, "box", tt.bridge, 1, tt.mtu)
		for _, words := range tt.say {
			if err == nil || !strings.Contains(err.Error(), words) {
				t.Errorf("bridge %s, MTU %d: %v, it doesn't say %q", tt.bridge, tt.mtu, err, words)
			}
		}
		if link(t, name) != nil {
			t.Errorf("bridge %s, MTU %d: half a tap is left", tt.bridge, tt.mtu)
		}
	}
}

// TestOthersInterfaces stay as they are: they only have the name.
func TestOthersInterfaces(t *testing.T) {
	taps := namespace(t)
	tap := &netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: name}, Mode: netlink.TUNTAP_MODE_TAP}
	for _, other := range []netlink.Link{tap, &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: name}}} {
		add(t, other)
		index := link(t, name).Attrs().Index
		err := taps.Add(name, "box", bridge, 1, 0)
		if err == nil || !strings.Contains(err.Error(), "isn't this node's") || !strings.Contains(err.Error(), "ip link del "+name) {
			t.Errorf("add: %v", err)
		}
		must(t, taps.Remove(name)) // there is none of the node's
		if l := link(t, name); l == nil || l.Attrs().Index != index || l.Attrs().MasterIndex != 0 {
			t.Errorf("it is %v", l)
		}
		must(t, netlink.LinkDel(other))
	}
}

// TestNames finds what is this node's, and not what is another's, by whatever name
// it goes.
func TestNames(t *testing.T) {
	taps := namespace(t)
	must(t, taps.Add("bh1", "box", bridge, 1, 0))
	must(t, taps.Add("bh2", "box", bridge, 1, 0))
	must(t, taps.Add("bh3", "other", bridge, 1, 0))
	for i, other := range []string{"/run/no", owner + ":b", owner + "2"} {
		must(t, New(other).Add(fmt.Sprintf("bh9%d", i), "box", bridge, 1, 0))
	}
	add(t, &netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: "bh8"}, Mode: netlink.TUNTAP_MODE_TAP})
	names, err := taps.Names()
	must(t, err)
	for _, list := range names {
		slices.Sort(list)
	}
	want := map[string][]string{"box": {"bh1", "bh2"}, "other": {"bh3"}}
	if !maps.EqualFunc(names, want, slices.Equal[[]string]) {
		t.Errorf("%v", names)
	}
	must(t, taps.Remove("bh90"))
	if link(t, "bh90") == nil {
		t.Error("another node's was removed")
	}
}

// TestNamesWhileOthersChange: a list that changes while it is read is read again.
func TestNamesWhileOthersChange(t *testing.T) {
	taps := namespace(t)
	for i := range 50 {
		add(t, &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: fmt.Sprintf("other%d", i)}})
	}
	must(t, taps.Add(name, "box", bridge, 1, 0))
	victim := victim(t)
	defer end(victim)
	for range 200 {
		names, err := taps.Names()
		must(t, err)
		if !slices.Equal(names["box"], []string{name}) {
			t.Fatalf("%v", names)
		}
	}
}

const envVictim = "BULKHEAD_TEST_NETWORK_VICTIM"

// victim starts this program in the namespace of the calling thread, to make taps
// and remove them until it is killed.
func victim(t *testing.T) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilled$")
	cmd.Env = append(os.Environ(), envVictim+"=1")
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	if _, err := out.Read(make([]byte, 1)); err != nil {
		end(cmd)
		t.Fatalf("it does nothing: %v", err)
	}
	return cmd
}

func end(cmd *exec.Cmd) {
	cmd.Process.Kill()
	cmd.Wait()
}

func makeAndRemove() error {
	taps := New(owner)
	os.Stdout.Write([]byte("."))
	for i := 0; ; i++ {
		name := fmt.Sprintf("bhv%d", i%3)
		if err := taps.Add(name, "victim", bridge, 1+i%2, 0); err != nil {
			return err
		}
		if i%2 == 0 {
			continue // until it is replaced
		}
		if err := taps.Remove(name); err != nil {
			return err
		}
	}
}

// TestKilled kills who makes taps at any point of that: what is left is known to
// be the sandbox's, and can be removed.
func TestKilled(t *testing.T) {
	if os.Getenv(envVictim) != "" {
		fmt.Fprintln(os.Stderr, makeAndRemove())
		os.Exit(1)
	}
	taps := namespace(t)
	random := rand.New(rand.NewPCG(1, 2))
	var left int
	for range 40 {
		v := victim(t)
		time.Sleep(time.Duration(random.IntN(30_000)) * time.Microsecond)
		end(v)
		if v.ProcessState.Exited() {
			t.Fatalf("it ended by itself: %v", v.ProcessState)
		}
		names, err := taps.Names()
		must(t, err)
		left += len(names["victim"])
		for _, tap := range names["victim"] {
			must(t, taps.Remove(tap))
		}
		links, err := netlink.LinkList()
		must(t, err)
		for _, l := range links {
			if strings.HasPrefix(l.Attrs().Name, "bh") {
				t.Fatalf("%s is nobody's, with alias %q", l.Attrs().Name, l.Attrs().Alias)
			}
		}
	}
	t.Logf("%d taps were left and known", left)
	if left == 0 {
		t.Error("nobody was killed in time")
	}
}
