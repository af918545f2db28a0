package tinyguest

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// patience is how long a step may take.
const patience = 20 * time.Second

// CPU is a processor that does what its owner says, one step after another: each
// access is an instruction that the guest executes. Its methods are for one
// goroutine.
type CPU struct {
	t     testing.TB
	steps []byte // guest memory
	base  memory.GPA
	next  int // the step that the guest is at, or will be
}

func newCPU(t testing.TB, mem *memory.Memory, i int) *CPU {
	t.Helper()
	c := &CPU{t: t, base: memory.GPA(stepsGPA + i*stepsSize)}
	var err error
	if c.steps, err = mem.Slice(c.base, stepsSize); err != nil {
		t.Fatal(err)
	}
	c.idle(0)
	return c
}

// Step is an order that a CPU has been given.
type Step struct {
	cpu *CPU
	at  int
}

func (c *CPU) step(i int) []byte { return c.steps[i*stepSize:][:stepSize] }

func (c *CPU) idle(i int) {
	s := c.step(i)
	memory.Store32(s, offDone, 0)
	memory.Store32(s, offHandler, codeGPA+uint32(opIdle))
}

// order appends a step, which the guest comes to at once if it has nothing else
// to do.
func (c *CPU) order(o op, address, value uint64, mask uint32) Step {
	if c.next == len(c.steps)/stepSize-1 {
		// The last one leads back to the first, once all are done.
		if c.next > 0 {
			Step{c, c.next - 1}.Wait()
		}
		last := c.next
		c.idle(0)
		c.next = 0
		c.put(last, opJump, 0, uint64(c.base), 0)
	}
	s := Step{c, c.next}
	c.next++
	c.idle(c.next)
	c.put(s.at, o, address, value, mask)
	return s
}

// put fills step i in, its handler last.
func (c *CPU) put(i int, o op, address, value uint64, mask uint32) {
	s := c.step(i)
	binary.LittleEndian.PutUint64(s[offAddress:], address)
	binary.LittleEndian.PutUint64(s[offValue:], value)
	binary.LittleEndian.PutUint32(s[offMask:], mask)
	memory.Store32(s, offHandler, codeGPA+uint32(o))
}

// Wait waits until the guest has done the step, and returns what it read.
func (s Step) Wait() uint64 {
	s.cpu.t.Helper()
	b := s.cpu.step(s.at)
	for start := time.Now(); memory.Load32(b, offDone) == 0; time.Sleep(10 * time.Microsecond) {
		if time.Since(start) > patience {
			s.cpu.t.Fatalf("tinyguest: a step takes more than %v: address %#x, value %#x",
				patience, binary.LittleEndian.Uint64(b[offAddress:]), binary.LittleEndian.Uint64(b[offValue:]))
		}
	}
	return binary.LittleEndian.Uint64(b[offResult:])
}

// Write writes 1, 2, 4 or 8 bytes.
func (c *CPU) Write(address uint64, width int, v uint64) Step {
	return c.order(map[int]op{1: opWrite1, 2: opWrite2, 4: opWrite4, 8: opWrite8}[width], address, v, 0)
}

// Read reads 1, 2, 4 or 8 bytes.
func (c *CPU) Read(address uint64, width int) Step {
	return c.order(map[int]op{1: opRead1, 2: opRead2, 4: opRead4, 8: opRead8}[width], address, 0, 0)
}

// Until reads 32 bits again and again until they are v in all bits of mask.
func (c *CPU) Until(address uint64, mask, v uint32) Step {
	return c.order(opWait, address, uint64(v), mask)
}

// Fill writes v to count words of 32 bits with one REP STOSD.
func (c *CPU) Fill(address uint64, v, count uint32) Step {
	return c.order(opFill, address, uint64(v), count)
}

// Exchange adds v to 32 bits with a LOCK XADD and reads what was there.
func (c *CPU) Exchange(address uint64, v uint32) Step {
	return c.order(opExchange, address, uint64(v), 0)
}

// Forever has the CPU go through the steps that orders makes again and again.
// The function it returns ends that. There must be fewer steps than 1000.
func (c *CPU) Forever(orders func()) (end func()) {
	c.t.Helper()
	if c.next+1000 >= len(c.steps)/stepSize {
		c.t.Fatal("tinyguest: no room for a loop")
	}
	first := c.next
	orders()
	loop := c.order(opJump, 0, uint64(c.base)+uint64(first*stepSize), 0)
	return func() {
		// The guest may be between its reads of handler and value: the step stays
		// a jump, and only goes elsewhere.
		memory.Store64(c.step(loop.at), offValue, uint64(c.base)+uint64((loop.at+1)*stepSize))
	}
}
