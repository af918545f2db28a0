package spec

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// Inherit returns the specification of a sandbox that goes on from one of another
// specification, from: what s leaves out comes from there. Violations are of what s
// has and can't. Neither is changed.
func Inherit(s, from *bulkheadv1.SandboxSpec) (*bulkheadv1.SandboxSpec, []fault.Violation) {
	s, from, c := clone(s), clone(from), new(checker)
	c.inheritMachine(s, from)
	s.Disks = c.inheritDisks(s.GetDisks(), from.GetDisks())
	s.Networks = c.inheritNetworks(s.GetNetworks(), from.GetNetworks())
	return s, c.violations
}

// inheritMachine fills in what no sandbox can have in another way.
func (c *checker) inheritMachine(s, from *bulkheadv1.SandboxSpec) {
	const leave = "the sandbox that it goes on from has %v: leave it out"
	if s.GetCpus() != 0 && s.GetCpus() != from.GetCpus() {
		c.wrong("spec.cpus", leave, from.GetCpus())
	}
	if m := WithDefaults(s).GetMemoryBytes(); s.GetMemoryBytes() != 0 && m != from.GetMemoryBytes() {
		c.wrong("spec.memory_bytes", leave, from.GetMemoryBytes())
	}
	if t := s.GetTransport(); t != 0 && bus(t) != bus(from.GetTransport()) {
		c.wrong("spec.transport", leave, bus(from.GetTransport()))
	}
	for _, text := range []struct{ field, is, from string }{
		{"spec.root_fs.path", s.GetRootFs().GetPath(), from.GetRootFs().GetPath()},
		{"spec.kernel.image", s.GetKernel().GetImage(), from.GetKernel().GetImage()},
		{"spec.kernel.initrd", s.GetKernel().GetInitrd(), from.GetKernel().GetInitrd()},
		{"spec.kernel.cmdline", s.GetKernel().GetCmdline(), from.GetKernel().GetCmdline()},
	} {
		if text.is != "" && text.is != text.from {
			c.wrong(text.field, leave, fmt.Sprintf("%.200q", text.from))
		}
	}
	if s.GetCommand() != nil && !proto.Equal(s.GetCommand(), from.GetCommand()) {
		c.wrong("spec.command", "the sandbox that it goes on from has another, or none: leave it out")
	}
	s.Cpus, s.MemoryBytes, s.Transport = from.GetCpus(), from.GetMemoryBytes(), from.GetTransport()
	s.RootFs, s.Kernel, s.Command = from.GetRootFs(), from.GetKernel(), from.GetCommand()
}

// bus is a transport as it is.
func bus(t bulkheadv1.Transport) bulkheadv1.Transport {
	return max(t, bulkheadv1.Transport_TRANSPORT_MMIO)
}

func (c *checker) inheritDisks(disks, from []*bulkheadv1.Disk) []*bulkheadv1.Disk {
	if len(disks) == 0 {
		for i, d := range from {
			switch {
			case overlaid(d): // each has its own
				d.Overlay, d.OverlayPath = true, ""
			case !d.GetReadOnly():
				c.wrong("spec.disks", "disk %d of the sandbox that it goes on from is written in place: give disks, with another path for that one", i)
			}
		}
		return from
	}
	if len(disks) != len(from) {
		c.wrong("spec.disks", "%d, the sandbox that it goes on from has %d: give as many, or none", len(disks), len(from))
		return disks
	}
	for i, d := range disks {
		if d.GetReadOnly() != from[i].GetReadOnly() || overlaid(from[i]) && !overlaid(d) {
			c.wrong(fmt.Sprintf("spec.disks[%d]", i), "it is to be %s, as in the sandbox that it goes on from", diskKind(from[i]))
		}
	}
	return disks
}

func overlaid(d *bulkheadv1.Disk) bool { return d.GetOverlay() || d.GetOverlayPath() != "" }

func diskKind(d *bulkheadv1.Disk) string {
	switch {
	case overlaid(d):
		return "an overlay"
	case d.GetReadOnly():
		return "read-only"
	}
	return "writable"
}

func (c *checker) inheritNetworks(networks, from []*bulkheadv1.Network) []*bulkheadv1.Network {
	if len(networks) != 0 && len(networks) != len(from) {
		c.wrong("spec.networks", "%d, the sandbox that it goes on from has %d: give as many", len(networks), len(from))
	}
	if len(networks) != 0 {
		return networks
	}
	for i, n := range from {
		if n.GetBridge() == "" || len(n.GetAddresses())+len(n.GetGateways()) > 0 {
			c.wrong("spec.networks", "network %d of the sandbox that it goes on from has a tap or addresses of its own: give networks", i)
		}
		n.Mac = ""
	}
	return from
}
