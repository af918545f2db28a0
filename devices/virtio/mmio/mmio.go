// Package mmio is the virtio-over-MMIO transport, virtio 1.2 section 4.2,
// register layout version 2.
package mmio

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/bulkhead-vm/bulkhead/devices/eventfd"
	"github.com/bulkhead-vm/bulkhead/devices/virtio"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue"
	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// Transport is a device's register file: a bus.Handler of Size bytes.
type Transport struct {
	*virtio.Common
	irq *eventfd.EventFD

	interrupts atomic.Uint32 // InterruptStatus
	// What the driver selected. Drivers serialise their own accesses; if they
	// don't, they may hit another queue of theirs.
	deviceFeaturesSel atomic.Uint32
	driverFeaturesSel atomic.Uint32
	queueSel          atomic.Uint32
}

// New gives dev a register file. report gets the evidence each time the device
// comes to need a reset, from any goroutine. The transport owns its doorbells
// and its interrupt until Close.
func New(dev virtio.Device, mem *memory.Memory, report func(error)) (*Transport, error) {
	irq, err := eventfd.New()
	if err != nil {
		return nil, err
	}
	t := &Transport{irq: irq}
	if t.Common, err = virtio.NewCommon(dev, mem, t, report); err != nil {
		return nil, errors.Join(err, irq.Close())
	}
	return t, nil
}

// IRQ returns the eventfd that raises the device's interrupt line.
func (t *Transport) IRQ() *eventfd.EventFD { return t.irq }

// Close resets the device and frees what New made.
func (t *Transport) Close() error {
	return errors.Join(t.Common.Close(), t.irq.Close())
}

// QueueInterrupt implements virtio.Interrupter.
func (t *Transport) QueueInterrupt(int) { t.interrupt(interruptQueue) }

// ConfigInterrupt implements virtio.Interrupter.
func (t *Transport) ConfigInterrupt() { t.interrupt(interruptConfig) }

// DriverSection implements virtio.Interrupter.
func (t *Transport) DriverSection() string { return driverSection }

func (t *Transport) interrupt(cause uint32) {
	t.interrupts.Or(cause)
	t.irq.Signal() // fails only once closed
}

// Read serves a register read. Section 4.2.2.2: registers are 32 bits wide and
// aligned, the configuration space takes any width.
func (t *Transport) Read(offset uint64, data []byte) {
	if offset >= regConfig {
		t.Device().ReadConfig(offset-regConfig, data)
		return
	}
	clear(data)
	if len(data) == 4 && offset%4 == 0 {
		binary.LittleEndian.PutUint32(data, t.read(offset))
	}
}

func (t *Transport) read(reg uint64) uint32 {
	switch reg {
	case regMagic:
		return magic
	case regVersion:
		return version
	case regDeviceID:
		return uint32(t.Device().ID())
	case regVendorID:
		return vendorID
	case regDeviceFeatures:
		return t.DeviceFeatures(t.deviceFeaturesSel.Load())
	case regQueueSizeMax:
		return uint32(t.QueueMax(t.queueSel.Load()))
	case regQueueReady:
		if t.QueueReady(t.queueSel.Load()) {
			return 1
		}
	case regInterruptStatus:
		return t.interrupts.Load()
	case regStatus:
		return uint32(t.Status())
	case regConfigGeneration:
		return t.Generation()
	}
	if reg >= regSHMLenLow && reg <= regSHMBaseHigh {
		return 0xffff_ffff // no shared memory regions
	}
	return 0
}

// Write serves a register write.
func (t *Transport) Write(offset uint64, data []byte) {
	if offset >= regConfig {
		t.Device().WriteConfig(offset-regConfig, data)
		return
	}
	if len(data) != 4 || offset%4 != 0 {
		t.Fail(&virtqueue.ProtocolError{Section: driverSection, What: fmt.Sprintf("write of %d bytes to register offset %#x", len(data), offset)})
		return
	}
	t.write(offset, binary.LittleEndian.Uint32(data))
}

func (t *Transport) write(reg uint64, v uint32) {
	queue := t.queueSel.Load()
	switch reg {
	case regDeviceFeaturesSel:
		t.deviceFeaturesSel.Store(v)
	case regDriverFeaturesSel:
		t.driverFeaturesSel.Store(v)
	case regDriverFeatures:
		t.SetDriverFeatures(t.driverFeaturesSel.Load(), v)
	case regQueueSel:
		t.queueSel.Store(v)
	case regQueueSize:
		t.SetQueueSize(queue, v)
	case regQueueReady:
		t.SetQueueReady(queue, v != 0)
	case regQueueNotify:
		t.Kick(v)
	case regInterruptACK:
		t.interrupts.And(^v)
	case regStatus:
		t.setStatus(v)
	case regQueueDescLow, regQueueDescHigh:
		t.SetQueueAddress(queue, virtio.AreaDesc, reg == regQueueDescHigh, v)
	case regQueueDriverLow, regQueueDriverHigh:
		t.SetQueueAddress(queue, virtio.AreaDriver, reg == regQueueDriverHigh, v)
	case regQueueDeviceLow, regQueueDeviceHigh:
		t.SetQueueAddress(queue, virtio.AreaDevice, reg == regQueueDeviceHigh, v)
	}
}

func (t *Transport) setStatus(v uint32) {
	if v > 0xff {
		t.Fail(&virtqueue.ProtocolError{Section: "2.1", What: fmt.Sprintf("status %#x written", v)})
		return
	}
	t.SetStatus(virtio.Status(v))
	if v == 0 {
		t.interrupts.Store(0)
	}
}
