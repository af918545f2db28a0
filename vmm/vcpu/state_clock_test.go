package vcpu

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/vmm/kvm"
	"github.com/bulkhead-vm/bulkhead/vmm/kvm/kvmtest"
)

// TestClocksGoOn moves a guest that reads its time-stamp counter all the time and
// has kvm-clock. Neither goes back, and kvm-clock stands still meanwhile.
func TestClocksGoOn(t *testing.T) {
	g := newGuest(t, []byte{
		0x0f, 0x31, // rdtsc
		0x66, 0x39, 0xf2, // cmp edx, esi
		0x72, 0x0f, // jb fail
		0x75, 0x05, // jne ok
		0x66, 0x39, 0xf8, // cmp eax, edi
		0x72, 0x08, // jb fail
		0x66, 0x89, 0xd6, // ok: mov esi, edx
		0x66, 0x89, 0xc7, // mov edi, eax
		0xeb, 0xea, // jmp to the first
		0xe6, portFail, // fail: out portFail, al
		0xf4, // hlt
	})
	const pageGPA, enabled = 0x2000, 1
	_, err := g.VCPU.SetMSRs([]kvm.MSREntry{{Index: msrKVMSystemTime, Data: pageGPA | enabled}})
	kvmtest.Must(t, err)
	kvmtest.Must(t, g.VM.SetClock(kvm.Clock{Clock: 1e15}))

	port := new(log)
	m := newMover(t, g, port, port)
	for range 10 {
		time.Sleep(5 * time.Millisecond)
		m.cpu.Pause()
		s := saveGuest(t, m.g)
		m.stop()
		time.Sleep(30 * time.Millisecond)

		began := time.Now()
		m.g, _ = restoreGuest(t, m.g.RAM, s)
		clock, err := m.g.VM.Clock()
		kvmtest.Must(t, err)
		passed := time.Duration(clock.Clock - s.Chips.ClockNs)
		if most := time.Since(began) + time.Millisecond; passed < 0 || passed > most {
			t.Errorf("kvm-clock went on by %v within %v", passed, most)
		}
		m.run()
		time.Sleep(5 * time.Millisecond)
		m.cpu.Pause()
		if seen, stopped := kvmClock(m.g.RAM[pageGPA:]); seen < s.Chips.ClockNs || !stopped {
			t.Errorf("the guest's kvm-clock is at %d, was saved at %d; it is told that it was stopped: %v", seen, s.Chips.ClockNs, stopped)
		}
		m.cpu.Resume()
	}
	m.stop()
	if port.at(portFail) != nil {
		t.Error("the guest's time-stamp counter went back")
	}
}

// kvmClock returns the time of the page's last update, and PVCLOCK_GUEST_STOPPED;
// pvclock_vcpu_time_info in KVM's msr.rst.
func kvmClock(page []byte) (ns uint64, stopped bool) {
	return binary.LittleEndian.Uint64(page[16:]), page[29]&2 != 0
}

func TestTSCFrequency(t *testing.T) {
	v := newGuest(t, nil).VCPU
	host, err := v.TSCKHz()
	kvmtest.Must(t, err)
	v.TSCControl = false
	tests := []struct {
		name  string
		saved int
		ok    bool
	}{
		{"the same", host, true},
		{"not told", 0, true},
		{"200 ppm more", host + host/5000, true},
		{"200 ppm less", host - host/5000, true},
		{"300 ppm more", host + host/3333, false},
		{"300 ppm less", host - host/3333, false},
		{"1 kHz", 1, false},
		{"the most that a file can say", 1<<32 - 1, false},
	}
	for _, tt := range tests {
		err := setTSCKHz(v, tt.saved)
		refused, _ := err.(*TSCError)
		if (err == nil) != tt.ok || !tt.ok && (refused == nil || refused.Saved != tt.saved || refused.Host != host) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
