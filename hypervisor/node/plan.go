package node

import (
	"encoding/hex"
	"fmt"
	"net"
	"path/filepath"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/bulkhead-vm/bulkhead/hypervisor/guest"
	"github.com/bulkhead-vm/bulkhead/hypervisor/instance"
	"github.com/bulkhead-vm/bulkhead/hypervisor/snapshots"
	"github.com/bulkhead-vm/bulkhead/hypervisor/spec"
	"github.com/bulkhead-vm/bulkhead/hypervisor/supervise"

	agentv1 "github.com/bulkhead-vm/bulkhead/guestkernel/agentapi/v1"
	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// Names in a sandbox's directory of StateDir.
const (
	outputName  = "output.log"
	consoleName = "console.log"
)

// describe returns the plan for a sandbox. Its images aren't looked for yet: for one
// that is up they needn't be there any more.
func (n *Node) describe(r *storev1.Record) (p instance.Plan) {
	host, s := hostName(r), r.GetSandbox().GetSpec()
	p.Name, p.BootTimeout = host, n.bootTimeout(s)
	p.Machine = &vmmv1.MachineConfig{
		Cpus:        s.GetCpus(),
		MemoryBytes: s.GetMemoryBytes(),
		Cmdline:     s.GetKernel().GetCmdline(),
		Transport:   vmmv1.Transport(s.GetTransport()), // the same numbers
		Balloon:     true,
		Console:     &vmmv1.LogFile{Path: filepath.Join(n.kept(host), consoleName)},
		Disks:       n.disks(host, s.GetDisks()),
		Networks:    networks(r),
	}
	p.Memory = n.memory(r)
	if path := s.GetVsockPath(); path != "" {
		p.Machine.Vsock = &vmmv1.Vsock{Paths: []*vmmv1.VsockPath{{Path: path}}}
	}
	p.Setup, p.Images = setup(r.GetSandbox().GetName(), s), n.imagesOf(s)
	if n.restores(r) {
		p.Identity, p.Images, p.Template = renewed(r), n.sourceOf(r), r.GetTemplate() != ""
	}
	if c := s.GetCommand(); c != nil {
		command := Command(c)
		p.Command, p.Log = &command, &vmmv1.LogFile{Path: filepath.Join(n.kept(host), outputName)}
	}
	return p
}

func (n *Node) disks(host string, disks []*bulkheadv1.Disk) (all []*vmmv1.Disk) {
	for i, d := range disks {
		disk := &vmmv1.Disk{
			Path: d.GetPath(), ReadOnly: d.GetReadOnly(), Direct: d.GetDirect(), Limit: limit(d.GetLimit()), Overlay: d.GetOverlayPath(),
		}
		if d.GetOverlay() && disk.Overlay == "" {
			disk.Overlay = n.ownOverlay(host, i)
		}
		all = append(all, disk)
	}
	return all
}

func networks(r *storev1.Record) (all []*vmmv1.Network) {
	for i, network := range r.GetSandbox().GetSpec().GetNetworks() {
		link := r.GetLinks()[i]
		mac, _ := net.ParseMAC(link.GetMac()) // made here
		tap := network.GetTap()
		if own := link.GetOwnTap(); own != "" {
			tap = own
		}
		all = append(all, &vmmv1.Network{
			Tap: tap, Mac: mac, OwnMacOnly: network.GetBridge() != "" && !network.GetAnyMac(),
			ReceiveLimit: limit(network.GetReceiveLimit()), TransmitLimit: limit(network.GetTransmitLimit()),
		})
	}
	return all
}

func limit(l *bulkheadv1.RateLimit) *vmmv1.RateLimit {
	if l == nil {
		return nil
	}
	return &vmmv1.RateLimit{
		BytesPerSecond: l.GetBytesPerSecond(), BytesBurst: l.GetBytesBurst(),
		OperationsPerSecond: l.GetOperationsPerSecond(), OperationsBurst: l.GetOperationsBurst(),
	}
}

// setup returns what the guest is told of itself.
func setup(name string, s *bulkheadv1.SandboxSpec) *agentv1.SetupRequest {
	r := &agentv1.SetupRequest{
		Hostname: hostname(name),
		Root: &agentv1.RootFS{
			Device: "/dev/vda",
			Upper:  &agentv1.RootFS_Tmpfs{Tmpfs: &agentv1.TmpfsUpper{}},
		},
		Nameservers: s.GetNameservers(),
	}
	for i, network := range s.GetNetworks() {
		if untold(network) {
			continue
		}
		r.Interfaces = append(r.Interfaces, &agentv1.NetworkInterface{
			Name: fmt.Sprintf("eth%d", i), Addresses: network.GetAddresses(), Gateways: network.GetGateways(), Mtu: network.GetMtu(),
		})
	}
	return r
}

// untold reports whether a guest that boots is told nothing of a network: it stays down
// until somebody in the guest does something with it.
func untold(n *bulkheadv1.Network) bool {
	return len(n.GetAddresses())+len(n.GetGateways()) == 0 && n.GetMtu() == 0
}

// hostname is a sandbox's name, or a member's, as a host may have it.
func hostname(name string) string {
	return strings.ReplaceAll(strings.TrimPrefix(name, supervise.OwnMark), "_", "-")
}

// Command is a command as the guest's agent is told of it.
func Command(c *bulkheadv1.Command) guest.Command {
	command := guest.Command{
		Args: c.GetArgs(), Env: c.GetEnv(), Dir: c.GetWorkingDir(), User: c.GetUser(), Stdin: c.GetStdin(),
	}
	if t := c.GetTerminal(); t != nil {
		command.Console = &guest.Size{Rows: t.GetRows(), Columns: t.GetColumns()}
	}
	return command
}

// newLinks returns what a sandbox with the specification has of its own on the
// host's network.
func newLinks(s *bulkheadv1.SandboxSpec) (links []*storev1.Link) {
	for _, network := range s.GetNetworks() {
		l := &storev1.Link{Mac: network.GetMac()}
		if l.Mac == "" {
			l.Mac = newMAC()
		}
		if network.GetBridge() != "" {
			l.OwnTap = tapPrefix + newID()
		}
		links = append(links, l)
	}
	return links
}

// tapPrefix begins the names of taps that are sandboxes' own. With an ID it makes
// 14 characters, of the 15 that an interface's name may have.
const tapPrefix = "bh"

// newMAC returns an address that is unicast and locally administered.
func newMAC() string {
	id, _ := hex.DecodeString(newID()) // six bytes
	id[0] = id[0]&^1 | 2
	return net.HardwareAddr(id).String()
}

// sameRequest reports whether a request, of asked, asks for the sandbox that has the
// specification before. That has more than was asked for if it goes on from a
// snapshot, or a certain template.
func sameRequest(before, asked *bulkheadv1.SandboxSpec) bool {
	switch {
	case asked.GetSnapshot() != "" && asked.GetSnapshot() == before.GetSnapshot():
		full, wrong := spec.Inherit(asked, before)
		return len(wrong) == 0 && proto.Equal(full, before)
	case spec.NamesTemplate(asked) && spec.NamesTemplate(before) && snapshots.Named(before.GetTemplate(), asked.GetTemplate()):
		full, wrong := spec.InheritTemplate(asked, before)
		if len(wrong) > 0 {
			return false
		}
		full.Template = before.GetTemplate()
		return proto.Equal(full, before)
	}
	return proto.Equal(before, asked)
}
