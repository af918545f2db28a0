// Package boottest makes kernel files that boot loaders accept: a few bytes
// of code in an otherwise well-formed file.
package boottest

import (
	"bytes"
	"encoding/binary"
)

// ELF describes an ELF kernel with one segment. The zero value of a field
// means what a good kernel has.
type ELF struct {
	Code    []byte
	Address uint64 // where it is loaded and entered; 0: 16 MiB
	BSS     uint64 // more bytes of memory than of file
	Machine uint16 // 0: x86-64
	PVH     uint32 // entry of a PVH note; 0: no note
}

// Marshal returns the file.
func (e ELF) Marshal() []byte {
	if e.Address == 0 {
		e.Address = 16 << 20
	}
	if e.Machine == 0 {
		e.Machine = 62
	}
	le := binary.LittleEndian
	const headers = 64 + 2*56
	note := noteBytes(e.PVH)
	b := []byte("\x7fELF\x02\x01\x01")
	b = append(b, make([]byte, 16-len(b))...)
	b = le.AppendUint16(b, 2) // executable
	b = le.AppendUint16(b, e.Machine)
	b = le.AppendUint32(b, 1)
	b = le.AppendUint64(b, e.Address)
	b = le.AppendUint64(b, 64) // program headers follow
	b = append(b, make([]byte, 14)...)
	b = le.AppendUint16(b, 56)
	b = le.AppendUint16(b, 2)
	b = append(b, make([]byte, 6)...)
	for _, p := range []struct{ kind, offset, address, file, mem uint64 }{
		{1, headers + uint64(len(note)), e.Address, uint64(len(e.Code)), uint64(len(e.Code)) + e.BSS},
		{4, headers, 0, uint64(len(note)), uint64(len(note))},
	} {
		b = le.AppendUint32(b, uint32(p.kind))
		b = le.AppendUint32(b, 7)
		b = le.AppendUint64(b, p.offset)
		b = le.AppendUint64(b, 0)
		b = le.AppendUint64(b, p.address)
		b = le.AppendUint64(b, p.file)
		b = le.AppendUint64(b, p.mem)
		b = le.AppendUint64(b, 0)
	}
	return append(append(b, note...), e.Code...)
}

func noteBytes(pvh uint32) []byte {
	le := binary.LittleEndian
	other := le.AppendUint32(nil, 5)
	other = le.AppendUint32(other, 3)
	other = le.AppendUint32(other, 1)
	other = append(other, "Linux\x00\x00\x00abc\x00"[:8+4]...)
	if pvh == 0 {
		return other
	}
	b := le.AppendUint32(other, 4)
	b = le.AppendUint32(b, 4)
	b = le.AppendUint32(b, 18)
	b = append(b, "Xen\x00"...)
	return le.AppendUint32(b, pvh)
}

// BzImage describes a bzImage. The zero value of a field means what a good
// kernel has.
type BzImage struct {
	Code       []byte // the protected-mode part, entered at byte 0x200
	Version    uint16 // of the boot protocol
	XLoadFlags uint16 // 1: has a 64-bit entry
	InitSize   uint32
	MaxCmdline uint32
}

// Marshal returns the file.
func (z BzImage) Marshal() []byte {
	if z.Version == 0 {
		z.Version = 0x20f
	}
	if z.MaxCmdline == 0 {
		z.MaxCmdline = 2047
	}
	const setupSects = 1
	le := binary.LittleEndian
	b := make([]byte, (setupSects+1)*512)
	b[0x1f1] = setupSects
	code := append(z.Code, make([]byte, (16-len(z.Code)%16)%16)...)
	le.PutUint32(b[0x1f4:], uint32(len(code)/16))
	le.PutUint16(b[0x1fe:], 0xaa55)
	b[0x200], b[0x201] = 0xeb, 0x6a // jmp over the header
	copy(b[0x202:], "HdrS")
	le.PutUint16(b[0x206:], z.Version)
	le.PutUint32(b[0x22c:], 0x7fff_ffff)
	le.PutUint16(b[0x236:], z.XLoadFlags|1)
	le.PutUint32(b[0x238:], z.MaxCmdline)
	le.PutUint64(b[0x258:], 16<<20)
	le.PutUint32(b[0x260:], max(z.InitSize, uint32(len(code))))
	return append(b, code...)
}

// File makes a kernel file readable.
func File(b []byte) *bytes.Reader { return bytes.NewReader(b) }
