package mmio

import (
	"encoding/binary"
	"errors"
	"sync"
	"testing"

	"github.com/bulkhead-vm/bulkhead/devices/virtio"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue"
	"github.com/bulkhead-vm/bulkhead/vmm/memory"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// fake is a device with two queues that remembers what it is told.
type fake struct {
	active virtio.Activation
	resets int
	config [8]byte
	fail   error // what Activate returns
}

func (f *fake) ID() virtio.ID                      { return 42 }
func (f *fake) Features() uint64                   { return 1 << 3 }
func (f *fake) QueueSizes() []uint16               { return []uint16{64, 16} }
func (f *fake) ReadConfig(off uint64, p []byte)    { virtio.ReadConfig(f.config[:], off, p) }
func (f *fake) WriteConfig(off uint64, p []byte)   { copy(f.config[min(off, 8):], p) }
func (f *fake) Activate(a virtio.Activation) error { f.active = a; return f.fail }
func (f *fake) Reset()                             { f.resets++; f.active = virtio.Activation{} }
func (f *fake) Suspend()                           {}
func (f *fake) Resume()                            {}
func (f *fake) Save(*statev1.Device)               {}
func (f *fake) Restore(*statev1.Device) error      { return nil }

type fixture struct {
	*Transport
	t   testing.TB
	dev *fake

	mu       sync.Mutex
	evidence []error
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	f := &fixture{t: t, dev: new(fake)}
	var err error
	f.Transport, err = New(f.dev, memory.NewHeap(memory.Range{Size: 1 << 20}), func(err error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.evidence = append(f.evidence, err)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func (f *fixture) set(reg uint64, v uint32) {
	f.Write(reg, binary.LittleEndian.AppendUint32(nil, v))
}

func (f *fixture) get(reg uint64) uint32 {
	var b [4]byte
	f.Read(reg, b[:])
	return binary.LittleEndian.Uint32(b[:])
}

func (f *fixture) status() virtio.Status { return virtio.Status(f.get(regStatus)) }

// negotiate goes through section 3.1.1 up to FEATURES_OK.
func (f *fixture) negotiate(low, high uint32) {
	f.set(regStatus, 0)
	f.set(regStatus, 1)
	f.set(regStatus, 1|2)
	f.set(regDriverFeaturesSel, 0)
	f.set(regDriverFeatures, low)
	f.set(regDriverFeaturesSel, 1)
	f.set(regDriverFeatures, high)
	f.set(regStatus, 1|2|8)
}

func (f *fixture) setQueue(i, size uint32, base uint32) {
	f.set(regQueueSel, i)
	f.set(regQueueSize, size)
	f.set(regQueueDescLow, base)
	f.set(regQueueDescHigh, 0)
	f.set(regQueueDriverLow, base+0x1000)
	f.set(regQueueDriverHigh, 0)
	f.set(regQueueDeviceLow, base+0x2000)
	f.set(regQueueDeviceHigh, 0)
	f.set(regQueueReady, 1)
}

func (f *fixture) goLive() {
	f.t.Helper()
	f.negotiate(1<<3|virtio.FeatureEventIdx, 1)
	f.setQueue(0, 64, 0x10000)
	f.setQueue(1, 8, 0x20000)
	f.set(regStatus, 1|2|8|4)
	if s := f.status(); s != 15 {
		f.t.Fatalf("status is %v after a correct start", s)
	}
}

func (f *fixture) wantNeedsReset() {
	f.t.Helper()
	if f.status()&virtio.StatusNeedsReset == 0 {
		f.t.Errorf("status is %v, want DEVICE_NEEDS_RESET", f.status())
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.evidence) != 1 {
		f.t.Errorf("%d events, want one: %v", len(f.evidence), f.evidence)
	}
}

func TestIdentity(t *testing.T) {
	f := newFixture(t)
	for reg, want := range map[uint64]uint32{
		regMagic: 0x74726976, regVersion: 2, regDeviceID: 42, regStatus: 0, regSHMLenLow: 0xffff_ffff, regSHMBaseHigh: 0xffff_ffff,
	} {
		if got := f.get(reg); got != want {
			t.Errorf("register %#x is %#x, want %#x", reg, got, want)
		}
	}
	f.set(regDeviceFeaturesSel, 0)
	if got := f.get(regDeviceFeatures); got != 1<<3|1<<28|1<<29 {
		t.Errorf("low features %#x", got)
	}
	f.set(regDeviceFeaturesSel, 1)
	if got := f.get(regDeviceFeatures); got != 1 {
		t.Errorf("high features %#x, want VERSION_1", got)
	}
	f.set(regDeviceFeaturesSel, 7)
	if got := f.get(regDeviceFeatures); got != 0 {
		t.Errorf("features above bit 63: %#x", got)
	}
}

func TestStart(t *testing.T) {
	f := newFixture(t)
	f.goLive()
	a := f.dev.active
	if a.Features != 1<<3|virtio.FeatureEventIdx|virtio.FeatureVersion1 || len(a.Queues) != 2 {
		t.Fatalf("activated with %+v", a)
	}
	if a.Queues[0].Size() != 64 || a.Queues[1].Size() != 8 {
		t.Errorf("queues of %d and %d", a.Queues[0].Size(), a.Queues[1].Size())
	}
	f.set(regQueueNotify, 1)
	if n, err := a.Queues[1].Kick.Wait(); n != 1 || err != nil {
		t.Errorf("kick: %d, %v", n, err)
	}
	f.set(regQueueNotify, 99) // no such queue: nothing happens
}

func TestInterrupts(t *testing.T) {
	f := newFixture(t)
	f.goLive()
	f.dev.active.Queues[0].Interrupt()
	if n, err := f.IRQ().Wait(); n != 1 || err != nil {
		t.Fatalf("interrupt: %d, %v", n, err)
	}
	generation := f.get(regConfigGeneration)
	f.dev.active.ConfigChanged()
	if got := f.get(regInterruptStatus); got != 3 {
		t.Errorf("interrupt status %d, want both causes", got)
	}
	if f.get(regConfigGeneration) == generation {
		t.Error("config generation didn't change")
	}
	f.set(regInterruptACK, 1)
	if got := f.get(regInterruptStatus); got != 2 {
		t.Errorf("interrupt status %d after acknowledging one, want 2", got)
	}
}

func TestReset(t *testing.T) {
	f := newFixture(t)
	f.goLive()
	f.set(regStatus, 0)
	if f.dev.resets != 1 || f.status() != 0 || f.get(regQueueReady) != 0 || f.get(regInterruptStatus) != 0 {
		t.Error("reset left something behind")
	}
	f.set(regQueueReady, 0) // as Linux does on its way out
	f.goLive()              // and it can start again
	if len(f.evidence) > 0 {
		t.Errorf("complaints: %v", f.evidence)
	}
}

func TestFeaturesRefused(t *testing.T) {
	tests := []struct {
		name      string
		low, high uint32
	}{
		{"not offered", 1 << 4, 1},
		{"without VERSION_1", 1 << 3, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t)
			f.negotiate(tt.low, tt.high)
			if f.status() != 1|2 {
				t.Errorf("status is %v, want FEATURES_OK unset", f.status())
			}
		})
	}
}

// TestHostileDriver breaks the rules one by one: each time the device asks for
// a reset, says why once, and a reset brings it back.
func TestHostileDriver(t *testing.T) {
	tests := []struct {
		name string
		do   func(f *fixture)
	}{
		{"DRIVER before ACKNOWLEDGE", func(f *fixture) { f.set(regStatus, 2) }},
		{"FEATURES_OK before DRIVER", func(f *fixture) { f.set(regStatus, 1|8) }},
		{"DRIVER_OK before FEATURES_OK", func(f *fixture) { f.set(regStatus, 1|2|4) }},
		{"everything at once", func(f *fixture) { f.set(regStatus, 0xff) }},
		{"status bit cleared", func(f *fixture) { f.goLive(); f.set(regStatus, 1) }},
		{"unknown status bit", func(f *fixture) { f.set(regStatus, 16) }},
		{"DEVICE_NEEDS_RESET set by the driver", func(f *fixture) { f.set(regStatus, 64) }},
		{"status above a byte", func(f *fixture) { f.set(regStatus, 0x100) }},
		{"features after FEATURES_OK", func(f *fixture) { f.negotiate(0, 1); f.set(regDriverFeatures, 0) }},
		{"features above bit 63", func(f *fixture) { f.set(regDriverFeaturesSel, 2); f.set(regDriverFeatures, 1) }},
		{"queue before negotiation", func(f *fixture) { f.set(regQueueSize, 8) }},
		{"queue that isn't there", func(f *fixture) { f.negotiate(0, 1); f.set(regQueueSel, 2); f.set(regQueueReady, 1) }},
		{"queue number huge", func(f *fixture) { f.negotiate(0, 1); f.set(regQueueSel, 0xffff_ffff); f.set(regQueueSize, 1) }},
		{"queue too large", func(f *fixture) { f.negotiate(0, 1); f.set(regQueueSize, 65) }},
		{"queue size 65537", func(f *fixture) { f.negotiate(0, 1); f.set(regQueueSize, 1<<16+1) }},
		{"queue changed when ready", func(f *fixture) { f.negotiate(0, 1); f.setQueue(0, 8, 0x10000); f.set(regQueueSize, 4) }},
		{"queue changed when live", func(f *fixture) { f.goLive(); f.set(regQueueSel, 0); f.set(regQueueDescLow, 0) }},
		{"queue disabled when live", func(f *fixture) { f.goLive(); f.set(regQueueSel, 0); f.set(regQueueReady, 0) }},
		{"queue size no power of two", func(f *fixture) { f.negotiate(0, 1); f.setQueue(0, 7, 0x10000); f.set(regStatus, 15) }},
		{"queue outside RAM", func(f *fixture) { f.negotiate(0, 1); f.setQueue(0, 8, 0xffff_0000); f.set(regStatus, 15) }},
		{"queue misaligned", func(f *fixture) { f.negotiate(0, 1); f.setQueue(0, 8, 0x10001); f.set(regStatus, 15) }},
		{"short register write", func(f *fixture) { f.Write(regStatus, []byte{1}) }},
		{"misaligned register write", func(f *fixture) { f.set(regStatus+2, 1) }},
		{"device fails to start", func(f *fixture) { f.dev.fail = errors.New("no"); f.negotiate(0, 1); f.set(regStatus, 15) }},
		{"device fails at work", func(f *fixture) {
			f.goLive()
			f.dev.active.Fail(&virtqueue.ProtocolError{})
			f.dev.active.Fail(&virtqueue.ProtocolError{}) // counts once
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t)
			tt.do(f)
			f.wantNeedsReset()
			f.dev.fail = nil
			f.goLive()
		})
	}
}

func TestNothingWorksUntilReset(t *testing.T) {
	f := newFixture(t)
	f.negotiate(0, 1)
	f.Fail(errors.New("broken"))
	f.set(regStatus, 1|2|8|4)
	if f.dev.active.Memory != nil {
		t.Error("a device that needs a reset was started")
	}
	f.set(regStatus, 1|2|8|64|128) // the driver gives up, and says so
	if f.status()&virtio.StatusFailed == 0 {
		t.Error("FAILED was not taken")
	}
}

func TestConfigSpace(t *testing.T) {
	f := newFixture(t)
	f.dev.config = [8]byte{1, 2, 3, 4, 5, 6, 7, 8}
	b := make([]byte, 3)
	f.Read(regConfig+5, b)
	if [3]byte(b) != [3]byte{6, 7, 8} {
		t.Errorf("read % x", b)
	}
	f.Read(Size-3, b)
	if [3]byte(b) != [3]byte{} {
		t.Errorf("read % x beyond the device's space", b)
	}
}

// FuzzRegisters throws register accesses at a transport.
func FuzzRegisters(f *testing.F) {
	f.Add([]byte{0x70, 1, 0x70, 3, 0x70, 11, 0x70, 15})
	f.Add([]byte{0x70, 1, 0x70, 3, 0x24, 1, 0x20, 1, 0x70, 11, 0x38, 8, 0x44, 1, 0x70, 15, 0x50, 0, 0x70, 0})
	f.Fuzz(func(t *testing.T, ops []byte) {
		x := newFixture(t)
		for ; len(ops) >= 2; ops = ops[2:] {
			x.set(uint64(ops[0]), uint32(ops[1]))
			x.get(uint64(ops[0]))
			x.Write(uint64(ops[0])*8, ops[:ops[1]%2+1])
		}
	})
}
