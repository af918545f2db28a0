// Package bzimage loads a compressed Linux kernel (bzImage) into guest memory.
//
// Offsets and rules are those of Documentation/arch/x86/boot.rst ("The
// Linux/x86 Boot Protocol").
package bzimage

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

const (
	sectorSize      = 512
	headerEnd       = 0x268 // the last field this package reads ends here
	offSetupHeader  = 0x1f1
	offSetupSects   = 0x1f1
	offSysSize      = 0x1f4
	offBootFlag     = 0x1fe
	offJump         = 0x200
	offMagic        = 0x202
	offVersion      = 0x206
	offInitrdMax    = 0x22c
	offXLoadFlags   = 0x236
	offCmdlineSize  = 0x238
	offPrefAddress  = 0x258
	offInitSize     = 0x260
	bootFlag        = 0xaa55
	minVersion      = 0x20c // 2.12 brought xloadflags
	xlfKernel64     = 1 << 0
	entry64Offset   = 0x200
	defaultSetupLen = 4
)

// Magic stands at MagicOffset of every bzImage.
const (
	Magic       = "HdrS"
	MagicOffset = offMagic
)

// Kernel is a loaded bzImage.
type Kernel struct {
	// Entry64 is the entry point of the 64-bit boot protocol.
	Entry64 memory.GPA
	// Start and End bound the memory the kernel needs to unpack itself.
	Start, End memory.GPA
	// InitrdMax is the highest address the initrd may occupy.
	InitrdMax memory.GPA
	// MaxCmdline is how many bytes of command line the kernel takes.
	MaxCmdline int
	// SetupHeader is the file's setup header, to be copied into the zero
	// page.
	SetupHeader []byte
}

// Load reads the protected-mode part of f into mem, at the address the kernel
// prefers. Errors say whether the file is truncated, too old, not 64-bit, or
// too large for the memory.
func Load(mem *memory.Memory, f io.ReaderAt) (Kernel, error) {
	head := make([]byte, headerEnd)
	if _, err := f.ReadAt(head, 0); err != nil {
		return Kernel{}, truncated(err)
	}
	if err := checkHeader(head); err != nil {
		return Kernel{}, err
	}
	le := binary.LittleEndian
	k := Kernel{
		Start:       memory.GPA(le.Uint64(head[offPrefAddress:])),
		InitrdMax:   memory.GPA(le.Uint32(head[offInitrdMax:])),
		MaxCmdline:  int(le.Uint32(head[offCmdlineSize:])),
		SetupHeader: setupHeader(head),
	}
	k.Entry64 = k.Start + entry64Offset
	setupSects := int64(head[offSetupSects])
	if setupSects == 0 {
		setupSects = defaultSetupLen
	}
	size := uint64(le.Uint32(head[offSysSize:])) * 16
	need := max(size, uint64(le.Uint32(head[offInitSize:])))
	dst, err := mem.Slice(k.Start, need)
	if err != nil {
		return Kernel{}, fmt.Errorf("kernel does not fit into guest memory (give it more with --memory): %w", err)
	}
	k.End = k.Start + memory.GPA(need)
	if _, err := f.ReadAt(dst[:size], (setupSects+1)*sectorSize); err != nil {
		return Kernel{}, truncated(err)
	}
	return k, nil
}

func checkHeader(head []byte) error {
	le := binary.LittleEndian
	switch {
	case le.Uint16(head[offBootFlag:]) != bootFlag || string(head[offMagic:offMagic+4]) != Magic:
		return fmt.Errorf("not a bzImage")
	case le.Uint16(head[offVersion:]) < minVersion:
		return fmt.Errorf("bzImage speaks boot protocol %#x, need %#x (Linux 3.8) or newer", le.Uint16(head[offVersion:]), minVersion)
	case le.Uint16(head[offXLoadFlags:])&xlfKernel64 == 0:
		return fmt.Errorf("kernel is for another architecture: 32-bit bzImage, need x86-64")
	case le.Uint32(head[offSysSize:]) < entry64Offset/16:
		return fmt.Errorf("bzImage has no kernel behind its header")
	}
	return nil
}

// setupHeader cuts the setup header, whose length byte is the target of the
// jump over it, out of the file's head.
func setupHeader(head []byte) []byte {
	end := offMagic + int(head[offJump+1])
	return head[offSetupHeader:min(end, len(head))]
}

func truncated(err error) error {
	if err == io.EOF {
		return fmt.Errorf("kernel file is truncated: it ends before the kernel its header announces")
	}
	return fmt.Errorf("read bzImage: %w", err)
}
