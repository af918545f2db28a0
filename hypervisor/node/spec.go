package node

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/bulkhead-vm/bulkhead/hypervisor/guest"
	"github.com/bulkhead-vm/bulkhead/hypervisor/image"

	agentv1 "github.com/bulkhead-vm/bulkhead/guestkernel/agentapi/v1"
	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// Spec describes a sandbox. The zero value is one with u-root's userland as its
// root file system.
type Spec struct {
	Name   string // empty: made up
	CPUs   int    // 0: 1
	Memory uint64 // bytes; 0: 128 MiB

	// Transport is what the guest's virtio devices are plugged into. Empty: MMIO.
	Transport Transport

	RootFS string // what image.Store.RootFS takes; empty: u-root's userland
	Disks  []Disk
	// Network is the guest's interface. nil: none but the loopback.
	Network *Network
	// VsockPath is a unix socket that reaches the guest's vsock ports; those of
	// the guest agent are not among them. Empty: none.
	VsockPath string

	Kernel  string // empty: the one that comes with Bulkhead
	Initrd  string // empty: the one that comes with Bulkhead
	Cmdline string // more words for the kernel's command line
	// Console takes the guest's console output. nil: nobody reads it.
	Console *os.File
	// Tied sandboxes end with this process, however it ends.
	Tied bool
	// BootTimeout is the most that a guest may take to come up; packing its
	// root file system doesn't count. 0: no limit.
	BootTimeout time.Duration
}

// Disk is a disk image for the guest.
type Disk struct {
	Path     string
	ReadOnly bool
	// Overlay is a file that takes what the guest writes, made if there is
	// none; Path is only read then, and others may use it too. Empty: none.
	Overlay string
	Direct  bool // without the host's page cache
}

// forWorker makes the paths absolute: the worker's directory may be another.
func (d Disk) forWorker() (*vmmv1.Disk, error) {
	disk := &vmmv1.Disk{ReadOnly: d.ReadOnly, Direct: d.Direct}
	var err error
	if disk.Path, err = filepath.Abs(d.Path); err == nil && d.Overlay != "" {
		disk.Overlay, err = filepath.Abs(d.Overlay)
	}
	if err != nil {
		return nil, fmt.Errorf("disk %s: %w", d.Path, err)
	}
	return disk, nil
}

// Network is an interface on a tap of the host's.
type Network struct {
	Tap string
}

// vsockName is the socket of a bundle that leads to the guest's vsock.
const vsockName = "vsock.sock"

// planned is the outcome of plan.
type planned struct {
	plan
	err error
}

// planUnless returns the plan, or ctx's cause when ctx is done first: packing a
// root file system takes long, and goes on for the next who asks.
func (n *Node) planUnless(ctx context.Context, s Spec, vsock string) (plan, error) {
	done := make(chan planned, 1)
	go func() {
		p, err := n.plan(s, vsock)
		done <- planned{p, err}
	}()
	select {
	case p := <-done:
		return p.plan, p.err
	case <-ctx.Done():
		return plan{}, context.Cause(ctx)
	}
}

// plan is what becomes of a Spec.
type plan struct {
	machine *vmmv1.MachineConfig
	setup   *agentv1.SetupRequest
	// writable says that a disk keeps what the guest writes, so that it must
	// be asked to finish.
	writable bool
}

// plan finds everything the spec names, and builds what has to be built.
func (n *Node) plan(s Spec, vsockPath string) (p plan, err error) {
	transport, err := s.Transport.forWorker()
	if err != nil {
		return plan{}, err
	}
	root, err := n.rootImage(s.RootFS)
	if err != nil {
		return plan{}, err
	}
	p.machine = &vmmv1.MachineConfig{
		Cpus:        uint32(s.CPUs),
		MemoryBytes: s.Memory,
		Cmdline:     s.Cmdline,
		Transport:   transport,
		Disks:       []*vmmv1.Disk{{Path: root.Path, ReadOnly: true}},
		Vsock: &vmmv1.Vsock{Paths: []*vmmv1.VsockPath{
			{Path: vsockPath, FirstPort: guest.FirstPort, LastPort: guest.LastPort},
		}},
	}
	if p.machine.Kernel, err = n.fileOrOwn(s.Kernel, kernelName); err != nil {
		return plan{}, err
	}
	if p.machine.Initrd, err = n.fileOrOwn(s.Initrd, initrdName); err != nil {
		return plan{}, err
	}
	for _, d := range s.Disks {
		disk, err := d.forWorker()
		if err != nil {
			return plan{}, err
		}
		p.machine.Disks = append(p.machine.Disks, disk)
		p.writable = p.writable || !d.ReadOnly
	}
	if s.Network != nil {
		p.machine.Networks = []*vmmv1.Network{{Tap: s.Network.Tap}}
	}
	if s.VsockPath != "" {
		path, err := filepath.Abs(s.VsockPath)
		if err != nil {
			return plan{}, fmt.Errorf("vsock: %w", err)
		}
		p.machine.Vsock.Paths = append(p.machine.Vsock.Paths, &vmmv1.VsockPath{Path: path})
	}
	p.setup = &agentv1.SetupRequest{
		Hostname: hostname(s.Name),
		Root: &agentv1.RootFS{
			Device: "/dev/vda",
			FsType: root.FSType,
			Upper:  &agentv1.RootFS_Tmpfs{Tmpfs: &agentv1.TmpfsUpper{}},
		},
	}
	return p, nil
}

// hostname is a sandbox's name as a host may have it.
func hostname(name string) string { return strings.ReplaceAll(name, "_", "-") }

func (n *Node) rootImage(path string) (image.Image, error) {
	if path == "" {
		own, err := n.guestFile(userlandName)
		return image.Image{Path: own, FSType: "erofs"}, err
	}
	store, err := n.images()
	if err != nil {
		return image.Image{}, err
	}
	return store.RootFS(path)
}

func (n *Node) fileOrOwn(path, own string) (string, error) {
	if path == "" {
		return n.guestFile(own)
	}
	return filepath.Abs(path) // the worker's directory may be another
}
