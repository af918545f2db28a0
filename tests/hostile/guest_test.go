// Package hostile plays drivers that mean harm, against every virtio device
// behind every transport.
package hostile

import (
	"encoding/binary"
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/devices/virtio"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtiotest"
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

// Descriptor flags; virtio 1.2, section 2.7.5.
const next, write, indirect = 1, 2, 4

const allFeatures = ^uint64(1 << 29) // without EVENT_IDX, which would need an answer to each

// guest is a driver at the registers of one device.
type guest struct {
	*virtiotest.Port
	t      testing.TB
	mem    *memory.Memory
	queues int
	avail  []uint16 // what each queue's available index is
	create func(testing.TB) virtio.Device

	mu       sync.Mutex
	evidence []error
}

func newGuest(t testing.TB, transport virtiotest.Transport, dev virtio.Device) *guest {
	t.Helper()
	g := &guest{t: t, queues: len(dev.QueueSizes()), mem: memory.NewHeap(
		memory.Range{Size: lowEnd}, memory.Range{Start: highBase, Size: highEnd - highBase})}
	g.Port = virtiotest.Plug(t, transport, dev, g.mem, g.report)
	t.Cleanup(g.close)
	return g
}

// close must not hang, whatever was done to the device.
func (g *guest) close() {
	done := make(chan error, 1)
	go func() { done <- g.Port.Close() }()
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

// queue sets one queue up where it belongs.
func (g *guest) queue(i int) {
	g.place(i, 0)
	g.Set(virtiotest.QueueReady, 1)
}

func (g *guest) place(i int, high uint64) {
	base := memory.GPA(i*queueArea) | memory.GPA(high<<32)
	g.Place(i, queueSize, base, base+availArea, base+usedArea)
}

// move has the driver go on at another device like this one, as after a restore.
func (g *guest) move() {
	g.t.Helper()
	g.Suspend()
	old := g.Port
	g.Port = virtiotest.PlugRestored(g.t, old.Transport, g.create(g.t), g.mem, g.report, old.Machine(g.t))
	if err := errors.Join(old.Close(), g.Resume()); err != nil {
		g.t.Fatal(err)
	}
}

// acknowledge takes an interrupt back, as drivers do: MMIO has a register for
// it, PCI one that is reset by a read.
func (g *guest) acknowledge(v uint32) {
	const interruptACK, isr = 0x064, 0x1000
	if g.Transport == virtiotest.MMIO {
		g.Write(interruptACK, binary.LittleEndian.AppendUint32(nil, v))
	} else {
		g.Read(isr, make([]byte, 1))
	}
}

// boot starts the device with empty queues.
func (g *guest) boot(features uint64) {
	g.Set(virtiotest.Status, 0)
	for i := range min(g.queues, lowEnd/queueArea) {
		clear(g.bytes(uint64(i*queueArea), tableArea))
	}
	g.avail = make([]uint16, g.queues)
	g.Negotiate(features)
	for i := range min(g.queues, lowEnd/queueArea) {
		g.queue(i)
	}
	g.Set(virtiotest.Status, virtiotest.Running)
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
	g.Notify(uint32(q))
}

// mustAskForReset checks that the device asks for a reset, says why once, and
// works again after it.
func (g *guest) mustAskForReset() {
	g.t.Helper()
	g.mustBreak()
	g.mustWork()
}

// mustBreak checks that the device asks for a reset and says why once.
func (g *guest) mustBreak() {
	g.t.Helper()
	for start := time.Now(); g.Get(virtiotest.Status)&virtiotest.NeedsReset == 0; time.Sleep(50 * time.Microsecond) {
		if time.Since(start) > 10*time.Second {
			g.t.Fatalf("the device doesn't ask for a reset; its status is %#x", g.Get(virtiotest.Status))
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
}

// mustWork resets the device, starts it anew and has it serve.
func (g *guest) mustWork() {
	g.t.Helper()
	g.boot(allFeatures)
	if s := g.Get(virtiotest.Status); s != virtiotest.Running {
		g.t.Errorf("after a reset the status is %#x, want %#x; evidence %v", s, virtiotest.Running, g.evidence)
	}
	g.mustServe()
}
