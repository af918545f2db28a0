// Package params builds Linux's boot_params, the "zero page" that tells the
// kernel where its command line, initrd and memory are.
//
// Offsets are those of Documentation/arch/x86/boot.rst ("The Linux/x86 Boot
// Protocol") and zero-page.rst.
package params

import (
	"encoding/binary"

	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// Size is the size of the zero page.
const Size = 4096

// Offsets into the zero page.
const (
	offACPIRSDP       = 0x070
	offE820Count      = 0x1e8
	offSetupHeader    = 0x1f1
	offBootFlag       = 0x1fe
	offMagic          = 0x202
	offVersion        = 0x206
	offTypeOfLoader   = 0x210
	offLoadFlags      = 0x211
	offRamdiskImage   = 0x218
	offRamdiskSize    = 0x21c
	offHeapEndPtr     = 0x224
	offCmdLinePtr     = 0x228
	offInitrdAddrMax  = 0x22c
	offXLoadFlags     = 0x236
	offCmdlineSize    = 0x238
	offSetupData      = 0x250
	offE820Table      = 0x2d0
	offExtRamdiskImg  = 0x0c0
	offExtRamdiskSize = 0x0c4

	e820EntrySize  = 20
	maxE820Entries = 128
)

// Values of the setup header.
const (
	bootFlag        = 0xaa55
	headerMagic     = "HdrS"
	protocolVersion = 0x20f // 2.15
	loaderUndefined = 0xff
	loadedHigh      = 1 << 0
	keepSegments    = 1 << 6
)

// DefaultMaxCmdline is how many bytes of command line an x86 kernel takes when
// its file doesn't say: COMMAND_LINE_SIZE without the terminating zero.
const DefaultMaxCmdline = 2047

// Page is a zero page under construction.
type Page [Size]byte

// New returns a zero page with the setup header of a kernel whose file has
// none, as a vmlinux.
func New() *Page {
	p := new(Page)
	le := binary.LittleEndian
	le.PutUint16(p[offBootFlag:], bootFlag)
	copy(p[offMagic:], headerMagic)
	le.PutUint16(p[offVersion:], protocolVersion)
	p.setLoader()
	return p
}

// FromSetupHeader returns a zero page that starts from the setup header found
// in a bzImage, the bytes from file offset 0x1f1 on.
func FromSetupHeader(header []byte) *Page {
	p := new(Page)
	copy(p[offSetupHeader:offE820Table], header)
	p.setLoader()
	return p
}

func (p *Page) setLoader() {
	p[offTypeOfLoader] = loaderUndefined
	p[offLoadFlags] |= loadedHigh | keepSegments
}

// SetCmdline says where the command line is.
func (p *Page) SetCmdline(gpa memory.GPA, n int) {
	binary.LittleEndian.PutUint32(p[offCmdLinePtr:], uint32(gpa))
	binary.LittleEndian.PutUint32(p[offCmdlineSize:], uint32(n))
}

// SetInitrd says where the initrd is.
func (p *Page) SetInitrd(r memory.Range) {
	le := binary.LittleEndian
	le.PutUint32(p[offRamdiskImage:], uint32(r.Start))
	le.PutUint32(p[offExtRamdiskImg:], uint32(r.Start>>32))
	le.PutUint32(p[offRamdiskSize:], uint32(r.Size))
	le.PutUint32(p[offExtRamdiskSize:], uint32(r.Size>>32))
}

// SetRSDP says where the ACPI tables start. 0: there are none, or the kernel
// has to look.
func (p *Page) SetRSDP(gpa memory.GPA) {
	binary.LittleEndian.PutUint64(p[offACPIRSDP:], uint64(gpa))
}

// SetSetupData says where the linked list of setup_data starts.
func (p *Page) SetSetupData(gpa memory.GPA) {
	binary.LittleEndian.PutUint64(p[offSetupData:], uint64(gpa))
}
