// Package hostile plays drivers that mean harm, against every virtio device
// behind its real transport.
package hostile

import (
	"encoding/binary"
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/devices/virtio"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/mmio"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue"
	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// The guest's memory: RAM, a hole, RAM.
const (
	lowEnd   = 8 << 20
	highBase = 16 << 20
	highEnd  = 17 << 20

	// Each queue has a megabyte of its own.
	queueArea, availArea, usedArea, tableArea, bufferArea = 1 << 20, 0x10000, 0x20000, 0x30000, 0x40000

	queueSize = 8
)

// Registers of the transport; virtio 1.2, table 4.1.
const (
	regFeaturesSel     = 0x024
	regFeatures        = 0x020
	regDevFeaturesSel  = 0x014
	regDevFeatures     = 0x010
	regQueueSel        = 0x030
	regQueueSize       = 0x038
	regQueueReady      = 0x044
	regQueueNotify     = 0x050
	regInterruptACK    = 0x064
	regStatus          = 0x070
	regQueueDescLow    = 0x080
	regQueueDescHigh   = 0x084
	regQueueDriverLow  = 0x090
	regQueueDriverHigh = 0x094
	regQueueDeviceLow  = 0x0a0
	regQueueDeviceHigh = 0x0a4
	regConfig          = 0x100
)

// Status bits; virtio 1.2, section 2.1.
const (
	acknowledge, driver, driverOK, featuresOK = 1, 2, 4, 8
	needsReset, failed                        = 64, 128
	negotiated                                = acknowledge | driver | featuresOK
	running                                   = negotiated | driverOK
)

// Descriptor flags; virtio 1.2, section 2.7.5.
const next, write, indirect = 1, 2, 4

const allFeatures = ^uint64(1 << 29) // without EVENT_IDX, which would need an answer to each

// guest is a driver at the registers of one device.
type guest struct {
	*mmio.Transport
	t      testing.TB
	mem    *memory.Memory
	queues int
	avail  []uint16 // what each queue's available index is

	mu       sync.Mutex
	evidence []error
}

func newGuest(t testing.TB, dev virtio.Device) *guest {
	t.Helper()
	g := &guest{t: t, queues: len(dev.QueueSizes()), mem: memory.NewHeap(
		memory.Range{Size: lowEnd}, memory.Range{Start: highBase, Size: highEnd - highBase})}
	var err error
	if g.Transport, err = mmio.New(dev, g.mem, g.report); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.close)
	return g
}

// close must not hang, whatever was done to the device.
func (g *guest) close() {
	done := make(chan error, 1)
	go func() { done <- g.Transport.Close() }()
	select {
	case err := <-done:
		if err != nil {
			g.t.Error(err)
		}
	case <-time.After(20 * time.Second):
		stacks := make([]byte, 1<<16)
		g.t.Fatalf("the device can't be closed:\n%s", stacks[:runtime.Stack(stacks, true)])
	}
}

func (g *guest) report(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.evidence = append(g.evidence, err)
}

func (g *guest) set(reg uint64, v uint32) { g.Write(reg, binary.LittleEndian.AppendUint32(nil, v)) }

func (g *guest) get(reg uint64) uint32 {
	var b [4]byte
	g.Read(reg, b[:])
	return binary.LittleEndian.Uint32(b[:])
}

// negotiate goes as far as FEATURES_OK, with those of the features that the
// device offers.
func (g *guest) negotiate(features uint64) {
	g.set(regStatus, 0)
	g.set(regStatus, acknowledge)
	g.set(regStatus, acknowledge|driver)
	for word := range uint32(2) {
		g.set(regDevFeaturesSel, word)
		g.set(regFeaturesSel, word)
		g.set(regFeatures, g.get(regDevFeatures)&uint32(features>>(32*word)))
	}
	g.set(regStatus, negotiated)
}

// queue sets one queue up where it belongs.
func (g *guest) queue(i int) {
	g.set(regQueueSel, uint32(i))
	g.set(regQueueSize, queueSize)
	g.place(i, 0)
	g.set(regQueueReady, 1)
}

func (g *guest) place(i int, high uint32) {
	base := uint32(i * queueArea)
	g.set(regQueueDescLow, base)
	g.set(regQueueDriverLow, base+availArea)
	g.set(regQueueDeviceLow, base+usedArea)
	for _, reg := range []uint64{regQueueDescHigh, regQueueDriverHigh, regQueueDeviceHigh} {
		g.set(reg, high)
	}
}

// boot starts the device with empty queues.
func (g *guest) boot(features uint64) {
	g.set(regStatus, 0)
	for i := range min(g.queues, lowEnd/queueArea) {
		clear(g.bytes(uint64(i*queueArea), tableArea))
	}
	g.avail = make([]uint16, g.queues)
	g.negotiate(features)
	for i := range min(g.queues, lowEnd/queueArea) {
		g.queue(i)
	}
	g.set(regStatus, running)
}

func (g *guest) bytes(gpa uint64, n int) []byte {
	b, err := g.mem.Slice(memory.GPA(gpa), uint64(n))
	if err != nil {
		g.t.Fatal(err)
	}
	return b
}

func putDescriptor(b []byte, addr uint64, n uint32, flags, next uint16) {
	binary.LittleEndian.PutUint64(b, addr)
	binary.LittleEndian.PutUint32(b[8:], n)
	binary.LittleEndian.PutUint16(b[12:], flags)
	binary.LittleEndian.PutUint16(b[14:], next)
}

func (g *guest) descriptor(q, i int, addr uint64, n uint32, flags, next uint16) {
	putDescriptor(g.bytes(uint64(q*queueArea+16*i), 16), addr, n, flags, next)
}

// entry writes entry i of a queue's indirect table.
func (g *guest) entry(q, i int, addr uint64, n uint32, flags, next uint16) {
	putDescriptor(g.bytes(g.table(q)+uint64(16*i), 16), addr, n, flags, next)
}

func (g *guest) table(q int) uint64  { return uint64(q*queueArea + tableArea) }
func (g *guest) buffer(q int) uint64 { return uint64(q*queueArea + bufferArea) }

// publish makes a chain available and tells the device.
func (g *guest) publish(q int, head uint16) {
	ring := g.bytes(uint64(q*queueArea+availArea), 4+2*queueSize)
	binary.LittleEndian.PutUint16(ring[4+2*(g.avail[q]%queueSize):], head)
	g.index(q, g.avail[q]+1)
}

// index sets the available index and tells the device.
func (g *guest) index(q int, v uint16) {
	g.avail[q] = v
	memory.Store16(g.bytes(uint64(q*queueArea+availArea), 4), 2, v)
	g.set(regQueueNotify, uint32(q))
}

// mustAskForReset checks that the device asks for a reset, says why once, and
// works again after it.
func (g *guest) mustAskForReset() {
	g.t.Helper()
	for start := time.Now(); g.get(regStatus)&needsReset == 0; time.Sleep(50 * time.Microsecond) {
		if time.Since(start) > 10*time.Second {
			g.t.Fatalf("the device doesn't ask for a reset; its status is %#x", g.get(regStatus))
		}
	}
	g.mu.Lock()
	evidence := append([]error(nil), g.evidence...)
	g.evidence = nil
	g.mu.Unlock()
	var protocol *virtqueue.ProtocolError
	if len(evidence) != 1 || !errors.As(evidence[0], &protocol) {
		g.t.Fatalf("evidence %v, want one breach of the specification", evidence)
	}
	g.mustWork()
}

// mustWork resets the device and starts it anew.
func (g *guest) mustWork() {
	g.t.Helper()
	g.boot(allFeatures)
	if s := g.get(regStatus); s != running {
		g.t.Errorf("after a reset the status is %#x, want %#x; evidence %v", s, running, g.evidence)
	}
}
