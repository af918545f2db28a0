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
	"github.com/bulkhead-vm/bulkhead/devices/virtio/blk"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/net"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/rng"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/vsock"
	"github.com/bulkhead-vm/bulkhead/vmm/machine"

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

// open turns a configuration from the API into one of package machine. The
// caller closes the resources after the machine, and also if err isn't nil.
func open(c *vmmv1.MachineConfig) (m machine.Config, r resources, err error) {
	m = machine.Config{
		CPUs:    int(c.GetCpus()),
		Memory:  c.GetMemoryBytes(),
		Cmdline: c.GetCmdline(),
	}
	if c.GetBootProtocol() == vmmv1.BootProtocol_BOOT_PROTOCOL_PVH {
		m.Protocol = boot.PVH
	}
	for _, step := range []func(*vmmv1.MachineConfig, *machine.Config, *resources) error{
		openKernel, openInitrd, openDisks, openNetworks, openVsock, openRNG,
	} {
		if err := step(c, &m, &r); err != nil {
			return m, r, err
		}
	}
	return m, r, nil
}

func openKernel(c *vmmv1.MachineConfig, m *machine.Config, r *resources) error {
	if c.GetKernel() == "" {
		return errors.New("no kernel given: name one with --kernel")
	}
	f, err := os.Open(c.GetKernel())
	if err != nil {
		return fmt.Errorf("kernel: %w", err)
	}
	*r = append(*r, f)
	m.Kernel = f
	return nil
}

func openInitrd(c *vmmv1.MachineConfig, m *machine.Config, r *resources) error {
	if c.GetInitrd() == "" {
		return nil
	}
	f, err := os.Open(c.GetInitrd())
	if err != nil {
		return fmt.Errorf("initrd: %w", err)
	}
	*r = append(*r, f)
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("initrd: %w", err)
	}
	m.Initrd = io.NewSectionReader(f, 0, info.Size())
	return nil
}

// maxDiskQueues is how many vCPUs of a machine have a queue of each disk for
// themselves: one costs memory in host and guest.
const maxDiskQueues = 8

func openDisks(c *vmmv1.MachineConfig, m *machine.Config, r *resources) error {
	for i, disk := range c.GetDisks() {
		backend, err := openDisk(disk)
		if err != nil {
			return err
		}
		*r = append(*r, backend)
		dev, err := blk.New(blk.Config{Backend: backend, Queues: min(max(m.CPUs, 1), maxDiskQueues)})
		if err != nil {
			return fmt.Errorf("%s: %w", disk.GetPath(), err)
		}
		m.Devices = append(m.Devices, machine.Device{Name: fmt.Sprintf("blk%d", i), Device: dev})
	}
	return nil
}

// diskBackend is an open disk.
type diskBackend interface {
	blk.Backend
	io.Closer
}

func openDisk(d *vmmv1.Disk) (diskBackend, error) {
	readOnly := d.GetReadOnly() || d.GetOverlay() != ""
	image, err := file.Open(d.GetPath(), file.Options{ReadOnly: readOnly, Direct: d.GetDirect()})
	if err != nil || d.GetOverlay() == "" {
		return image, err
	}
	if err := overlay.Create(d.GetOverlay(), image.Size()); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, errors.Join(err, image.Close())
	}
	return overlay.Open(d.GetOverlay(), image)
}

func openNetworks(c *vmmv1.MachineConfig, m *machine.Config, r *resources) error {
	for i, network := range c.GetNetworks() {
		t, err := tap.Open(network.GetTap(), m.CPUs)
		if err != nil {
			return err
		}
		*r = append(*r, t)
		dev, err := net.New(net.Config{Port: t, MAC: network.GetMac()})
		if err != nil {
			return err
		}
		m.Devices = append(m.Devices, machine.Device{Name: fmt.Sprintf("net%d", i), Device: dev})
	}
	return nil
}

func openVsock(c *vmmv1.MachineConfig, m *machine.Config, r *resources) error {
	v := c.GetVsock()
	if v == nil {
		return nil
	}
	config := vsock.Config{CID: v.GetGuestCid()}
	if config.CID == 0 {
		config.CID = defaultCID
	}
	for _, p := range v.GetPaths() {
		config.Routes = append(config.Routes, vsock.Route{Path: p.GetPath(), First: p.GetFirstPort(), Last: p.GetLastPort()})
	}
	dev, err := vsock.New(config)
	if err != nil {
		return err
	}
	*r = append(*r, dev)
	m.Devices = append(m.Devices, machine.Device{Name: "vsock", Device: dev})
	return nil
}

func openRNG(_ *vmmv1.MachineConfig, m *machine.Config, _ *resources) error {
	m.Devices = append(m.Devices, machine.Device{Name: "rng", Device: rng.New(rng.Config{})})
	return nil
}
