package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	agentv1 "github.com/bulkhead-vm/bulkhead/guestkernel/agentapi/v1"
)

const (
	identity = `uname -n; cat /etc/hosts /etc/resolv.conf /sys/class/net/eth0/address; cat /etc/machine-id 2>&1
while read name rest; do case $name in eth0) echo $name $rest;; esac; done < /proc/net/route`
	localhosts = "127.0.0.1\tlocalhost\n::1\tlocalhost\n"
)

// boxed is what identity says after bootFreezable.
var boxed = []string{
	"box\n" + localhosts + "127.0.1.1\tbox\n", "nameserver 10.0.0.1\n", "02:00:00:00:00:01\n",
	"cat: /etc/machine-id: No such file or directory\n",
	"eth0 00000000 0100000A 0003 0 0 0 00000000 0 0 0\neth0 0000000A 00000000 0001 0 0 0 00FFFFFF 0 0 0\n",
}

// wantIdentity looks who the guest is.
func (m *machine) wantIdentity(id string, want []string) {
	m.t.Helper()
	if got := m.run(id, identity); got != strings.Join(want, "") {
		m.t.Errorf("the guest is\n%s\nwant\n%s", got, strings.Join(want, ""))
	}
}

func TestRenewNothing(t *testing.T) {
	m := bootFreezable(t)
	for _, id := range []string{"thawed", "frozen"} {
		if id == "frozen" {
			m.freeze()
		}
		for range 2 {
			_, err := m.Renew(t.Context(), &agentv1.RenewRequest{})
			must(t, err)
		}
		m.wantFrozen(false)
		m.wantIdentity(id, boxed)
	}
}

func TestRenewEach(t *testing.T) {
	m := bootFreezable(t)
	want := append([]string(nil), boxed...)
	for _, r := range []struct {
		name string
		*agentv1.RenewRequest
		at   int // in want
		want string
	}{
		{"entropy", &agentv1.RenewRequest{Entropy: []byte(strings.Repeat("random, not really", 10))}, 0, want[0]},
		{"hostname", &agentv1.RenewRequest{Hostname: "clone-1"}, 0, "clone-1\n" + localhosts + "127.0.1.1\tclone-1\n"},
		{"nameservers", &agentv1.RenewRequest{Nameservers: []string{"10.1.0.1", "fd00::1"}}, 1, "nameserver 10.1.0.1\nnameserver fd00::1\n"},
		{"machine", &agentv1.RenewRequest{MachineId: "0123456789abcdef0123456789ABCDEF"}, 3, "0123456789abcdef0123456789abcdef\n"},
		{"mac", &agentv1.RenewRequest{Interfaces: []*agentv1.NetworkInterface{
			{Name: "eth0", Mac: "02:00:00:00:00:02", Addresses: []string{"10.0.0.2/24"}, Gateways: []string{"10.0.0.1"}},
		}}, 2, "02:00:00:00:00:02\n"},
		{"addresses", &agentv1.RenewRequest{Interfaces: []*agentv1.NetworkInterface{
			{Name: "eth0", Addresses: []string{"10.1.0.2/24"}, Gateways: []string{"10.1.0.1"}, Mtu: 1400},
		}}, 4, "eth0 00000000 0100010A 0003 0 0 0 00000000 0 0 0\neth0 0000010A 00000000 0001 0 0 0 00FFFFFF 0 0 0\n"},
	} {
		m.freeze()
		for range 2 { // as a host does whose first answer got lost
			_, err := m.Renew(t.Context(), r.RenewRequest)
			must(t, err)
		}
		want[r.at] = r.want
		m.wantIdentity(r.name, want)
	}
}

// TestRenewHostile: what makes no sense changes nothing, and has nobody go on.
func TestRenewHostile(t *testing.T) {
	m := bootFreezable(t)
	m.freeze()
	for name, r := range map[string]*agentv1.RenewRequest{
		"newline in the name":  {Hostname: "a\n127.0.0.1 example.com"},
		"long name":            {Hostname: strings.Repeat("a", 65)},
		"no bytes to speak of": {Entropy: make([]byte, 31)},
		"many bytes":           {Entropy: make([]byte, 3<<20)},
		"before time":          {UnixTimeNs: -1},
		"short machine ID":     {MachineId: "0123"},
		"no machine ID":        {MachineId: strings.Repeat("z", 32)},
		"zero machine ID":      {MachineId: strings.Repeat("0", 32)},
		"name server":          {Nameservers: []string{"10.0.0.1\nsearch example.com"}},
		"MAC of a group":       {Interfaces: []*agentv1.NetworkInterface{{Name: "eth0", Mac: "ff:ff:ff:ff:ff:ff"}}},
		"no MAC":               {Interfaces: []*agentv1.NetworkInterface{{Name: "eth0", Mac: "02:00:00:00:00"}}},
		"no address":           {Interfaces: []*agentv1.NetworkInterface{{Name: "eth0", Addresses: []string{"10.0.0.2"}}}},
		"no gateway":           {Interfaces: []*agentv1.NetworkInterface{{Name: "eth0", Gateways: []string{"x"}}}},
		"no interface":         {Interfaces: []*agentv1.NetworkInterface{{Name: "../eth0"}}},
	} {
		// Something else that would be done.
		if r.Hostname == "" {
			r.Hostname = "other"
		}
		_, err := m.Renew(t.Context(), r)
		if t.Log(name); err == nil {
			t.Errorf("%s was taken", name)
		}
		wantCode(t, err, codes.InvalidArgument)
	}
	// More than a message may have: the client sees to that.
	if _, err := m.Renew(t.Context(), &agentv1.RenewRequest{Entropy: make([]byte, 10<<20)}); err == nil {
		t.Error("10 MiB of entropy were taken")
	}
	_, err := m.Renew(t.Context(), &agentv1.RenewRequest{Interfaces: []*agentv1.NetworkInterface{{Name: "eth7"}}})
	wantCode(t, err, codes.NotFound)
	m.wantFrozen(true)
	m.thaw()
	m.wantIdentity("still", boxed)
}

// TestRenewReadOnly is of a root that can't be changed.
func TestRenewReadOnly(t *testing.T) {
	dir := programs(t, t.TempDir())
	for _, name := range []string{"etc", "dev", "proc", "sys", "run", "tmp"} {
		must(t, os.Mkdir(filepath.Join(dir, name), 0o755))
	}
	must(t, os.WriteFile(filepath.Join(dir, "etc/hosts"), []byte("127.0.1.1 box\n"), 0o644))
	image := filepath.Join(t.TempDir(), "image")
	must(t, os.WriteFile(image, nil, 0o600), os.Truncate(image, 32<<20))
	output(t, "mkfs.ext4", "-q", "-d", dir, image)
	device := strings.TrimSpace(output(t, "losetup", "-f", "--show", image))
	t.Cleanup(func() { output(t, "losetup", "-d", device) })

	m := boot(t, t.TempDir(), "")
	if m.cannotFreeze {
		t.Skip("no cgroup v2")
	}
	_, err := m.Setup(t.Context(), &agentv1.SetupRequest{Hostname: "box", Root: &agentv1.RootFS{Device: device}})
	must(t, err)
	m.freeze()
	_, err = m.Renew(t.Context(), &agentv1.RenewRequest{
		Hostname: "clone", MachineId: "0123456789abcdef0123456789abcdef", Nameservers: []string{"10.0.0.1"},
	})
	must(t, err)
	if got, want := m.run("who", "uname -n; cat /etc/hosts; cat /etc/machine-id 2>&1"), "clone\n127.0.1.1 box\ncat: /etc/machine-id: No such file or directory\n"; got != want {
		t.Errorf("the guest is %q, want %q", got, want)
	}
	m.powerOff(0)
}
