package machine

import (
	"fmt"
	"slices"

	"github.com/bulkhead-vm/bulkhead/boot"
	"github.com/bulkhead-vm/bulkhead/devices/bus"
	"github.com/bulkhead-vm/bulkhead/devices/eventfd"
	"github.com/bulkhead-vm/bulkhead/devices/i8042"
	"github.com/bulkhead-vm/bulkhead/devices/power"
	"github.com/bulkhead-vm/bulkhead/devices/pvpanic"
	"github.com/bulkhead-vm/bulkhead/devices/serial"
	"github.com/bulkhead-vm/bulkhead/vmm/emulate"
	"github.com/bulkhead-vm/bulkhead/vmm/kvm"
	"github.com/bulkhead-vm/bulkhead/vmm/memory"
	"github.com/bulkhead-vm/bulkhead/vmm/vcpu"
)

// assemble builds the machine from the board up. What it made by the time of
// an error, Close gives back.
func (m *Machine) assemble(c Config) error {
	if err := m.createBoard(c); err != nil {
		return err
	}
	c.Timeline.Mark("memory and interrupt controllers")
	devices, err := m.createDevices(c)
	if err != nil {
		return err
	}
	mmio, err := bus.New(devices.memory...)
	if err != nil {
		return err
	}
	pio, err := m.createLegacyDevices(c, devices.ports)
	if err != nil {
		return err
	}
	c.Timeline.Mark("devices")
	if c.State != nil {
		return m.restore(c, pio, mmio)
	}
	entry, err := m.load(c)
	if err != nil {
		return err
	}
	c.Timeline.Mark("kernel and initrd in memory")
	if err := m.createCPUs(c, pio, mmio); err != nil {
		return err
	}
	if err := vcpu.SetEntry(m.vcpus[0], entry); err != nil {
		return fmt.Errorf("set the entry state: %w", err)
	}
	c.Timeline.Mark("vCPUs")
	return nil
}

// load puts the kernel into memory, and what it is told.
func (m *Machine) load(c Config) (entry boot.Entry, err error) {
	load := boot.Config{Kernel: c.Kernel, Initrd: c.Initrd, CPUs: c.CPUs, Protocol: c.Protocol}
	hasACPI := c.hasACPI()
	load.Cmdline = cmdline(c, hasACPI)
	if hasACPI {
		if load.ACPI, err = m.createACPI(c); err != nil {
			return entry, err
		}
	}
	return boot.Load(m.mem, load)
}

// createBoard makes what processors and devices are plugged into: RAM and
// interrupt controllers.
func (m *Machine) createBoard(c Config) (err error) {
	if m.mem == nil {
		reserve := memory.New
		if c.HugePages {
			reserve = memory.NewHuge
		}
		if m.mem, err = reserve(c.Memory); err != nil {
			return err
		}
		m.close = slices.Insert(m.close, 0, m.mem.Close) // when KVM has let go of it
	}
	// Before the chips: those change KVM's tables of buses, whose old copies are freed
	// after a grace period of milliseconds, and a slot would wait for that as well.
	for i, r := range m.mem.Regions() {
		if err := m.vm.SetMemorySlot(kvm.MemorySlot{Slot: uint32(i), GPA: uint64(r.Start), Bytes: r.Bytes}); err != nil {
			return err
		}
	}
	if err := m.vm.SetTSSAddr(tssAddr); err != nil {
		return err
	}
	if err := m.vm.SetIdentityMapAddr(identityMapAddr); err != nil {
		return err
	}
	if err := m.vm.CreateIRQChip(); err != nil {
		return err
	}
	if err := m.vm.CreatePIT(); err != nil {
		return err
	}
	if err := m.vm.EnableCap(kvm.CapExitOnEmulationFailure, 1); err != nil {
		return err
	}
	return nil
}

// createLegacyDevices puts the PC's few remaining devices on the port bus,
// beside others.
func (m *Machine) createLegacyDevices(c Config, others []bus.Range) (*bus.Bus, error) {
	irq, err := m.interrupt(serialGSI)
	if err != nil {
		return nil, err
	}
	m.serial = serial.New(c.Console, func() { irq.Signal() })
	return bus.New(append(others,
		bus.Range{Start: serialPort, Size: serial.RegisterLen, Name: "serial", Handler: m.serial},
		bus.Range{Start: i8042.PortData, Size: i8042.PortCount, Name: "i8042",
			Handler: i8042.New(func() { m.finish(End{Reason: Reboot}) })},
		bus.Range{Start: power.PortControl, Size: power.PortCount, Name: "power",
			Handler: power.New(func() { m.finish(End{Reason: PowerOff}) }, func() { m.finish(End{Reason: Reboot}) })},
		bus.Range{Start: pvpanic.Port, Size: 1, Name: "pvpanic",
			Handler: pvpanic.New(func() { m.finish(End{Reason: GuestPanic}) })},
	)...)
}

// interrupt returns an eventfd that raises an interrupt line.
func (m *Machine) interrupt(gsi uint32) (*eventfd.EventFD, error) {
	e, err := eventfd.New()
	if err != nil {
		return nil, err
	}
	m.close = append(m.close, e.Close)
	return e, m.vm.AssignIRQFD(e.FD(), gsi)
}

// createCPUs makes the processors, as they are at power-on.
func (m *Machine) createCPUs(c Config, pio, mmio *bus.Bus) error {
	xsaveSize, err := m.vm.XSaveSize()
	if err != nil {
		return err
	}
	template := vcpu.Template{CPUs: c.CPUs, MaskKVMFeatures: c.Profile.MaskKVMFeatures, NoPIC: c.hasACPI()}
	for id := range c.CPUs {
		v, err := m.vm.CreateVCPU(id)
		if err != nil {
			return err
		}
		m.vcpus = append(m.vcpus, v)
		m.close = append(m.close, v.Close)
		if c.State == nil {
			err = template.Reset(v, m.supported)
		} else {
			err = vcpu.Restore(v, c.State.GetCpus()[id], m.supported)
		}
		if err != nil {
			return err
		}
		var completer vcpu.Completer
		if c.Profile.CompleteInstructions {
			completer = emulate.New(m.mem, m.supported, xsaveSize)
		}
		tl := c.Timeline
		if id > 0 {
			tl = nil
		}
		m.cpus = append(m.cpus, vcpu.New(v, pio, mmio, completer, tl))
	}
	return nil
}
