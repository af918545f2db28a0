package boot

import (
	"github.com/bulkhead-vm/bulkhead/boot/params"
	"github.com/bulkhead-vm/bulkhead/boot/pvh"
	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// enterLinux writes what the 64-bit boot protocol asks for.
func enterLinux(mem *memory.Memory, k kernel, initrd memory.Range, rsdp memory.GPA, cmdlineLen int) (Entry, error) {
	k.page.SetCmdline(cmdlineGPA, cmdlineLen)
	k.page.SetInitrd(initrd)
	k.page.SetRSDP(rsdp)
	k.page.SetSetupData(rngSeedGPA)
	if err := k.page.SetE820(params.E820(mem.Regions(), firmware())); err != nil {
		return Entry{}, err
	}
	table := gdt(LongMode)
	err := writeAll(mem, []block{
		{zeroPageGPA, k.page[:]},
		{rngSeedGPA, params.RNGSeed(seed())},
		{pageTablesGPA, identityMap(pageTablesGPA)},
		{gdtGPA, marshalGDT(table)},
	})
	return Entry{
		Mode: LongMode,
		RIP:  k.entry, RSP: stackGPA, RSI: zeroPageGPA,
		CR3: pageTablesGPA,
		GDT: table, GDTBase: gdtGPA, CS: selectorCode, DS: selectorData, TR: selectorTask,
	}, err
}

// enterPVH writes what the PVH boot protocol asks for.
func enterPVH(mem *memory.Memory, k kernel, initrd memory.Range, rsdp memory.GPA) (Entry, error) {
	info := pvh.StartInfo{Cmdline: cmdlineGPA, Initrd: initrd, RSDP: rsdp}
	for _, e := range params.E820(mem.Regions(), firmware()) {
		info.Memory = append(info.Memory, pvh.MapEntry{Range: e.Range, Type: uint32(e.Type)})
	}
	table := gdt(ProtectedMode)
	err := writeAll(mem, []block{
		{startInfoGPA, info.Marshal(startInfoGPA)},
		{gdtGPA, marshalGDT(table)},
	})
	return Entry{
		Mode: ProtectedMode,
		RIP:  k.entry, RSP: stackGPA, RBX: startInfoGPA,
		GDT: table, GDTBase: gdtGPA, CS: selectorCode, DS: selectorData, TR: selectorTask,
	}, err
}

type block struct {
	gpa   memory.GPA
	bytes []byte
}

func writeAll(mem *memory.Memory, blocks []block) error {
	for _, b := range blocks {
		if err := mem.WriteAt(b.bytes, b.gpa); err != nil {
			return err
		}
	}
	return nil
}
