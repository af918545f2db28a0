package vcpu

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/vmm/kvm"
	"github.com/bulkhead-vm/bulkhead/vmm/kvm/kvmtest"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// The guests below say that they wait on one port and that they were woken on
// another.
const (
	portWaits = 0xe8
	portWoken = 0xe9
)

// sleeper halts until its local APIC's timer, or whatever has its vector, wakes it.
var sleeper = []byte{
	0xe6, portWaits, // out portWaits, al
	0xfb,       // sti
	0xf4,       // hlt
	0xeb, 0xfd, // jmp to the hlt
}

const timerVector = 0x40

// newSleeper is a guest that has halted, and rests.
func newSleeper(t *testing.T, code []byte, vector int, port *log) *mover {
	t.Helper()
	g := newGuest(t, code)
	copy(g.RAM[handlerGPA:], []byte{
		0xe6, portWoken, // out portWoken, al
		0xb0, 0x20, 0xe6, 0x20, // end of the PIC's interrupt
		0xcf, // iret
	})
	binary.LittleEndian.PutUint16(g.RAM[4*vector:], handlerGPA)
	m := newMover(t, g, port, port)
	port.until(t, portWaits, 1)
	time.Sleep(2 * time.Millisecond) // for two instructions
	m.cpu.Pause()
	return m
}

// The local APIC's registers and timer modes; Intel SDM volume 3, section 12.5.
const (
	lapicSVR          = 0xf0
	lapicTimer        = 0x320
	lapicInitialCount = 0x380
	lapicCurrentCount = 0x390
	lapicDivide       = 0x3e0

	timerOneShot  = 0 << 17
	timerPeriodic = 1 << 17
	timerDeadline = 2 << 17
)

// setTimer has the local APIC's timer interrupt in its mode. KVM's bus runs at
// 1 GHz.
func setTimer(t testing.TB, v *kvm.VCPU, mode uint32, after time.Duration) {
	t.Helper()
	lapic, err := v.LAPIC()
	kvmtest.Must(t, err)
	put := func(register int, value uint32) { binary.LittleEndian.PutUint32(lapic.Regs[register:], value) }
	put(lapicSVR, 0x1ff) // enabled
	put(lapicTimer, mode|timerVector)
	if mode != timerDeadline {
		const divideBy1 = 0xb
		put(lapicDivide, divideBy1)
		put(lapicInitialCount, uint32(after.Nanoseconds()))
		put(lapicCurrentCount, uint32(after.Nanoseconds()))
	}
	kvmtest.Must(t, v.SetLAPIC(lapic))
	if mode == timerDeadline {
		khz, err := v.TSCKHz()
		kvmtest.Must(t, err)
		deadline := kvm.MSREntry{Index: msrTSCDeadline, Data: readMSR(t, v, msrTSC) + uint64(after.Microseconds())*uint64(khz)/1000}
		_, err = v.SetMSRs([]kvm.MSREntry{deadline})
		kvmtest.Must(t, err)
	}
}

func readMSR(t testing.TB, v *kvm.VCPU, index uint32) uint64 {
	t.Helper()
	e := []kvm.MSREntry{{Index: index}}
	_, err := v.MSRs(e)
	kvmtest.Must(t, err)
	return e[0].Data
}

// wake moves a halted guest, which something must wake then.
func (m *mover) wake(port *log, change func(*statev1.Machine)) {
	m.t.Helper()
	before := len(port.at(portWoken))
	s := saveGuest(m.t, m.g)
	if got := kvm.MPState(s.Cpus[0].MpState); got != kvm.MPStateHalted {
		m.t.Errorf("the guest is in MP state %d, not halted", got)
	}
	if change != nil {
		change(s)
	}
	m.stop()
	m.g, _ = restoreGuest(m.t, m.g.RAM, s)
	m.run()
	port.until(m.t, portWoken, before+1)
}

// TestTimersGoOn saves a halted guest while its timer runs, and when it has ended
// but nobody has told the guest.
func TestTimersGoOn(t *testing.T) {
	modes := []struct {
		name string
		mode uint32
	}{{"one-shot", timerOneShot}, {"periodic", timerPeriodic}, {"deadline", timerDeadline}}
	for _, tt := range modes {
		t.Run(tt.name+" running", func(t *testing.T) {
			port := new(log)
			m := newSleeper(t, sleeper, timerVector, port)
			setTimer(t, m.g.VCPU, tt.mode, 30*time.Millisecond)
			m.wake(port, nil)
		})
		t.Run(tt.name+" ended", func(t *testing.T) {
			port := new(log)
			m := newSleeper(t, sleeper, timerVector, port)
			setTimer(t, m.g.VCPU, tt.mode, time.Millisecond)
			time.Sleep(5 * time.Millisecond)
			m.wake(port, nil)
		})
	}
}

// TestDeadlineOfAnotherHost has a guest wait for a time that this host's counter
// won't reach this year.
func TestDeadlineOfAnotherHost(t *testing.T) {
	port := new(log)
	m := newSleeper(t, sleeper, timerVector, port)
	setTimer(t, m.g.VCPU, timerDeadline, 20*time.Millisecond)
	m.wake(port, func(s *statev1.Machine) {
		for _, r := range s.Cpus[0].Msrs {
			if r.Index == msrTSC || r.Index == msrTSCDeadline {
				r.Value += 1 << 57
			}
		}
	})
}

// TestPITGoesOn has the interval timer, through the PIC, wake a halted guest
// about 18 times a second.
func TestPITGoesOn(t *testing.T) {
	code := append([]byte{
		0xb0, 0x11, 0xe6, 0x20, // ICW1: edge-triggered, cascade
		0xb0, 0x20, 0xe6, 0x21, // ICW2: vectors from 0x20
		0xb0, 0x04, 0xe6, 0x21, // ICW3: slave on IRQ 2
		0xb0, 0x01, 0xe6, 0x21, // ICW4: 8086 mode
		0xb0, 0xfe, 0xe6, 0x21, // mask all but IRQ 0
		0xb0, 0x34, 0xe6, 0x43, // channel 0: rate generator
		0xb0, 0xff, 0xe6, 0x40, // every 65535 ticks
		0xb0, 0xff, 0xe6, 0x40,
	}, sleeper...)
	port := new(log)
	m := newSleeper(t, code, 0x20, port)
	for range 3 {
		m.wake(port, nil)
		time.Sleep(2 * time.Millisecond) // for the way back to the hlt
		m.cpu.Pause()
	}
}

// TestIRQWaitsInPIC saves a guest that has an interrupt coming, which it doesn't
// take yet.
func TestIRQWaitsInPIC(t *testing.T) {
	code := []byte{
		0xb0, 0x11, 0xe6, 0x20, 0xb0, 0x20, 0xe6, 0x21, // as above
		0xb0, 0x04, 0xe6, 0x21, 0xb0, 0x01, 0xe6, 0x21,
		0xb0, 0xdf, 0xe6, 0x21, // mask all but IRQ 5
		0xe6, portWaits, // out portWaits, al
		0xe4, 0x10, // in al, 0x10
		0x3c, 200, // cmp al, 200
		0x75, 0xfa, // jne to the in
		0xfb,       // sti
		0xf4,       // hlt
		0xeb, 0xfd, // jmp to the hlt
	}
	port := new(log)
	m := newSleeper(t, code, 0x25, port)
	kvmtest.Must(t, m.g.VM.SetIRQLine(5, true))
	kvmtest.Must(t, m.g.VM.SetIRQLine(5, false))
	m.move()
	port.until(t, portWoken, 1)
}
