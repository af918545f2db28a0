package machine

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/bulkhead-vm/bulkhead/devices/virtio/rng"
	"github.com/bulkhead-vm/bulkhead/vmm/hostprofile"
	"github.com/bulkhead-vm/bulkhead/vmm/kvm/kvmtest"
	"github.com/bulkhead-vm/bulkhead/vmm/memory"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// counter writes 0, 1, 2, ... to the serial port, for ever.
var counter = []byte{
	0x66, 0xba, 0xf8, 0x03, // mov dx, 0x3f8
	0x30, 0xc0, // xor al, al
	0xee, 0xfe, 0xc0, 0xeb, 0xfb, // out dx, al; inc al; jmp to the out
}

// tape is a console that holds every byte against the one before.
type tape struct {
	mu     sync.Mutex
	next   byte
	n      int
	broken bool
}

func (t *tape) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, b := range p {
		t.broken = t.broken || b != t.next
		t.next = b + 1
		t.n++
	}
	return len(p), nil
}

func (t *tape) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.n
}

// save returns a machine's state, as it would be read from a file, and its memory
// in one. The machine has been paused.
func save(t *testing.T, m *Machine) (s *statev1.Machine, ram *memory.Memory) {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "memory"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b []byte
	err = m.Save(kvmtest.Open(t), func(s *statev1.Machine) (err error) {
		if b, err = proto.Marshal(s); err != nil {
			return err
		}
		for _, r := range m.Memory().Regions() {
			if _, err := f.Write(r.Bytes); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s = new(statev1.Machine)
	if err := proto.Unmarshal(b, s); err != nil {
		t.Fatal(err)
	}
	if ram, err = memory.FromFile(f, m.Memory().Size()); err != nil {
		t.Fatal(err)
	}
	return s, ram
}

// restore makes a machine that goes on.
func restore(t *testing.T, c Config) *Machine {
	t.Helper()
	c.Profile = hostprofile.Detect()
	m, err := New(kvmtest.Open(t), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

func devices() []Device { return []Device{{"rng", rng.New(rng.Config{})}} }

// TestSaveAndRestore stops a guest that counts, wherever it happens to be, and has
// it go on: in the machine it is in, and in another. It never counts a number
// twice, nor leaves one out.
func TestSaveAndRestore(t *testing.T) {
	for _, transport := range []Transport{MMIO, PCI} {
		t.Run(transport.String(), func(t *testing.T) {
			out := new(tape)
			c := Config{Console: out, Transport: transport, Devices: devices(), Cmdline: "acpi=force"}
			m := guest(t, c, counter)
			m.Start()
			for round := range 30 {
				from := out.count()
				for start := time.Now(); out.count() < from+3; {
					if time.Since(start) > 20*time.Second {
						t.Fatalf("round %d: the guest stands still; it has ended: %v", round, m.ended())
					}
				}
				m.Pause()
				s, ram := save(t, m)
				if round%2 == 0 {
					ram.Close()
					m.Resume()
					continue
				}
				m.Stop()
				m = restore(t, Config{Console: out, Transport: transport, Devices: devices(), State: s, RAM: ram})
				m.Start()
			}
			m.Pause()
			if out.broken {
				t.Errorf("a number was counted twice, or not at all, among %d", out.n)
			}
		})
	}
}

// ended says how a machine has ended, if it has.
func (m *Machine) ended() any {
	select {
	case <-m.Done():
		return m.End()
	default:
		return nil
	}
}

// TestRestoreOfAnother says what a machine can't go on from.
func TestRestoreOfAnother(t *testing.T) {
	m := guest(t, Config{Devices: devices()}, counter)
	m.Start()
	m.Pause()
	for name, tt := range map[string]struct {
		change func(*statev1.Machine, *Config)
		want   string
	}{
		"no processors":     {func(s *statev1.Machine, _ *Config) { s.Cpus = nil }, "no processors"},
		"a device more":     {func(s *statev1.Machine, _ *Config) { s.Devices = nil }, "0 devices"},
		"another device":    {func(s *statev1.Machine, _ *Config) { s.Devices[0].Name = "net0" }, "net0"},
		"another transport": {func(_ *statev1.Machine, c *Config) { c.Transport = PCI }, "transport"},
		"nothing of a CPU":  {func(s *statev1.Machine, _ *Config) { s.Cpus[0] = new(statev1.CPU) }, ""},
		"no chips":          {func(s *statev1.Machine, _ *Config) { s.Chips = nil }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s, ram := save(t, m)
			c := Config{Devices: devices(), State: s, RAM: ram, Profile: hostprofile.Detect()}
			tt.change(s, &c)
			other, err := New(kvmtest.Open(t), c)
			if err == nil {
				other.Close()
				t.Fatal("it goes on")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}
