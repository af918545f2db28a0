package emulate

// operation carries out the decoded instruction on the Completer's copy of the
// registers. It may write registers even if it then reports a fault, which
// discards them.
type operation func(c *Completer) (outcome, error)

// lookup returns the operation for the instruction, nil if this package has
// none.
func lookup(i *instruction) operation {
	if i.lock && (i.opcode != 0x0fc7 || i.group() != 1) {
		return nil // an invalid opcode, but for CMPXCHG16B
	}
	switch i.opcode {
	case 0xcc:
		return int3
	case 0x9b:
		return fwait
	case 0x0f01:
		return lookup0F01(i)
	case 0x0fae:
		return lookup0FAE(i)
	case 0x0fb8:
		if i.rep == 0xf3 {
			return popcnt
		}
	case 0x0fc7:
		return lookup0FC7(i)
	case 0x0f3882:
		if i.data16 && !i.isReg {
			return invpcid
		}
	}
	return nil
}

func lookup0F01(i *instruction) operation {
	if !i.isReg || i.rep != 0 || i.data16 {
		return nil
	}
	switch [2]int{i.group(), i.rm & 7} {
	case [2]int{1, 2}:
		return clac
	case [2]int{1, 3}:
		return stac
	case [2]int{7, 1}:
		return rdtscp
	}
	return nil
}

func lookup0FAE(i *instruction) operation {
	switch {
	case i.isReg && i.rep == 0xf3 && i.group() < 4:
		return fsgsbase
	case i.isReg || i.rep != 0 || i.data16:
		return nil
	case i.group() == 4:
		return xsave
	case i.group() == 5:
		return xrstor
	}
	return nil
}

func lookup0FC7(i *instruction) operation {
	switch {
	case !i.isReg && i.group() == 1 && i.rexW:
		return cmpxchg16b
	case i.isReg && i.group() == 7 && i.rep == 0xf3:
		return rdpid
	case i.isReg && i.group() >= 6 && i.rep == 0:
		return rdrand
	}
	return nil
}
