package main

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"sort"
	"strings"

	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// symbols is what a System.map says of a kernel.
type symbols struct {
	functions []symbol // by ascending address
	end       uint64   // of the functions
	pageTable uint64   // of the kernel's own mappings
}

type symbol struct {
	address uint64
	name    string
}

// readSymbols reads a System.map.
func readSymbols(path string) (s symbols, err error) {
	f, err := os.Open(path)
	if err != nil {
		return s, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var sym symbol
		var kind string
		if _, err := fmt.Sscanf(lines.Text(), "%x %s %s", &sym.address, &kind, &sym.name); err != nil {
			continue
		}
		switch {
		case sym.name == "init_top_pgt":
			s.pageTable = sym.address
		case sym.name == "_einittext":
			s.end = sym.address
		case strings.HasPrefix(sym.name, "_e") || strings.HasPrefix(sym.name, "_s"): // of sections
		case kind == "t" || kind == "T":
			s.functions = append(s.functions, sym)
		}
	}
	slices.SortFunc(s.functions, func(a, b symbol) int { return cmp.Compare(a.address, b.address) })
	if err := lines.Err(); err != nil {
		return s, err
	}
	if len(s.functions) == 0 || s.end == 0 || s.pageTable == 0 {
		return s, fmt.Errorf("%s is not the System.map of a kernel", path)
	}
	return s, nil
}

// kernelBase is where the kernel's half of the address space begins, kernelMap
// where its image sees guest-physical address 0
// (Documentation/x86/x86_64/mm.rst).
const kernelBase, kernelMap = 1 << 63, 0xffffffff80000000

func (s symbols) name(rip uint64) string {
	if rip < kernelBase {
		return "(user code)"
	}
	i := sort.Search(len(s.functions), func(i int) bool { return s.functions[i].address > rip })
	if i == 0 {
		return fmt.Sprintf("%#x", rip)
	}
	return s.functions[i-1].name
}

// stackSize is that of a kernel thread (THREAD_SIZE), and its alignment.
const stackSize = 16 << 10

// stack returns the functions that a kernel stack seems to return to: every
// word from rsp to its end that points into one. Some of them are stale.
func (s symbols) stack(m *memory.Memory, rsp uint64) (names []string) {
	for at := rsp &^ 7; at >= kernelBase && at < (rsp|(stackSize-1)); at += 8 {
		gpa, ok := s.translate(m, at)
		if !ok {
			return names
		}
		word, err := m.Slice(gpa, 8)
		if err != nil {
			return names
		}
		if to := binary.LittleEndian.Uint64(word); to > s.functions[0].address && to < s.end {
			names = append(names, s.name(to))
		}
	}
	return names
}

// translate walks the kernel's own page tables (Intel SDM volume 3, 4.5.4).
func (s symbols) translate(m *memory.Memory, address uint64) (memory.GPA, bool) {
	const present, large, frame = 1, 1 << 7, 0x000ffffffffff000
	table := memory.GPA(s.pageTable - kernelMap)
	for shift := 39; ; shift -= 9 {
		entry, err := m.Slice(table+memory.GPA(address>>shift&511*8), 8)
		if err != nil {
			return 0, false
		}
		e := binary.LittleEndian.Uint64(entry)
		if e&present == 0 {
			return 0, false
		}
		if shift == 12 || e&large != 0 {
			mask := uint64(1)<<shift - 1
			return memory.GPA(e&frame&^mask | address&mask), true
		}
		table = memory.GPA(e & frame)
	}
}
