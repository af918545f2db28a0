package elf

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// Field offsets and values of ELF-64, little-endian; System V ABI, "ELF
// Header" and "Program Header", as <linux/elf.h> lays them out.
const (
	Magic = "\x7fELF"

	headerSize        = 64
	class64           = 2
	dataLittle        = 1
	typeExec          = 2
	typeDyn           = 3
	machineX86        = 62
	programHeaderSize = 56
	maxProgramHeaders = 64

	ptLoad = 1
	ptNote = 4
)

// header is what a loader needs of the file header.
type header struct {
	entry memory.GPA
	phoff uint64
	phnum int
}

// segment is what a loader needs of a program header.
type segment struct {
	kind   uint32
	offset uint64 // in the file
	paddr  memory.GPA
	filesz uint64
	memsz  uint64
}

func readHeader(f io.ReaderAt) (header, error) {
	var b [headerSize]byte
	if err := readFull(f, b[:], 0, "ELF header"); err != nil {
		return header{}, err
	}
	le := binary.LittleEndian
	switch {
	case string(b[:4]) != Magic:
		return header{}, fmt.Errorf("not an ELF file")
	case b[4] != class64 || b[5] != dataLittle:
		return header{}, fmt.Errorf("kernel is for another architecture: 32-bit or big-endian ELF, need x86-64")
	case le.Uint16(b[18:]) != machineX86:
		return header{}, fmt.Errorf("kernel is for another architecture: %s, need x86-64", machineName(le.Uint16(b[18:])))
	case le.Uint16(b[16:]) != typeExec && le.Uint16(b[16:]) != typeDyn:
		return header{}, fmt.Errorf("ELF file is not an executable (type %d): give the vmlinux, not an object file", le.Uint16(b[16:]))
	case le.Uint16(b[54:]) != programHeaderSize:
		return header{}, fmt.Errorf("ELF program headers of %d bytes, want %d", le.Uint16(b[54:]), programHeaderSize)
	}
	h := header{
		entry: memory.GPA(le.Uint64(b[24:])),
		phoff: le.Uint64(b[32:]),
		phnum: int(le.Uint16(b[56:])),
	}
	if h.phnum == 0 || h.phnum > maxProgramHeaders {
		return header{}, fmt.Errorf("ELF file has %d program headers, want 1 to %d", h.phnum, maxProgramHeaders)
	}
	return h, nil
}

func readSegments(f io.ReaderAt, h header) ([]segment, error) {
	table := make([]byte, h.phnum*programHeaderSize)
	if err := readFull(f, table, h.phoff, "program headers"); err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	segments := make([]segment, h.phnum)
	for i := range segments {
		b := table[i*programHeaderSize:]
		segments[i] = segment{
			kind:   le.Uint32(b[0:]),
			offset: le.Uint64(b[8:]),
			paddr:  memory.GPA(le.Uint64(b[24:])),
			filesz: le.Uint64(b[32:]),
			memsz:  le.Uint64(b[40:]),
		}
	}
	return segments, nil
}

// readFull reads len(p) bytes at off; what names them in the error.
func readFull(f io.ReaderAt, p []byte, off uint64, what string) error {
	if int64(off) < 0 {
		return fmt.Errorf("%s at file offset %#x: no such offset", what, off)
	}
	n, err := f.ReadAt(p, int64(off))
	if n == len(p) {
		return nil
	}
	if err == io.EOF {
		return fmt.Errorf("kernel file is truncated: it ends inside its %s", what)
	}
	return fmt.Errorf("read %s: %w", what, err)
}

// machineName names the architectures a wrong kernel is most likely for.
func machineName(machine uint16) string {
	switch machine {
	case 3:
		return "i386"
	case 21:
		return "ppc64"
	case 22:
		return "s390x"
	case 40:
		return "arm"
	case 183:
		return "aarch64"
	case 243:
		return "riscv"
	case 258:
		return "loongarch"
	}
	return fmt.Sprintf("ELF machine %d", machine)
}
