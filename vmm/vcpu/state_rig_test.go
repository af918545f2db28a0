package vcpu

import (
	"encoding/binary"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/bulkhead-vm/bulkhead/vmm/kvm"
	"github.com/bulkhead-vm/bulkhead/vmm/kvm/kvmtest"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// newGuest is a guest with all that a machine's has: CPUID, MSRs, chips.
func newGuest(t testing.TB, code []byte) *kvmtest.Guest {
	t.Helper()
	g := kvmtest.New(t, code, kvmtest.WithPIT)
	kvmtest.Must(t, Template{CPUs: 1}.Reset(g.VCPU, supportedBy(t, g)))
	return g
}

func supportedBy(t testing.TB, g *kvmtest.Guest) []kvm.CPUIDEntry {
	t.Helper()
	entries, err := g.System.SupportedCPUID()
	kvmtest.Must(t, err)
	return entries
}

// saveGuest saves vCPUs, the guest's own or those given, and chips, as they come
// back from a file.
func saveGuest(t testing.TB, g *kvmtest.Guest, vcpus ...*kvm.VCPU) *statev1.Machine {
	t.Helper()
	if vcpus == nil {
		vcpus = []*kvm.VCPU{g.VCPU}
	}
	msrs, err := g.System.MSRIndexList()
	kvmtest.Must(t, err)
	s := new(statev1.Machine)
	s.Chips, err = SaveChips(g.VM)
	kvmtest.Must(t, err)
	for _, v := range vcpus {
		cpu, err := Save(v, msrs)
		kvmtest.Must(t, err)
		s.Cpus = append(s.Cpus, cpu)
	}
	file, err := proto.Marshal(s)
	kvmtest.Must(t, err)
	s = new(statev1.Machine)
	kvmtest.Must(t, proto.Unmarshal(file, s))
	return s
}

// restoreGuest makes a machine of the memory's content and the state. It returns
// the vCPUs beside the guest's own as well.
func restoreGuest(t testing.TB, ram []byte, s *statev1.Machine) (*kvmtest.Guest, []*kvm.VCPU) {
	t.Helper()
	g := kvmtest.New(t, nil, kvmtest.WithPIT)
	copy(g.RAM, ram)
	kvmtest.Must(t, Restore(g.VCPU, s.GetCpus()[0], supportedBy(t, g)))
	var others []*kvm.VCPU
	for _, cpu := range s.GetCpus()[1:] {
		v, err := g.VM.CreateVCPU(int(cpu.GetId()))
		kvmtest.Must(t, err)
		t.Cleanup(func() { kvmtest.Must(t, v.Close()) })
		kvmtest.Must(t, Restore(v, cpu, supportedBy(t, g)))
		others = append(others, v)
	}
	kvmtest.Must(t, RestoreChips(g.VM, s.GetChips()))
	return g, others
}

// mover runs a guest in one machine after another, on the same devices.
type mover struct {
	t         *testing.T
	pio, mmio Bus

	g     *kvmtest.Guest
	cpu   *CPU
	ended chan error
}

func newMover(t *testing.T, g *kvmtest.Guest, pio, mmio Bus) *mover {
	m := &mover{t: t, pio: pio, mmio: mmio, g: g}
	m.run()
	return m
}

func (m *mover) run() {
	m.cpu, m.ended = start(m.g, m.pio, m.mmio)
	m.t.Cleanup(m.stop) // before its vCPU is closed
}

func (m *mover) stop() {
	m.t.Helper()
	m.cpu.Stop()
	if err := wait(m.t, m.ended); err != nil {
		m.t.Errorf("the guest ended: %v", err)
	}
	m.ended <- nil // for another stop
}

// move has the guest go on in a new machine.
func (m *mover) move() *statev1.Machine {
	m.t.Helper()
	m.cpu.Pause()
	s := saveGuest(m.t, m.g)
	m.stop()
	m.g, _ = restoreGuest(m.t, m.g.RAM, s)
	m.run()
	return s
}

// log is a device that keeps what is written to its ports. Reads count up from 1.
type log struct {
	mu    sync.Mutex
	reads uint32
	wrote map[uint64][]uint32
}

func (l *log) Read(_ uint64, data []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reads++
	copy(data, binary.LittleEndian.AppendUint32(nil, l.reads))
}

func (l *log) Write(port uint64, data []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.wrote == nil {
		l.wrote = make(map[uint64][]uint32)
	}
	var value [4]byte
	copy(value[:], data)
	l.wrote[port] = append(l.wrote[port], binary.LittleEndian.Uint32(value[:]))
}

// at returns what was written to the port.
func (l *log) at(port uint64) []uint32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.wrote[port]
}

// until waits for so many writes to the port.
func (l *log) until(t *testing.T, port uint64, n int) {
	t.Helper()
	for begin := time.Now(); len(l.at(port)) < n; time.Sleep(100 * time.Microsecond) {
		if time.Since(begin) > 10*time.Second {
			t.Fatalf("%d writes to port %#x, want %d", len(l.at(port)), port, n)
		}
	}
}

// portFail is where a guest says that something isn't as it should be.
const portFail = 0x12
