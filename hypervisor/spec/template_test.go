package spec

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

func TestTemplateIDs(t *testing.T) {
	hex := strings.Repeat("0123456789abcdef", 4)
	for id, ok := range map[string]bool{
		"": true, "none": true, hex: true, "sha256:" + hex: true, hex[:12]: true, "sha256:" + hex[:12]: true,
		hex[:11]: false, hex + "0": false, "None": false, "sha256:": false, strings.ToUpper(hex): false, "../../" + hex: false, "md5:" + hex: false,
	} {
		if v := Check(&bulkheadv1.CreateSandboxRequest{Spec: &bulkheadv1.SandboxSpec{Template: id}}, Policy{}); (v == nil) != ok {
			t.Errorf("%q: %v", id, v)
		}
	}
	if v := Check(&bulkheadv1.CreateSandboxRequest{Spec: &bulkheadv1.SandboxSpec{Template: "none", Snapshot: "golden"}}, Policy{}); v == nil {
		t.Error("a sandbox goes on from a snapshot and from something else")
	}
}

// TestMachine tells what is the machine's from what is a sandbox's own.
func TestMachine(t *testing.T) {
	r, _ := full(t)
	s := r.GetSpec()
	if m, ok := Machine(s); ok {
		t.Errorf("with a disk that is written: %v", m)
	}
	s.Disks = s.GetDisks()[1:]
	m, ok := Machine(s)
	if !ok {
		t.Fatal("no template could be of it")
	}
	own := proto.CloneOf(s)
	own.Labels, own.Networks[0].Mac, own.Networks[0].Addresses, own.Command, own.Restart, own.Ttl, own.IdleTimeout = nil, "", nil, nil, nil, nil, nil
	own.Nameservers, own.BootTimeout, own.VsockPath, own.Disks[0].Direct, own.AutoDelete, own.Networks[1].Mtu, own.Memory = nil, nil, "", false, true, 9000, nil
	if other, ok := Machine(own); !ok || !proto.Equal(m, other) {
		t.Errorf("%v and %v", m, other)
	}
	for name, change := range map[string]func(*bulkheadv1.SandboxSpec){
		"cpus":      func(s *bulkheadv1.SandboxSpec) { s.Cpus++ },
		"memory":    func(s *bulkheadv1.SandboxSpec) { s.MemoryBytes *= 2 },
		"root":      func(s *bulkheadv1.SandboxSpec) { s.RootFs = nil },
		"disk":      func(s *bulkheadv1.SandboxSpec) { s.Disks[0].Path += "2" },
		"disks":     func(s *bulkheadv1.SandboxSpec) { s.Disks = nil },
		"networks":  func(s *bulkheadv1.SandboxSpec) { s.Networks = s.GetNetworks()[:1] },
		"kernel":    func(s *bulkheadv1.SandboxSpec) { s.Kernel.Image = "" },
		"initrd":    func(s *bulkheadv1.SandboxSpec) { s.Kernel.Initrd = "" },
		"words":     func(s *bulkheadv1.SandboxSpec) { s.Kernel.Cmdline = "" },
		"transport": func(s *bulkheadv1.SandboxSpec) { s.Transport = 0 },
	} {
		other := proto.CloneOf(s)
		change(other)
		if got, ok := Machine(other); !ok || proto.Equal(m, got) {
			t.Errorf("%s makes no difference", name)
		}
	}
}
