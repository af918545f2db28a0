// Package machine assembles a virtual machine out of guest memory, a kernel,
// vCPUs and devices, and runs it.
//
//	            ┌ PIO ─▶ bus ─▶ serial, i8042, power, pvpanic
//	KVM_RUN ─exit─┤
//	            └ MMIO ─▶ bus ─▶ virtio transport ─▶ queue ─▶ device ─▶ backend
//
// What the guest's kernel knows of all this it has from ACPI, or else from its
// command line.
package machine

import (
	"errors"
	"fmt"
	"sync"

	"github.com/bulkhead-vm/bulkhead/devices/pci"
	"github.com/bulkhead-vm/bulkhead/devices/serial"
	"github.com/bulkhead-vm/bulkhead/vmm/kvm"
	"github.com/bulkhead-vm/bulkhead/vmm/memory"
	"github.com/bulkhead-vm/bulkhead/vmm/vcpu"
)

// Machine is a virtual machine. Its methods may be called from any goroutine.
type Machine struct {
	vm        *kvm.VM
	supported []kvm.CPUIDEntry // what KVM can offer its processors
	mem       *memory.Memory
	vcpus     []*kvm.VCPU
	cpus      []*vcpu.CPU
	close     []func() error // what was made for it, in order

	events  acpiEvents
	devices []plugged // in the order that they are plugged in
	bus     *pci.Root // where devices are, nil if they aren't behind PCI
	serial  *serial.Port

	start   sync.Once
	running sync.WaitGroup // goroutines of cpus

	endOnce sync.Once
	end     End
	done    chan struct{} // closed once end is set
}

// New is NewFrom a bare machine of its own. The caller keeps sys, which must stay open
// until New returns.
func New(sys *kvm.System, c Config) (*Machine, error) {
	b, err := NewBare(sys)
	if err != nil {
		if c.RAM != nil {
			err = errors.Join(err, c.RAM.Close())
		}
		return nil, err
	}
	return NewFrom(b, c)
}

// NewFrom assembles a machine that is ready to Start. The caller closes it. The bare
// machine becomes a part of it, even if NewFrom fails.
func NewFrom(b *Bare, c Config) (*Machine, error) {
	m := &Machine{vm: b.vm, supported: b.supported, mem: c.RAM, done: make(chan struct{})}
	if m.mem != nil {
		m.close = append(m.close, m.mem.Close)
	}
	m.close = append(m.close, m.vm.Close)
	c, err := c.withDefaults()
	if err != nil {
		return nil, errors.Join(err, m.Close())
	}
	if err := m.assemble(c); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	m.mem.OnFailure(func(err error) { m.finish(End{HostError, err}) })
	return m, nil
}

// Start lets the guest run. Later calls do nothing.
func (m *Machine) Start() {
	m.start.Do(func() {
		for _, c := range m.cpus {
			m.running.Go(func() {
				if err := c.Run(); err != nil {
					m.finish(endOf(err))
				}
			})
		}
	})
}

// finish records the first reason for the end and stops every vCPU. A vCPU may
// call it from within an exit.
func (m *Machine) finish(e End) {
	m.endOnce.Do(func() {
		m.end = e
		for _, c := range m.cpus {
			c.Stop()
		}
		close(m.done)
	})
}

// Pause takes every vCPU out of the guest.
func (m *Machine) Pause() {
	for _, c := range m.cpus {
		c.Pause()
	}
}

// Resume undoes Pause.
func (m *Machine) Resume() {
	for _, c := range m.cpus {
		c.Resume()
	}
}

// Stop ends the machine, started or not, unless it has ended already.
func (m *Machine) Stop() { m.finish(End{Reason: Stopped}) }

// Done is closed when the machine has ended, for whatever reason.
func (m *Machine) Done() <-chan struct{} { return m.done }

// End says how the machine ended. It waits for that.
func (m *Machine) End() End {
	<-m.done
	return m.end
}

// Close stops the machine and gives back all it holds. Start does nothing after
// that.
func (m *Machine) Close() error {
	m.Stop()
	m.start.Do(func() {})
	m.running.Wait()
	var errs []error
	for i := len(m.close) - 1; i >= 0; i-- {
		errs = append(errs, m.close[i]())
	}
	m.close = nil
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close machine: %w", err)
	}
	return nil
}

// Memory returns the guest's RAM, valid until Close.
func (m *Machine) Memory() *memory.Memory { return m.mem }

// Registers returns the registers of every vCPU. The machine must be paused.
func (m *Machine) Registers() ([]kvm.Regs, error) {
	regs := make([]kvm.Regs, len(m.vcpus))
	for i, v := range m.vcpus {
		if err := v.Regs(&regs[i]); err != nil {
			return nil, err
		}
	}
	return regs, nil
}
