package boot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/bulkhead-vm/bulkhead/boot/boottest"
	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

const mib = 1 << 20

func ram(sizeMiB uint64) *memory.Memory { return memory.NewHeap(memory.Range{Size: sizeMiB * mib}) }

func code() []byte { return bytes.Repeat([]byte{0x90}, 0x1000) }

func read(t *testing.T, mem *memory.Memory, gpa memory.GPA, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	if err := mem.ReadAt(b, gpa); err != nil {
		t.Fatal(err)
	}
	return b
}

func section(b []byte) *io.SectionReader {
	return io.NewSectionReader(bytes.NewReader(b), 0, int64(len(b)))
}

func TestLinuxEntry(t *testing.T) {
	mem := ram(64)
	e, err := Load(mem, Config{
		Kernel:  boottest.File(boottest.ELF{Code: code(), BSS: mib}.Marshal()),
		Initrd:  section([]byte("initrd!")),
		Cmdline: "quiet panic=-1",
	})
	if err != nil {
		t.Fatal(err)
	}
	if e.Mode != LongMode || e.RIP != 16*mib || e.RSI != zeroPageGPA || e.CR3 != pageTablesGPA {
		t.Errorf("entry is %+v", e)
	}
	if got := read(t, mem, 16*mib, 0x1000); !bytes.Equal(got, code()) {
		t.Error("the kernel isn't at its place")
	}
	page := read(t, mem, e.RSI, 4096)
	le := binary.LittleEndian
	if le.Uint16(page[0x1fe:]) != 0xaa55 || string(page[0x202:0x206]) != "HdrS" {
		t.Error("the zero page has no setup header")
	}
	cmdline := memory.GPA(le.Uint32(page[0x228:]))
	if got := read(t, mem, cmdline, 15); string(got) != "quiet panic=-1\x00" {
		t.Errorf("command line is %q", got)
	}
	initrd, size := memory.GPA(le.Uint32(page[0x218:])), le.Uint32(page[0x21c:])
	if got := read(t, mem, initrd, int(size)); string(got) != "initrd!" || initrd%initrdAlign != 0 || initrd < 17*mib {
		t.Errorf("initrd is %q at %v", got, initrd)
	}
	wantE820(t, page, []uint64{0, 0x9fc00, 1, 0x9fc00, 0x60400, 2, mib, 63 * mib, 1})
	wantSeed(t, mem, memory.GPA(le.Uint64(page[0x250:])))
}

func wantE820(t *testing.T, page []byte, want []uint64) {
	t.Helper()
	le := binary.LittleEndian
	var got []uint64
	for i := range int(page[0x1e8]) {
		b := page[0x2d0+20*i:]
		got = append(got, le.Uint64(b), le.Uint64(b[8:]), uint64(le.Uint32(b[16:])))
	}
	if len(got) != len(want) {
		t.Fatalf("memory map is %#x, want %#x", got, want)
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("memory map is %#x, want %#x", got, want)
		}
	}
}

func wantSeed(t *testing.T, mem *memory.Memory, gpa memory.GPA) {
	t.Helper()
	b := read(t, mem, gpa, 48)
	if binary.LittleEndian.Uint32(b[8:]) != 9 || binary.LittleEndian.Uint32(b[12:]) != 32 || bytes.Equal(b[16:], make([]byte, 32)) {
		t.Errorf("random seed is % x", b)
	}
}

// TestIdentityMap walks the page tables as a processor would.
func TestIdentityMap(t *testing.T) {
	mem := ram(64)
	e, err := Load(mem, Config{Kernel: boottest.File(boottest.ELF{Code: code()}.Marshal())})
	if err != nil {
		t.Fatal(err)
	}
	entry := func(table memory.GPA, i uint64) uint64 {
		return binary.LittleEndian.Uint64(read(t, mem, table+memory.GPA(8*i), 8))
	}
	for _, linear := range []uint64{0, 0x7000, 16 * mib, 1<<30 - 1} {
		pdpt := entry(e.CR3, linear>>39&0x1ff)
		pd := entry(memory.GPA(pdpt&^0xfff), linear>>30&0x1ff)
		page := entry(memory.GPA(pd&^0xfff), linear>>21&0x1ff)
		if pdpt&3 != 3 || pd&3 != 3 || page&0x83 != 0x83 || page&^0x1fffff != linear&^0x1fffff {
			t.Errorf("%#x leads to %#x", linear, page)
		}
	}
}

func TestPVHEntry(t *testing.T) {
	mem := ram(64)
	e, err := Load(mem, Config{
		Kernel:   boottest.File(boottest.ELF{Code: code(), PVH: 16*mib + 0x40}.Marshal()),
		Initrd:   section([]byte("initrd!")),
		Cmdline:  "hello",
		Protocol: PVH,
	})
	if err != nil {
		t.Fatal(err)
	}
	if e.Mode != ProtectedMode || e.RIP != 16*mib+0x40 {
		t.Errorf("entry is %+v", e)
	}
	le := binary.LittleEndian
	info := read(t, mem, e.RBX, 200)
	if le.Uint32(info) != 0x336ec578 || le.Uint32(info[12:]) != 1 || le.Uint32(info[48:]) != 3 {
		t.Errorf("start info is % x", info[:56])
	}
	if got := read(t, mem, memory.GPA(le.Uint64(info[24:])), 6); string(got) != "hello\x00" {
		t.Errorf("command line is %q", got)
	}
	module := read(t, mem, memory.GPA(le.Uint64(info[16:])), 16)
	if got := read(t, mem, memory.GPA(le.Uint64(module)), int(le.Uint64(module[8:]))); string(got) != "initrd!" {
		t.Errorf("module is %q", got)
	}
}

// TestPVHIsTheFallback enters an ELF file whose entry point is a virtual
// address by its note.
func TestPVHIsTheFallback(t *testing.T) {
	b := boottest.ELF{Code: code(), PVH: 16 * mib}.Marshal()
	binary.LittleEndian.PutUint64(b[24:], 0xffff_ffff_8100_0000)
	e, err := Load(ram(64), Config{Kernel: boottest.File(b)})
	if err != nil || e.Mode != ProtectedMode {
		t.Errorf("entry is %+v, %v", e, err)
	}
}

func TestBzImageEntry(t *testing.T) {
	mem := ram(64)
	e, err := Load(mem, Config{Kernel: boottest.File(boottest.BzImage{Code: code()}.Marshal())})
	if err != nil {
		t.Fatal(err)
	}
	if e.Mode != LongMode || e.RIP != 16*mib+0x200 {
		t.Errorf("entry is %+v", e)
	}
	if got := read(t, mem, 16*mib, 0x1000); !bytes.Equal(got, code()) {
		t.Error("the kernel isn't at its place")
	}
	if page := read(t, mem, e.RSI, 4096); page[0x210] != 0xff || page[0x1f1] != 1 {
		t.Error("the setup header wasn't taken over")
	}
}

func TestSmallMemoryPutsInitrdBelow(t *testing.T) {
	mem := ram(32)
	kernel := boottest.ELF{Code: code(), BSS: 14 * mib}.Marshal()
	initrd := bytes.Repeat([]byte("x"), 6*mib)
	e, err := Load(mem, Config{Kernel: boottest.File(kernel), Initrd: section(initrd)})
	if err != nil {
		t.Fatal(err)
	}
	page := read(t, mem, e.RSI, 4096)
	if at := memory.GPA(binary.LittleEndian.Uint32(page[0x218:])); at < mib || at+6*mib > 16*mib {
		t.Errorf("initrd is at %v", at)
	}
}

func TestMPTable(t *testing.T) {
	mem := ram(64)
	if _, err := Load(mem, Config{Kernel: boottest.File(boottest.ELF{Code: code()}.Marshal()), CPUs: 32}); err != nil {
		t.Fatal(err)
	}
	sum := func(b []byte) (s byte) {
		for _, v := range b {
			s += v
		}
		return s
	}
	floating := read(t, mem, mpTableGPA, 16)
	if string(floating[:4]) != "_MP_" || sum(floating) != 0 {
		t.Fatalf("floating pointer % x", floating)
	}
	at := memory.GPA(binary.LittleEndian.Uint32(floating[4:]))
	size := int(binary.LittleEndian.Uint16(read(t, mem, at+4, 2)))
	table := read(t, mem, at, size)
	if string(table[:4]) != "PCMP" || sum(table) != 0 {
		t.Fatalf("configuration table % x", table[:44])
	}
	processors := 0
	for b := table[44:]; len(b) > 0; {
		if b[0] != 0 {
			b = b[8:]
			continue
		}
		if int(b[1]) != processors || (b[3]&2 != 0) != (processors == 0) {
			t.Errorf("processor entry % x", b[:20])
		}
		processors++
		b = b[20:]
	}
	if processors != 32 || at+memory.GPA(size) > highMemory {
		t.Errorf("%d processors in a table that ends at %v", processors, at+memory.GPA(size))
	}
}

func TestLoadRefuses(t *testing.T) {
	good := boottest.ELF{Code: code()}.Marshal()
	image := boottest.BzImage{Code: code()}.Marshal()
	change := func(b []byte, at int, v ...byte) []byte {
		b = bytes.Clone(b)
		copy(b[at:], v)
		return b
	}
	tests := []struct {
		name string
		c    Config
		want string
	}{
		{"empty", Config{Kernel: boottest.File(nil)}, "empty"},
		{"text", Config{Kernel: boottest.File([]byte("#!/bin/sh"))}, "not a kernel"},
		{"zeroes", Config{Kernel: boottest.File(make([]byte, 1<<16))}, "not a kernel"},
		{"arm64 image", Config{Kernel: boottest.File(change(make([]byte, 4096), 56, []byte("ARM\x64")...))}, "another architecture: aarch64"},
		{"arm64 ELF", Config{Kernel: boottest.File(boottest.ELF{Code: code(), Machine: 183}.Marshal())}, "another architecture: aarch64"},
		{"32-bit ELF", Config{Kernel: boottest.File(change(good, 4, 1))}, "another architecture"},
		{"object file", Config{Kernel: boottest.File(change(good, 16, 1))}, "not an executable"},
		{"ELF cut in its header", Config{Kernel: boottest.File(good[:40])}, "truncated"},
		{"ELF cut in its program headers", Config{Kernel: boottest.File(good[:100])}, "truncated"},
		{"ELF cut in its segment", Config{Kernel: boottest.File(good[:len(good)-1])}, "truncated"},
		{"no program headers", Config{Kernel: boottest.File(change(good, 56, 0))}, "program headers"},
		{"program headers at the end of the world", Config{Kernel: boottest.File(change(good, 32, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff))}, "offset"},
		{"more in the file than in memory", Config{Kernel: boottest.File(change(good, 64+40, 1, 0))}, "more bytes in the file"},
		{"kernel below 1 MiB", Config{Kernel: boottest.File(boottest.ELF{Code: code(), Address: 0x8000}.Marshal())}, "below 1 MiB"},
		{"kernel above the memory", Config{Kernel: boottest.File(boottest.ELF{Code: code(), Address: 1 << 40}.Marshal())}, "does not fit"},
		{"kernel larger than the memory", Config{Kernel: boottest.File(boottest.ELF{Code: code(), BSS: 60 * mib}.Marshal())}, "does not fit"},
		{"entry outside", Config{Kernel: boottest.File(change(good, 27, 0xff))}, "entry point"},
		{"no PVH note", Config{Kernel: boottest.File(good), Protocol: PVH}, "no PVH entry"},
		{"bzImage has no PVH", Config{Kernel: boottest.File(image), Protocol: PVH}, "give the vmlinux"},
		{"bzImage cut", Config{Kernel: boottest.File(image[:len(image)-1])}, "truncated"},
		{"bzImage too old", Config{Kernel: boottest.File(boottest.BzImage{Code: code(), Version: 0x20b}.Marshal())}, "boot protocol"},
		{"32-bit bzImage", Config{Kernel: boottest.File(change(image, 0x236, 0))}, "another architecture"},
		{"bzImage larger than the memory", Config{Kernel: boottest.File(boottest.BzImage{Code: code(), InitSize: 60 * mib}.Marshal())}, "does not fit"},
		{"command line too long", Config{Kernel: boottest.File(good), Cmdline: strings.Repeat("x", 2048)}, "2048 bytes long, this kernel takes 2047"},
		{"command line longer than the bzImage takes", Config{Kernel: boottest.File(boottest.BzImage{Code: code(), MaxCmdline: 10}.Marshal()), Cmdline: "0123456789a"}, "takes 10"},
		{"NUL in the command line", Config{Kernel: boottest.File(good), Cmdline: "a\x00b"}, "NUL"},
		{"initrd larger than the memory", Config{Kernel: boottest.File(good), Initrd: section(make([]byte, 65*mib))}, "initrd of 66560 KiB does not fit"},
		{"too many CPUs", Config{Kernel: boottest.File(good), CPUs: 255}, "at most 254"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Load(ram(64), tt.c)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v; want it to say %q", err, tt.want)
			}
		})
	}
}

// brokenFile fails every read.
type brokenFile struct{}

var errBroken = errors.New("disk on fire")

func (brokenFile) ReadAt([]byte, int64) (int, error) { return 0, errBroken }

func TestReadErrorsAreWrapped(t *testing.T) {
	if _, err := Load(ram(64), Config{Kernel: brokenFile{}}); !errors.Is(err, errBroken) {
		t.Errorf("error is %v", err)
	}
	if _, err := Load(ram(64), Config{
		Kernel: boottest.File(boottest.ELF{Code: code()}.Marshal()),
		Initrd: io.NewSectionReader(brokenFile{}, 0, 4096),
	}); !errors.Is(err, errBroken) {
		t.Errorf("error is %v", err)
	}
}

// FuzzLoad loads anything as a kernel; nothing may panic, whatever it says of
// itself.
func FuzzLoad(f *testing.F) {
	f.Add(boottest.ELF{Code: code()[:64], BSS: 4096, PVH: 16 * mib}.Marshal(), false)
	f.Add(boottest.ELF{Code: code()[:64], PVH: 16 * mib}.Marshal(), true)
	f.Add(boottest.BzImage{Code: code()[:1024]}.Marshal(), false)
	mem := ram(32)
	f.Fuzz(func(t *testing.T, kernel []byte, pvh bool) {
		c := Config{Kernel: boottest.File(kernel), Initrd: section(kernel), Cmdline: "quiet"}
		if pvh {
			c.Protocol = PVH
		}
		e, err := Load(mem, c)
		if err == nil && e.RIP < highMemory {
			t.Errorf("enters at %v", e.RIP)
		}
	})
}
