package spec

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// full returns a request that uses every field and is right, on a node that has
// what it names.
func full(t *testing.T) (*bulkheadv1.CreateSandboxRequest, Policy) {
	t.Helper()
	dir := t.TempDir()
	return &bulkheadv1.CreateSandboxRequest{
		Name:      "web-1",
		RequestId: "f00f",
		Spec: &bulkheadv1.SandboxSpec{
			Labels:      map[string]string{"team/name": "a", "empty": ""},
			Cpus:        MaxCPUs,
			MemoryBytes: MinMemory,
			RootFs:      &bulkheadv1.RootFS{Path: dir + "/root"},
			Disks:       []*bulkheadv1.Disk{{Path: dir + "/disk", Overlay: true, OverlayPath: dir + "/changes"}, {Path: dir + "/other", ReadOnly: true, Direct: true}},
			Networks: []*bulkheadv1.Network{
				{Host: &bulkheadv1.Network_Bridge{Bridge: "br0"}, Mac: "52:54:00:12:34:56", Mtu: 1400,
					Addresses: []string{"10.0.0.2/24", "fd00::2/64"}, Gateways: []string{"10.0.0.1", "fd00::1"}},
				{Host: &bulkheadv1.Network_Tap{Tap: "tap0"}},
			},
			Command: &bulkheadv1.Command{
				Args: []string{"sh", "-c", "true"}, Env: []string{"A=b", "C="}, WorkingDir: "/", User: "1000:1000",
				Terminal: &bulkheadv1.TerminalSize{Rows: 24, Columns: 80},
			},
			Restart: &bulkheadv1.RestartPolicy{
				Mode: bulkheadv1.RestartMode_RESTART_MODE_ON_FAILURE, MaxRestarts: 5,
				Backoff: durationpb.New(time.Second), MaxBackoff: durationpb.New(time.Minute),
			},
			Ttl:         durationpb.New(time.Hour),
			IdleTimeout: durationpb.New(time.Minute),
			Kernel:      &bulkheadv1.Kernel{Image: dir + "/vmlinux", Initrd: dir + "/initrd", Cmdline: "quiet acpi=off"},
			Transport:   bulkheadv1.Transport_TRANSPORT_PCI,
			Nameservers: []string{"9.9.9.9"},
			BootTimeout: durationpb.New(time.Minute),
			VsockPath:   dir + "/vsock",
			Memory:      &bulkheadv1.MemoryOptions{Backing: bulkheadv1.MemoryBacking_MEMORY_BACKING_PAGED, Prefetch: bulkheadv1.Prefetch_PREFETCH_OFF, HugePages: true},
		},
	}, Policy{Images: []string{dir}, Sockets: []string{dir}}
}

func TestRight(t *testing.T) {
	r, p := full(t)
	if v := Check(r, p); v != nil {
		t.Errorf("refused: %v", v)
	}
	if v := Check(&bulkheadv1.CreateSandboxRequest{}, Policy{}); v != nil {
		t.Errorf("nothing is refused: %v", v)
	}
}

func TestWrong(t *testing.T) {
	type spec = bulkheadv1.SandboxSpec
	long := strings.Repeat("x", 5000)
	for field, spoil := range map[string]func(*bulkheadv1.CreateSandboxRequest, *spec){
		"name":                       func(r *bulkheadv1.CreateSandboxRequest, _ *spec) { r.Name = "../etc" },
		"request_id":                 func(r *bulkheadv1.CreateSandboxRequest, _ *spec) { r.RequestId = long },
		"spec.labels":                func(_ *bulkheadv1.CreateSandboxRequest, s *spec) { s.Labels["a b"] = "" },
		"spec.cpus":                  func(_ *bulkheadv1.CreateSandboxRequest, s *spec) { s.Cpus = 33 },
		"spec.memory.backing":        func(_ *bulkheadv1.CreateSandboxRequest, s *spec) { s.Memory.Backing = 3 },
		"spec.memory.prefetch":       func(_ *bulkheadv1.CreateSandboxRequest, s *spec) { s.Memory.Prefetch = -1 },
		"spec.memory.huge_pages":     func(_ *bulkheadv1.CreateSandboxRequest, s *spec) { s.Memory.Backing, s.Snapshot = 0, "golden" },
		"spec.memory_bytes":          func(_ *bulkheadv1.CreateSandboxRequest, s *spec) { s.MemoryBytes = 1 << 63 },
		"spec.root_fs.path":          func(_ *bulkheadv1.CreateSandboxRequest, s *spec) { s.RootFs.Path = "/etc/shadow" },
		"spec.disks[0].path":         func(_ *bulkheadv1.CreateSandboxRequest, s *spec) { s.Disks[0].Path += "/../../../etc/shadow" },
		"spec.disks[0].overlay_path": func(_ *bulkheadv1.CreateSandboxRequest, s *spec) { s.Disks[0].OverlayPath = "/etc/passwd" },
		"spec.disks[1].path":         func(_ *bulkheadv1.CreateSandboxRequest, s *spec) { s.Disks[1].Path = "disk" },
		"spec.disks[0].overlay":      func(_ *bulkheadv1.CreateSandboxRequest, s *spec) { s.Disks[0].ReadOnly = true },
		"spec.disks[0].direct":       func(_ *bulkheadv1.CreateSandboxRequest, s *spec) { s.Disks[0].Direct = true },
		"spec.disks":                 func(_ *bulkheadv1.CreateSandboxRequest, s *spec) { s.Disks = make([]*bulkheadv1.Disk, 17) },
		"spec.networks":              func(_ *bulkheadv1.CreateSandboxRequest, s *spec) { s.Networks = make([]*bulkheadv1.Network, 9) },
		"spec.networks[0]":           func(_ *bulkheadv1.CreateSandboxRequest, s *spec) { s.Networks[0].Host = nil },
		"spec.networks[0].bridge":    func(_ *bulkheadv1.CreateSandboxRequest, s *spec) { s.Networks[0].Host = &bulkheadv1.Network_Bridge{} },
		"spec.networks[1].tap": func(_ *bulkheadv1.CreateSandboxRequest, s *spec) {
			s.Networks[1].Host = &bulkheadv1.Network_Tap{Tap: ".."}
		},
		"spec.networks[0].mac":     func(_ *bulkheadv1.CreateSandboxRequest, s *spec) { s.Networks[0].Mac = "01:00:00:00:00:00" },
		"spec.networks[1].any_mac": func(_ *bulkheadv1.CreateSandboxRequest, s *spec) { s.Networks[1].AnyMac = true },
		"spec.networks[0].mtu":     func(_ *bulkheadv1.CreateSandboxRequest, s *spec) { s.Networks[0].Mtu = 67 },
		"spec.networks[0].addresses[1]": func(_ *bulkheadv1.CreateSandboxRequest, s *spec) {
			s.Networks[0].Addresses[1] = "10.0.0.2"
		},
		"spec.networks[0].gateways": func(_ *bulkheadv1.CreateSandboxRequest, s *spec) {
			s.Networks[0].Gateways = make([]string, 17)
		},
		"spec.command.args":         func(_ *bulkheadv1.CreateSandboxRequest, s *spec) { s.Command.Args = nil },
		"spec.command.args[1]":      func(_ *bulkheadv1.CreateSandboxRequest, s *spec) { s.Command.Args[1] = "a\x00" },
		"spec.command.env[0]":       func(_ *bulkheadv1.CreateSandboxRequest, s *spec) { s.Command.Env[0] = "=x" },
		"spec.command.env":          func(_ *bulkheadv1.CreateSandboxRequest, s *spec) { s.Command.Env = make([]string, 4097) },
		"spec.command":              func(_ *bulkheadv1.CreateSandboxRequest, s *spec) { s.Command.Args[2] = strings.Repeat(long, 30) },
		"spec":                      func(_ *bulkheadv1.CreateSandboxRequest, s *spec) { s.RootFs.Path += "/" + strings.Repeat(long, 60) },
		"spec.command.working_dir":  func(_ *bulkheadv1.CreateSandboxRequest, s *spec) { s.Command.WorkingDir = "tmp" },
		"spec.command.user":         func(_ *bulkheadv1.CreateSandboxRequest, s *spec) { s.Command.User = long },
		"spec.command.terminal":     func(_ *bulkheadv1.CreateSandboxRequest, s *spec) { s.Command.Terminal.Rows = 1 << 16 },
		"spec.restart.mode":         func(_ *bulkheadv1.CreateSandboxRequest, s *spec) { s.Restart.Mode = 9 },
		"spec.restart.max_restarts": func(_ *bulkheadv1.CreateSandboxRequest, s *spec) { s.Restart.MaxRestarts = 1 << 31 },
		"spec.restart.backoff":      func(_ *bulkheadv1.CreateSandboxRequest, s *spec) { s.Restart.Backoff = durationpb.New(1) },
		"spec.restart.max_backoff": func(_ *bulkheadv1.CreateSandboxRequest, s *spec) {
			s.Restart.MaxBackoff = &durationpb.Duration{Nanos: 2e9}
		},
		"spec.ttl":            func(_ *bulkheadv1.CreateSandboxRequest, s *spec) { s.Ttl = durationpb.New(0) },
		"spec.idle_timeout":   func(_ *bulkheadv1.CreateSandboxRequest, s *spec) { s.IdleTimeout = durationpb.New(1 << 62) },
		"spec.boot_timeout":   func(_ *bulkheadv1.CreateSandboxRequest, s *spec) { s.BootTimeout = durationpb.New(0) },
		"spec.kernel.image":   func(_ *bulkheadv1.CreateSandboxRequest, s *spec) { s.Kernel.Image = "/boot/vmlinuz" },
		"spec.kernel.initrd":  func(_ *bulkheadv1.CreateSandboxRequest, s *spec) { s.Kernel.Initrd = "/boot/initrd" },
		"spec.kernel.cmdline": func(_ *bulkheadv1.CreateSandboxRequest, s *spec) { s.Kernel.Cmdline = "a\nb" },
		"spec.transport":      func(_ *bulkheadv1.CreateSandboxRequest, s *spec) { s.Transport = 7 },
		"spec.nameservers[0]": func(_ *bulkheadv1.CreateSandboxRequest, s *spec) { s.Nameservers[0] = "dns.example" },
		"spec.vsock_path":     func(_ *bulkheadv1.CreateSandboxRequest, s *spec) { s.VsockPath = "/run/docker.sock" },
	} {
		t.Run(field, func(t *testing.T) {
			r, p := full(t)
			spoil(r, r.GetSpec())
			for _, v := range Check(r, p) {
				if v.Field == field && v.Description != "" {
					return
				}
			}
			t.Errorf("not found among %v", Check(r, p))
		})
	}
}

// TestLinkOut has a link lead out of the directory that is served.
func TestLinkOut(t *testing.T) {
	r, p := full(t)
	link := filepath.Join(p.Images[0], "link")
	if err := os.Symlink("/etc", link); err != nil {
		t.Fatal(err)
	}
	r.Spec.RootFs.Path = link + "/shadow"
	if v := Check(r, p); len(v) != 1 || v[0].Field != "spec.root_fs.path" {
		t.Errorf("violations %v", v)
	}
}

// TestLinksToNothing: what is made through a link is made where it leads.
func TestLinksToNothing(t *testing.T) {
	r, p := full(t)
	dir, outside := p.Images[0], t.TempDir()
	for name, target := range map[string]string{
		"out": outside + "/new", "relative": "../../../../../../.." + outside + "/new", "chain": "out", "in": "new", "loop": "loop", "lost": "none/../new",
		"elsewhere": outside, "up": "elsewhere/../new",
	} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, good := range map[string]bool{"out": false, "relative": false, "chain": false, "in": true, "loop": false, "lost": false, "up": false, "out/below": false, "in/below": true, "new": true} {
		r.Spec.Disks[0].OverlayPath = filepath.Join(dir, name)
		if v := Check(r, p); (len(v) == 0) != good {
			t.Errorf("%s: %v", name, v)
		}
		if v := CheckPaths(r.GetSpec(), p); (len(v) == 0) != good {
			t.Errorf("%s, again: %v", name, v)
		}
	}
	r.Spec.Disks[0].OverlayPath = dir + "/elsewhere/../new" // which isn't dir/new
	if Check(r, p) == nil {
		t.Error("a way up from a link is taken for one within the directory")
	}
}

// TestFloods has more than may be of whatever there can be several of: a few words
// say so, whatever it is.
func TestFloods(t *testing.T) {
	const many = 100_000
	for name, spoil := range map[string]func(*bulkheadv1.SandboxSpec){
		"disks":     func(s *bulkheadv1.SandboxSpec) { s.Disks = make([]*bulkheadv1.Disk, many) },
		"networks":  func(s *bulkheadv1.SandboxSpec) { s.Networks = make([]*bulkheadv1.Network, many) },
		"variables": func(s *bulkheadv1.SandboxSpec) { s.Command.Env = make([]string, many) },
		"NUL bytes": func(s *bulkheadv1.SandboxSpec) { s.Command.Args = strings.Split(strings.Repeat("\x00,", 4000), ",") },
	} {
		r, p := full(t)
		spoil(r.GetSpec())
		size, all := 0, Check(r, p)
		for _, v := range all {
			size += len(v.Field) + len(v.Description)
		}
		if len(all) == 0 || len(all) > 16 || size > 4096 {
			t.Errorf("%s: %d violations of %d bytes", name, len(all), size)
		}
	}
}

// TestLongCommand: one that is run in a sandbox isn't kept.
func TestLongCommand(t *testing.T) {
	c := &bulkheadv1.Command{Args: []string{"echo", strings.Repeat("x", 1<<19)}}
	if v := CheckCommand("command", c); v != nil {
		t.Errorf("refused: %v", v)
	}
}

func TestDefaults(t *testing.T) {
	s := WithDefaults(nil)
	if s.GetCpus() != 1 || s.GetMemoryBytes() != 128<<20 {
		t.Errorf("%v", s)
	}
	in := &bulkheadv1.SandboxSpec{MemoryBytes: 32<<20 + 1}
	if s := WithDefaults(in); s.GetMemoryBytes() != 32<<20+4096 || in.GetMemoryBytes() != 32<<20+1 {
		t.Errorf("%v of %v", s, in)
	}
}

func TestCheckDuration(t *testing.T) {
	for _, d := range []*durationpb.Duration{nil, durationpb.New(0), durationpb.New(time.Hour)} {
		if v := CheckDuration("grace_period", d, time.Hour); len(v) != 0 {
			t.Errorf("%v: %v", d, v)
		}
	}
	for _, d := range []*durationpb.Duration{durationpb.New(-1), durationpb.New(time.Hour + 1), {Seconds: 1, Nanos: -1}} {
		v := CheckDuration("grace_period", d, time.Hour)
		if len(v) != 1 || v[0].Field != "grace_period" || v[0].Description != "it is not a time between 0 and 1h0m0s" {
			t.Errorf("%v: %v", d, v)
		}
	}
}
