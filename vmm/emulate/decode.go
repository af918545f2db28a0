package emulate

import "encoding/binary"

// instruction is a decoded 64-bit-mode instruction: prefixes, opcode and
// operand, Intel SDM volume 2, chapter 2. Immediates aren't decoded: nothing
// here has one.
type instruction struct {
	length  int
	opcode  uint32 // the opcode bytes, 0x0f escapes included
	rep     byte   // f2 or f3, the last given; 0 if none
	data16  bool   // prefix 66
	lock    bool   // prefix f0
	segment byte   // fs (0x64) or gs (0x65) override; 0 if none
	rexW    bool
	hasRM   bool
	reg     int // ModRM's reg field, extended by REX.R
	isReg   bool
	rm      int // the register, if isReg
	memory  operand
}

// operand is a memory operand before registers are read.
type operand struct {
	base, index int // register numbers; noReg if absent
	scale       uint
	disp        int64
	ripRelative bool
	address32   bool
}

const noReg = -1

// group returns the operation that ModRM's reg field selects.
func (i *instruction) group() int { return i.reg & 7 }

// decode reads one instruction. It reports false for bytes that end early or
// use an encoding none of the known instructions has.
func decode(b []byte) (i instruction, ok bool) {
	d := decoder{bytes: b}
	d.prefixes(&i)
	d.opcode(&i)
	if i.hasRM {
		d.modRM(&i)
	}
	i.length = d.pos
	return i, !d.short
}

type decoder struct {
	bytes []byte
	pos   int
	short bool

	rexR, rexX, rexB int
	address32        bool
}

func (d *decoder) next() byte {
	if d.pos >= len(d.bytes) {
		d.short = true
		return 0
	}
	d.pos++
	return d.bytes[d.pos-1]
}

func (d *decoder) peek() byte {
	if d.pos >= len(d.bytes) {
		d.short = true
		return 0
	}
	return d.bytes[d.pos]
}

func (d *decoder) prefixes(i *instruction) {
	for !d.short {
		switch b := d.peek(); b {
		case 0x66:
			i.data16 = true
		case 0xf2, 0xf3:
			i.rep = b
		case 0xf0:
			i.lock = true
		case 0x64, 0x65:
			i.segment = b
		case 0x67:
			d.address32 = true
		case 0x26, 0x2e, 0x36, 0x3e: // no effect in 64-bit mode
		default:
			if b&0xf0 == 0x40 {
				i.rexW = b&8 != 0
				d.rexR, d.rexX, d.rexB = int(b>>2&1)*8, int(b>>1&1)*8, int(b&1)*8
				d.pos++
			}
			return
		}
		d.pos++
	}
}

// opcode reads one to three bytes and knows which of them have a ModRM byte.
func (d *decoder) opcode(i *instruction) {
	b := d.next()
	if b != 0x0f {
		i.opcode = uint32(b)
		return
	}
	i.hasRM = true
	b = d.next()
	i.opcode = 0x0f00 | uint32(b)
	if b == 0x38 || b == 0x3a {
		i.opcode = i.opcode<<8 | uint32(d.next())
	}
}

// modRM reads ModRM, SIB and displacement; SDM volume 2, tables 2-2 and 2-3.
func (d *decoder) modRM(i *instruction) {
	b := d.next()
	mod, rm := b>>6, int(b&7)
	i.reg = int(b>>3&7) + d.rexR
	if mod == 3 {
		i.isReg, i.rm = true, rm+d.rexB
		return
	}
	m := &i.memory
	*m = operand{base: rm + d.rexB, index: noReg, address32: d.address32}
	if rm == 4 {
		sib := d.next()
		m.scale = uint(sib >> 6)
		if index := int(sib>>3&7) + d.rexX; index != 4 {
			m.index = index
		}
		rm = int(sib & 7)
		m.base = rm + d.rexB
		if rm == 5 && mod == 0 {
			m.base = noReg
			m.disp = d.disp32()
		}
	} else if rm == 5 && mod == 0 {
		m.base, m.ripRelative = noReg, true
		m.disp = d.disp32()
	}
	switch mod {
	case 1:
		m.disp = int64(int8(d.next()))
	case 2:
		m.disp = d.disp32()
	}
}

func (d *decoder) disp32() int64 {
	if d.pos+4 > len(d.bytes) {
		d.short = true
		return 0
	}
	d.pos += 4
	return int64(int32(binary.LittleEndian.Uint32(d.bytes[d.pos-4:])))
}
