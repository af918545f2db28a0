package network

import (
	"net"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
)

func TestParseMAC(t *testing.T) {
	for mac, ok := range map[string]bool{
		"": true, "02:00:00:00:00:01": true, "52-54-00-aB-Cd-eF": true,
		"02:00:00:00:00": false, "02:00:00:00:00:01:02:03": false, "02:00:00:00:00:0g": false, "x": false,
		"00:00:00:00:00:00": false, "01:00:5e:00:00:01": false, "ff:ff:ff:ff:ff:ff": false, "02:00:00:00:00:01\n": false,
	} {
		i, err := Parse("eth0", nil, nil, 0, mac)
		if (err == nil) != ok || err != nil && fail.KindOf(err) != fail.Invalid || ok && (len(i.MAC) == 6) != (mac != "") {
			t.Errorf("Parse with %q: % x, %v", mac, i.MAC, err)
		}
	}
}

// must is a valid interface.
func must(t *testing.T, name string, addresses, gateways []string, mtu uint32, mac string) Interface {
	t.Helper()
	i, err := Parse(name, addresses, gateways, mtu, mac)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func TestReplace(t *testing.T) {
	ownNetwork(t)
	tap(t, "eth0")
	tap(t, "eth1")
	many := []string{"10.0.0.2/24", "10.0.0.3/24", "192.0.2.1/32", "fd00::2/64"}
	for i := range 300 { // more than the kernel says at once
		many = append(many, anAddress(i))
	}
	other := must(t, "eth1", []string{"10.7.7.7/24"}, nil, 0, "02:00:00:00:00:77")
	if err := Up([]Interface{must(t, "eth0", many, []string{"10.0.0.1", "fd00::1"}, 1400, "02:00:00:00:00:01"), other}); err != nil {
		t.Fatal(err)
	}
	wantMAC(t, "eth0", "02:00:00:00:00:01")
	wantMAC(t, "eth1", "02:00:00:00:00:77")
	if err := Replace(nil); err != nil {
		t.Error(err)
	}
	if _, _, list := addresses(t, "eth0"); len(list) < len(many) {
		t.Errorf("without an interface to replace, %d addresses are left of %d", len(list), len(many))
	}

	next := must(t, "eth0", []string{"10.1.0.2/24", "fd01::2/64"}, []string{"10.1.0.1", "fd01::1"}, 1300, "02:00:00:00:00:02")
	for range 2 {
		if err := Replace([]Interface{next}); err != nil {
			t.Fatal(err)
		}
	}
	wantMAC(t, "eth0", "02:00:00:00:00:02")
	mtu, flags, list := addresses(t, "eth0")
	list = slices.DeleteFunc(list, func(a string) bool { return strings.HasPrefix(a, "fe80:") })
	slices.Sort(list)
	if want := []string{"10.1.0.2/24", "fd01::2/64"}; !slices.Equal(list, want) || mtu != 1300 || flags&net.FlagUp == 0 {
		t.Errorf("eth0 is %v with MTU %d, %q; want %q", flags, mtu, list, want)
	}
	wantRoute(t, "/proc/thread-self/net/route", "eth0\t00000000\t0100010A\t0003")
	wantRoute(t, "/proc/thread-self/net/ipv6_route", "fd010000000000000000000000000001")
	for file, old := range map[string]string{"/proc/thread-self/net/route": "0100000A", "/proc/thread-self/net/ipv6_route": "fd00000000000000"} {
		if b, err := os.ReadFile(file); err != nil || strings.Contains(string(b), old) {
			t.Errorf("an old route is left, %v:\n%s", err, b)
		}
	}
	if _, _, list := addresses(t, "eth1"); !slices.Contains(list, "10.7.7.7/24") {
		t.Errorf("eth1 has %q", list)
	}
	wantRoute(t, "/proc/thread-self/net/route", "eth1\t0007070A\t00000000\t0001")

	// Only what is given is set.
	if err := Replace([]Interface{must(t, "eth0", nil, nil, 0, "")}); err != nil {
		t.Fatal(err)
	}
	wantMAC(t, "eth0", "02:00:00:00:00:02")
	if mtu, _, _ := addresses(t, "eth0"); mtu != 1300 {
		t.Errorf("the MTU is %d", mtu)
	}
	down := must(t, "eth0", nil, nil, 0, "02:00:00:00:00:03")
	down.Down = true
	if err := Replace([]Interface{down}); err != nil {
		t.Fatal(err)
	}
	wantMAC(t, "eth0", "02:00:00:00:00:03")
	if _, flags, list := addresses(t, "eth0"); flags&net.FlagUp != 0 || len(list) > 0 {
		t.Errorf("eth0 is %v, with %q", flags, list)
	}
	if err := Replace([]Interface{{Name: "eth7"}}); fail.KindOf(err) != fail.NotFound {
		t.Errorf("Replace = %v", err)
	}
}

func anAddress(i int) string {
	return net.IPv4(10, 9, byte(i>>8), byte(i)).String() + "/32"
}

func wantMAC(t *testing.T, name, want string) {
	t.Helper()
	i, err := net.InterfaceByName(name)
	if err != nil || i.HardwareAddr.String() != want {
		t.Errorf("%s has the address %v, %v; want %s", name, i.HardwareAddr, err, want)
	}
}

func TestAttributesThatMakeNoSense(t *testing.T) {
	for _, b := range [][]byte{nil, {1}, {0, 0, 1, 0}, {9, 0, 1, 0, 1}, {255, 255, 1, 0}} {
		eachAttribute(b, func(uint16, []byte) { t.Errorf("% x has an attribute", b) })
	}
}
