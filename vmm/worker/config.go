package worker

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/bulkhead-vm/bulkhead/boot"
	"github.com/bulkhead-vm/bulkhead/devices/backend/file"
	"github.com/bulkhead-vm/bulkhead/devices/backend/overlay"
	"github.com/bulkhead-vm/bulkhead/devices/backend/tap"
	"github.com/bulkhead-vm/bulkhead/devices/ratelimit"
	"github.com/bulkhead-vm/bulkhead/devices/virtio"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/balloon"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/blk"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/net"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/rng"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/vsock"
	"github.com/bulkhead-vm/bulkhead/vmm/machine"
	"github.com/bulkhead-vm/bulkhead/vmm/snapshot"

	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// defaultCID is the guest's vsock address unless told otherwise. Workers don't
// share an address space, so that all may have the same.
const defaultCID = 3

// resources are the host's things behind a machine, to be closed after it.
type resources []io.Closer

func (r resources) Close() (err error) {
	for i := len(r) - 1; i >= 0; i-- {
		err = errors.Join(err, r[i].Close())
	}
	return err
}

// parts is a machine before it is assembled, and what can be changed of it
// later.
type parts struct {
	machine   machine.Config
	snapshot  *snapshot.Snapshot // that it goes on from; nil: it boots
	resources resources
	warn      func(device string, err error)
	controls
}

// add plugs a device in.
func (p *parts) add(name string, d virtio.Device) {
	p.machine.Devices = append(p.machine.Devices, machine.Device{Name: name, Device: d})
}

// open turns a configuration from the API into one of package machine. The
// caller closes the resources after the machine, and also if err isn't nil.
// warn hears, from any goroutine, what devices lack.
func open(req *vmmv1.CreateRequest, warn func(device string, err error)) (*parts, error) {
	c := req.GetMachine()
	if err := checkMemory(req); err != nil {
		return &parts{}, err
	}
	p := &parts{warn: warn, machine: machine.Config{
		CPUs:    int(c.GetCpus()),
		Memory:  c.GetMemoryBytes(),
		Cmdline: c.GetCmdline(),

		HugePages: req.GetMemory().GetHugePages(),
	}}
	p.limits = map[string]*ratelimit.Limiter{}
	if c.GetBootProtocol() == vmmv1.BootProtocol_BOOT_PROTOCOL_PVH {
		p.machine.Protocol = boot.PVH
	}
	if c.GetTransport() == vmmv1.Transport_TRANSPORT_PCI {
		p.machine.Transport = machine.PCI
	}
	steps := []func(*parts, *vmmv1.MachineConfig) error{
		(*parts).openKernel, (*parts).openInitrd, (*parts).openDisks, (*parts).openNetworks,
		(*parts).openVsock, (*parts).openRNG, (*parts).openBalloon,
	}
	if path := req.GetSnapshot(); path != "" {
		if err := p.openSnapshot(path, c, req.GetMemory()); err != nil {
			return p, err
		}
		steps = steps[2:] // it has its kernel
	}
	for _, step := range steps {
		if err := step(p, c); err != nil {
			return p, err
		}
	}
	return p, nil
}

func (p *parts) openKernel(c *vmmv1.MachineConfig) error {
	if c.GetKernel() == "" {
		return errors.New("no kernel given: name one with --kernel")
	}
	f, err := os.Open(c.GetKernel())
	if err != nil {
		return fmt.Errorf("kernel: %w", err)
	}
	p.resources = append(p.resources, f)
	p.machine.Kernel = f
	return nil
}

func (p *parts) openInitrd(c *vmmv1.MachineConfig) error {
	if c.GetInitrd() == "" {
		return nil
	}
	f, err := os.Open(c.GetInitrd())
	if err != nil {
		return fmt.Errorf("initrd: %w", err)
	}
	p.resources = append(p.resources, f)
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("initrd: %w", err)
	}
	p.machine.Initrd = io.NewSectionReader(f, 0, info.Size())
	return nil
}

// maxDiskQueues is how many vCPUs of a machine have a queue of each disk for
// themselves: one costs memory in host and guest.
const maxDiskQueues = 8

func (p *parts) openDisks(c *vmmv1.MachineConfig) error {
	for i, disk := range c.GetDisks() {
		if err := p.fetchDisk(i, disk); err != nil {
			return err
		}
		backend, image, err := openDisk(disk)
		if err != nil {
			return err
		}
		p.resources = append(p.resources, backend)
		name := diskName(i)
		dev, err := blk.New(blk.Config{
			Backend: backend, Queues: min(max(p.machine.CPUs, 1), maxDiskQueues), Limit: p.limit(name, disk.GetLimit()),
		})
		if err != nil {
			return fmt.Errorf("%s: %w", disk.GetPath(), err)
		}
		p.disks = append(p.disks, attachedDisk{backend, dev, image})
		p.add(name, dev)
	}
	return nil
}

// diskBackend is an open disk.
type diskBackend interface {
	blk.Backend
	io.Closer
}

// openDisk opens a disk, and says which file is at its path.
func openDisk(d *vmmv1.Disk) (diskBackend, os.FileInfo, error) {
	if d.GetDirect() && d.GetOverlay() != "" {
		return nil, nil, errors.New("an overlay is in the host's page cache: leave direct I/O out")
	}
	readOnly := d.GetReadOnly() || d.GetOverlay() != ""
	image, err := file.Open(d.GetPath(), file.Options{ReadOnly: readOnly, Direct: d.GetDirect()})
	if err != nil {
		return nil, nil, err
	}
	info, err := image.Stat()
	if err != nil {
		return nil, nil, errors.Join(err, image.Close())
	}
	if d.GetOverlay() == "" {
		return image, info, nil
	}
	if err := overlay.Create(d.GetOverlay(), image.Size()); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, nil, errors.Join(err, image.Close())
	}
	disk, err := overlay.Open(d.GetOverlay(), image)
	return disk, info, err
}

func (p *parts) openNetworks(c *vmmv1.MachineConfig) error {
	for i, network := range c.GetNetworks() {
		t, err := tap.Open(network.GetTap(), p.machine.CPUs)
		if err != nil {
			return err
		}
		p.resources = append(p.resources, t)
		name := fmt.Sprintf("net%d", i)
		dev, err := net.New(net.Config{
			Port: t, MAC: network.GetMac(), MTU: guestMTU(t.MTU()), Held: p.snapshot != nil, OnlyOwn: network.GetOwnMacOnly(),
			LimitRX: p.limit(name+".rx", network.GetReceiveLimit()),
			LimitTX: p.limit(name+".tx", network.GetTransmitLimit()),
		})
		if err != nil {
			return err
		}
		p.nets = append(p.nets, dev)
		p.add(name, dev)
	}
	return nil
}

// guestMTU is what the guest is told: nothing where it would do so by itself.
func guestMTU(host int) uint16 {
	if host == 1500 {
		return 0
	}
	return uint16(min(max(host, 68), 65535))
}

func (p *parts) openVsock(c *vmmv1.MachineConfig) error {
	v := c.GetVsock()
	if v == nil {
		return nil
	}
	config := vsock.Config{CID: v.GetGuestCid(), Warn: func(err error) { p.warn("vsock", err) }}
	if config.CID == 0 {
		config.CID = defaultCID
	}
	for _, r := range v.GetPaths() {
		config.Routes = append(config.Routes, vsock.Route{Path: r.GetPath(), First: r.GetFirstPort(), Last: r.GetLastPort()})
	}
	dev, err := vsock.New(config)
	if err != nil {
		return err
	}
	p.resources = append(p.resources, dev)
	p.add("vsock", dev)
	return nil
}

func (p *parts) openRNG(*vmmv1.MachineConfig) error {
	p.add("rng", rng.New(rng.Config{Limit: p.limit("rng", nil)}))
	return nil
}

func (p *parts) openBalloon(c *vmmv1.MachineConfig) error {
	if c.GetBalloon() {
		p.balloon = balloon.New()
		p.add("balloon", p.balloon)
	}
	return nil
}
