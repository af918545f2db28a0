package emulate

import (
	"encoding/binary"

	"github.com/bulkhead-vm/bulkhead/vmm/kvm"
)

// The XSAVE area in standard form; Intel SDM volume 1, sections 13.4 and 13.5.
const (
	leafXSave = 0xd

	stateX87 = 1 << 0
	stateSSE = 1 << 1
	stateAVX = 1 << 2

	offMXCSR     = 24
	offMXCSRMask = 28
	offHeader    = 512 // XSTATE_BV
	headerSize   = 64
	minArea      = offHeader + headerSize

	initFCW   = 0x37f
	initMXCSR = 0x1f80

	xsaveAlign = 64
	cr0TS      = 1 << 3
	cr4OSXSAVE = 1 << 18
)

// component is a run of bytes of the area that is saved if any bit of states
// is asked for.
type component struct {
	states    uint64
	off, size int
}

// xsaveComponents lists the legacy region's parts and, from CPUID leaf 0xd,
// the extended ones.
func xsaveComponents(supported []kvm.CPUIDEntry) []component {
	components := []component{
		{stateX87, 0, 24},
		{stateX87, 32, 128},
		{stateSSE | stateAVX, offMXCSR, 8},
		{stateSSE, 160, 256},
	}
	for _, e := range supported {
		const supervisor = 1 << 0 // in ECX
		if e.Function == leafXSave && e.Index >= 2 && e.EAX != 0 && e.ECX&supervisor == 0 {
			components = append(components, component{1 << e.Index, int(e.EBX), int(e.EAX)})
		}
	}
	return components
}

// xsaveOperand is what XSAVE and XRSTOR work on.
type xsaveOperand struct {
	span
	xcr0 uint64 // what the guest's kernel has enabled
	rfbm uint64 // what the instruction asked for out of that
}

// xsaveOperand checks what both instructions have in common, translates as
// much of the area as they need, and fills c.area with the vCPU's state. If
// stop is true, out says how the instruction ends.
func (c *Completer) xsaveOperand(write bool) (o xsaveOperand, out outcome, stop bool, err error) {
	switch {
	case c.sregs.CR4&cr4OSXSAVE == 0:
		return o, raise(vectorUD), true, nil
	case c.sregs.CR0&cr0TS != 0:
		return o, raise(vectorNM), true, nil
	case c.address()%xsaveAlign != 0:
		return o, raise(vectorGP), true, nil
	}
	if o.xcr0, err = c.xcr0(); err != nil {
		return o, outcome{}, true, err
	}
	o.rfbm = (c.regs.RDX<<32 | c.regs.RAX&0xffff_ffff) & o.xcr0
	size := minArea
	for _, part := range c.xsave {
		if part.states&o.rfbm != 0 {
			size = max(size, part.off+part.size)
		}
	}
	if size > len(c.area) {
		return o, outcome{kind: unknown}, true, nil
	}
	o.span, out, stop = c.operandSpan(size, write)
	if stop {
		return o, out, true, nil
	}
	return o, out, false, c.v.XSave(c.area)
}

func (c *Completer) xcr0() (uint64, error) {
	xcrs, err := c.v.XCRs()
	if err != nil {
		return 0, err
	}
	for _, x := range xcrs.List[:min(xcrs.Count, 16)] {
		if x.Index == 0 {
			return x.Value, nil
		}
	}
	return stateX87, nil
}

// xsave saves the requested components; SDM volume 1, section 13.7.
func xsave(c *Completer) (outcome, error) {
	o, out, stop, err := c.xsaveOperand(true)
	if stop || err != nil {
		return out, err
	}
	for _, part := range c.xsave {
		if part.states&o.rfbm != 0 {
			o.write(c.area[part.off:][:part.size], part.off)
		}
	}
	var bv [8]byte
	o.read(bv[:], offHeader)
	inUse := binary.LittleEndian.Uint64(c.area[offHeader:])
	merged := binary.LittleEndian.Uint64(bv[:])&^o.rfbm | inUse&o.rfbm
	binary.LittleEndian.PutUint64(bv[:], merged)
	o.write(bv[:], offHeader)
	return completed(), nil
}

// xrstor loads the requested components that the area holds and initialises
// the others; SDM volume 1, section 13.8.
func xrstor(c *Completer) (outcome, error) {
	o, out, stop, err := c.xsaveOperand(false)
	if stop || err != nil {
		return out, err
	}
	var header [24]byte // XSTATE_BV, XCOMP_BV and what must be zero
	o.read(header[:], offHeader)
	saved := binary.LittleEndian.Uint64(header[:])
	if saved&^o.xcr0 != 0 || [16]byte(header[8:]) != [16]byte{} {
		return raise(vectorGP), nil
	}
	if o.rfbm&(stateSSE|stateAVX) != 0 && !c.loadMXCSR(&o.span) {
		return raise(vectorGP), nil
	}
	for _, part := range c.xsave {
		if part.states&o.rfbm == 0 || part.off == offMXCSR {
			continue
		}
		dst := c.area[part.off:][:part.size]
		if part.states&saved != 0 {
			o.read(dst, part.off)
		} else {
			clear(dst)
		}
	}
	if o.rfbm&^saved&stateX87 != 0 {
		binary.LittleEndian.PutUint16(c.area, initFCW)
	}
	c.mergeInUse(o.rfbm, saved)
	return completed(), c.v.SetXSave(c.area)
}

// loadMXCSR takes MXCSR from the span, as standard XRSTOR does whether or not
// the header lists SSE. It reports false for reserved bits.
func (c *Completer) loadMXCSR(s *span) bool {
	var b [4]byte
	s.read(b[:], offMXCSR)
	mask := binary.LittleEndian.Uint32(c.area[offMXCSRMask:])
	if mask == 0 {
		mask = 0xffbf // SDM volume 1, section 11.6.6
	}
	if binary.LittleEndian.Uint32(b[:])&^mask != 0 {
		return false
	}
	copy(c.area[offMXCSR:], b[:])
	return true
}

// mergeInUse updates the area's own XSTATE_BV for KVM_SET_XSAVE, which takes
// MXCSR only along with SSE.
func (c *Completer) mergeInUse(rfbm, saved uint64) {
	le := binary.LittleEndian
	inUse := le.Uint64(c.area[offHeader:])&^rfbm | saved&rfbm
	if le.Uint32(c.area[offMXCSR:]) != initMXCSR {
		inUse |= stateSSE
	}
	le.PutUint64(c.area[offHeader:], inUse)
}
