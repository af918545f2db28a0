// Package aml encodes ACPI Machine Language (ACPI 6.4, chapter 20): as much of
// it as describing a machine without firmware takes.
package aml

import (
	"encoding/binary"
	"slices"
	"strings"
)

// Term is an encoded object, value or statement.
type Term []byte

// Opcodes; ACPI 6.4, section 20.3.
const (
	opZero       = 0x00
	opOne        = 0x01
	opName       = 0x08
	opByte       = 0x0a
	opWord       = 0x0b
	opDWord      = 0x0c
	opString     = 0x0d
	opQWord      = 0x0e
	opScope      = 0x10
	opBuffer     = 0x11
	opPackage    = 0x12
	opMethod     = 0x14
	opArg0       = 0x68
	opNotify     = 0x86
	opEqual      = 0x93
	opIf         = 0xa0
	opExtended   = 0x5b
	opExtDevice  = 0x82
	opDualPrefix = 0x2e
	opManyPrefix = 0x2f

	methodSerialized = 1 << 3
)

// Scope opens an existing scope; section 20.2.5.1.
func Scope(path string, body ...Term) Term {
	return sized([]byte{opScope}, append(nameString(path), slices.Concat(body...)...))
}

// Device defines a device; section 20.2.5.2.
func Device(name string, body ...Term) Term {
	return sized([]byte{opExtended, opExtDevice}, append(nameString(name), slices.Concat(body...)...))
}

// Name gives a value a name; section 20.2.5.1.
func Name(name string, value Term) Term {
	return slices.Concat(Term{opName}, nameString(name), value)
}

// Method defines a method of up to 7 arguments that one thread at a time is in;
// section 20.2.5.2.
func Method(name string, args int, body ...Term) Term {
	head := append(nameString(name), byte(args&7)|methodSerialized)
	return sized([]byte{opMethod}, append(head, slices.Concat(body...)...))
}

// If is a body that is run where a condition holds; section 20.2.5.3.
func If(condition Term, body ...Term) Term {
	return sized([]byte{opIf}, slices.Concat(condition, slices.Concat(body...)))
}

// Equal is the condition that two values are the same; section 20.2.5.4.
func Equal(a, b Term) Term { return slices.Concat(Term{opEqual}, a, b) }

// Arg is an argument of the method it is used in, from 0 to 6; section 20.2.6.1.
func Arg(n int) Term { return Term{opArg0 + byte(n)} }

// Notify tells the operating system of an event at a device; section 20.2.5.3.
func Notify(path string, event uint64) Term {
	return slices.Concat(Term{opNotify}, nameString(path), Integer(event))
}

// Integer is a number, encoded as short as it can be; section 20.2.3.
func Integer(v uint64) Term {
	le := binary.LittleEndian
	switch {
	case v == 0:
		return Term{opZero}
	case v == 1:
		return Term{opOne}
	case v < 1<<8:
		return Term{opByte, byte(v)}
	case v < 1<<16:
		return le.AppendUint16([]byte{opWord}, uint16(v))
	case v < 1<<32:
		return le.AppendUint32([]byte{opDWord}, uint32(v))
	default:
		return le.AppendUint64([]byte{opQWord}, v)
	}
}

// String is text of ASCII characters other than NUL; section 20.2.3.
func String(s string) Term {
	return append(append(Term{opString}, s...), 0)
}

// Package is a list of values, at most 255; section 20.2.5.4.
func Package(elements ...Term) Term {
	return sized([]byte{opPackage}, append([]byte{byte(len(elements))}, slices.Concat(elements...)...))
}

// buffer is an array of bytes; section 20.2.5.4.
func buffer(b []byte) Term {
	return sized([]byte{opBuffer}, slices.Concat(Integer(uint64(len(b))), b))
}

// nameString encodes a path such as \_SB.PWRB, whose names have at most four
// characters; section 20.2.2.
func nameString(path string) []byte {
	var b []byte
	if rest, ok := strings.CutPrefix(path, `\`); ok {
		b, path = append(b, '\\'), rest
	}
	names := strings.Split(path, ".")
	switch len(names) {
	case 1:
	case 2:
		b = append(b, opDualPrefix)
	default:
		b = append(b, opManyPrefix, byte(len(names)))
	}
	for _, name := range names {
		segment := [4]byte{'_', '_', '_', '_'}
		copy(segment[:], name)
		b = append(b, segment[:]...)
	}
	return b
}

// sized puts between an opcode and what belongs to it how long the latter is,
// the length's own bytes included; section 20.2.4.
func sized(op, body []byte) Term {
	n := len(body) + 1
	if n < 1<<6 {
		return slices.Concat(op, []byte{byte(n)}, body)
	}
	more := 1 // bytes beside the first, which then holds four bits
	for n = len(body) + 2; n >= 1<<(4+8*more); n++ {
		more++
	}
	length := []byte{byte(more<<6 | n&0xf)}
	for rest := n >> 4; more > 0; more-- {
		length = append(length, byte(rest))
		rest >>= 8
	}
	return slices.Concat(op, length, body)
}
