package network

import (
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
)

func TestParse(t *testing.T) {
	tests := []struct {
		name      string
		addresses []string
		gateways  []string
		ok        bool
	}{
		{"eth0", []string{"10.0.0.2/24", "fd00::2/64"}, []string{"10.0.0.1", "fe80::1%eth0"}, true},
		{"eth0", nil, nil, true},
		{"", nil, nil, false},
		{"a/b", nil, nil, false},
		{"sixteen-letters-", nil, nil, false},
		{"eth0", []string{"10.0.0.2"}, nil, false},
		{"eth0", []string{"10.0.0.2/33"}, nil, false},
		{"eth0", nil, []string{"gateway"}, false},
	}
	for _, tt := range tests {
		_, err := Parse(tt.name, tt.addresses, tt.gateways, 0, "")
		if (err == nil) != tt.ok || err != nil && fail.KindOf(err) != fail.Invalid {
			t.Errorf("Parse(%q, %q, %q): %v", tt.name, tt.addresses, tt.gateways, err)
		}
	}
}

// ownNetwork gives the test a network of its own: that of a locked thread
// that ends with it.
func ownNetwork(t *testing.T) {
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Skipf("no network namespace: %v", err)
	}
}

// tap makes an interface that exists until the test ends.
func tap(t *testing.T, name string) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skipf("no tap: %v", err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		t.Fatal(err)
	}
	ifr.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
		t.Fatal(err)
	}
}

func addresses(t *testing.T, name string) (mtu int, flags net.Flags, list []string) {
	i, err := net.InterfaceByName(name)
	if err != nil {
		t.Fatal(err)
	}
	addrs, err := i.Addrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		list = append(list, a.String())
	}
	return i.MTU, i.Flags, list
}

func TestUp(t *testing.T) {
	ownNetwork(t)
	tap(t, "eth0")
	tap(t, "eth1")
	first, err := Parse("eth0", []string{"10.0.0.2/24", "fd00::2/64"}, []string{"10.0.0.1", "fd00::1"}, 1400, "")
	if err != nil {
		t.Fatal(err)
	}
	second, err := Parse("eth1", []string{"192.0.2.7/32"}, nil, 0, "")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // what is there already is fine
		if err := Up([]Interface{first, second}); err != nil {
			t.Fatal(err)
		}
	}
	if _, flags, list := addresses(t, "lo"); flags&net.FlagUp == 0 || !slices.Contains(list, "127.0.0.1/8") {
		t.Errorf("lo is %v with %q", flags, list)
	}
	mtu, flags, list := addresses(t, "eth0")
	if mtu != 1400 || flags&net.FlagUp == 0 || !slices.Contains(list, "10.0.0.2/24") || !slices.Contains(list, "fd00::2/64") {
		t.Errorf("eth0 is %v with MTU %d, %q", flags, mtu, list)
	}
	if _, _, list := addresses(t, "eth1"); !slices.Contains(list, "192.0.2.7/32") {
		t.Errorf("eth1 has %q", list)
	}
	wantRoute(t, "/proc/thread-self/net/route", "eth0\t00000000\t0100000A\t0003")
	wantRoute(t, "/proc/thread-self/net/ipv6_route", "fd000000000000000000000000000001")
}

func wantRoute(t *testing.T, file, want string) {
	b, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(b), want) {
		t.Errorf("%s lacks %q, %v:\n%s", file, want, err, b)
	}
}

// TestGatewayOutsideTheNetwork is what point-to-point set-ups have.
func TestGatewayOutsideTheNetwork(t *testing.T) {
	ownNetwork(t)
	tap(t, "eth0")
	i, err := Parse("eth0", []string{"10.9.9.9/32"}, []string{"169.254.1.1"}, 0, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := Up([]Interface{i}); err != nil {
		t.Fatal(err)
	}
	wantRoute(t, "/proc/thread-self/net/route", "eth0\t00000000\t0101FEA9\t0003")
}

func TestUpWithoutInterface(t *testing.T) {
	ownNetwork(t)
	if err := Up([]Interface{{Name: "eth7"}}); fail.KindOf(err) != fail.NotFound {
		t.Errorf("Up = %v", err)
	}
}

func TestAnswersThatMakeNoSense(t *testing.T) {
	c := &conn{seq: 1}
	for _, b := range [][]byte{nil, make([]byte, 16), make([]byte, 36)} {
		if c.result(b) == nil {
			t.Errorf("% x was taken for success", b)
		}
	}
}
