package acpi

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"reflect"
	"testing"

	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

const at = memory.GPA(0xe0000)

// machine has n virtio devices and one of everything else.
func machine(n int) Config {
	c := Config{
		Power:   Power{SleepControl: 0x600, SleepStatus: 0x601, Reset: 0x602, SleepOff: 5, ResetValue: 1},
		Devices: []Device{SerialPort{Port: 0x3f8, Count: 8, GSI: 4}},
	}
	for i := range n {
		c.Devices = append(c.Devices, VirtioMMIO{
			UID: i, Window: memory.Range{Start: 0xd0000000 + memory.GPA(i)<<12, Size: 0x1000}, GSI: 5 + uint32(i),
		})
	}
	return Config{c.Power, append(c.Devices, PowerButton{GSI: 1}, Generation{GPA: 0x1_000f_0000, GSI: 3})}
}

// tables follows the pointers from the RSDP on, as an operating system does,
// and checks every checksum.
func tables(t *testing.T, b []byte) map[string][]byte {
	t.Helper()
	le := binary.LittleEndian
	if string(b[:8]) != "RSD PTR " || b[15] != 2 || le.Uint32(b[20:]) != 36 || sum(b[:20]) != 0 || sum(b[:36]) != 0 {
		t.Fatalf("RSDP is % x", b[:36])
	}
	find := func(gpa uint64) []byte {
		table := b[gpa-uint64(at):]
		table = table[:le.Uint32(table[4:])]
		if gpa%8 != 0 || sum(table) != 0 {
			t.Fatalf("table at %#x: % x", gpa, table)
		}
		return table
	}
	found := map[string][]byte{}
	xsdt := find(le.Uint64(b[24:]))
	for p := xsdt[36:]; len(p) > 0; p = p[8:] {
		table := find(le.Uint64(p))
		found[string(table[:4])] = table
	}
	dsdt := find(le.Uint64(found["FACP"][140:]))
	found["DSDT"] = dsdt
	found["XSDT"] = xsdt
	for signature, table := range found {
		if string(table[:4]) != signature || string(table[10:24]) != "BULKHDBULKHEAD" {
			t.Errorf("header of the %s: % x", signature, table[:36])
		}
	}
	return found
}

func sum(b []byte) (s byte) {
	for _, v := range b {
		s += v
	}
	return s
}

func TestFADT(t *testing.T) {
	fadt := tables(t, Build(at, 1, machine(3)))["FACP"]
	le := binary.LittleEndian
	if len(fadt) != 276 || fadt[8] != 6 {
		t.Fatalf("%d bytes, revision %d", len(fadt), fadt[8])
	}
	flags := le.Uint32(fadt[112:])
	if flags != 1<<20|1<<10|1<<5|1<<4|1<<0 {
		t.Errorf("flags are %#x", flags)
	}
	for offset, port := range map[int]uint16{116: 0x602, 244: 0x600, 256: 0x601} {
		want := append([]byte{1, 8, 0, 1}, le.AppendUint64(nil, uint64(port))...)
		if got := fadt[offset : offset+12]; !bytes.Equal(got, want) {
			t.Errorf("register at %d is % x, want % x", offset, got, want)
		}
	}
	if fadt[128] != 1 {
		t.Errorf("reset value is %d", fadt[128])
	}
	// No register of fixed hardware: they'd be from the SCI to CENTURY.
	if b := fadt[46:109]; !bytes.Equal(b, make([]byte, len(b))) {
		t.Errorf("fixed hardware: % x", b)
	}
}

func TestMADT(t *testing.T) {
	for _, cpus := range []int{1, 2, 32, 255} {
		madt := tables(t, Build(at, cpus, machine(1)))["APIC"]
		le := binary.LittleEndian
		if le.Uint32(madt[36:]) != 0xfee00000 || le.Uint32(madt[40:]) != 0 {
			t.Errorf("header % x", madt[36:44])
		}
		kinds := map[byte]int{}
		for b := madt[44:]; len(b) > 0; b = b[b[1]:] {
			switch b[0] {
			case 0:
				if id := byte(kinds[0]); b[2] != id || b[3] != id || le.Uint32(b[4:]) != 1 {
					t.Errorf("processor %d: % x", id, b[:8])
				}
			case 1:
				if le.Uint32(b[4:]) != 0xfec00000 || le.Uint32(b[8:]) != 0 {
					t.Errorf("IOAPIC: % x", b[:12])
				}
			}
			kinds[b[0]]++
		}
		if want := map[byte]int{0: cpus, 1: 1, 4: 1}; !reflect.DeepEqual(kinds, want) {
			t.Errorf("%d CPUs: entries by type %v, want %v", cpus, kinds, want)
		}
	}
}

func TestDSDT(t *testing.T) {
	const devices = 19
	dsdt := tables(t, Build(at, 1, machine(devices)))["DSDT"]
	if dsdt[8] != 2 {
		t.Errorf("revision %d has integers of 32 bits", dsdt[8])
	}
	n := decode(t, dsdt[36:])
	want := map[string]any{
		`\_SB`: true,
		`\_S5`: []any{uint64(5), uint64(0), uint64(0), uint64(0)},

		`\_SB.COM1`:      nil,
		`\_SB.COM1._HID`: uint64(0x0105d041),
		`\_SB.COM1._CRS`: []byte("\x47\x01\xf8\x03\xf8\x03\x01\x08\x89\x06\x00\x03\x01\x04\x00\x00\x00\x79\x00"),
		`\_SB.PWRB`:      nil,
		`\_SB.PWRB._HID`: uint64(0x0c0cd041),
		`\_SB.VGEN`:      nil,
		`\_SB.VGEN._HID`: "BULK0001",
		`\_SB.VGEN._CID`: []any{"VM_Gen_Counter", "VMGENCTR"},
		`\_SB.VGEN._DDN`: "VM_Gen_Counter",
		`\_SB.VGEN.ADDR`: []any{uint64(0xf0000), uint64(1)},
		`\_SB.GED`:       nil,
		`\_SB.GED._HID`:  "ACPI0013",
		`\_SB.GED._EVT`:  uint64(1),
		`\_SB.GED._CRS`:  []byte("\x89\x06\x00\x03\x01\x01\x00\x00\x00\x89\x06\x00\x03\x01\x03\x00\x00\x00\x79\x00"),
	}
	for i := range devices {
		path := fmt.Sprintf(`\_SB.V%03X`, i)
		crs := binary.LittleEndian.AppendUint32([]byte{0x86, 9, 0, 1}, 0xd0000000+uint32(i)<<12)
		crs = append(crs, 0, 0x10, 0, 0, 0x89, 6, 0, 3, 1, 5+byte(i), 0, 0, 0, 0x79, 0)
		want[path], want[path+"._HID"], want[path+"._UID"], want[path+"._CRS"] = nil, "LNRO0005", uint64(i), crs
	}
	for path, value := range want {
		if got, ok := n.objects[path]; !ok || !reflect.DeepEqual(got, value) {
			t.Errorf("%s is %#v, want %#v", path, got, value)
		}
	}
	if len(n.objects) != len(want) {
		t.Errorf("%d objects, want %d: %v", len(n.objects), len(want), n.objects)
	}
	wantNotifies := map[uint64]notification{1: {`\_SB.PWRB`, 0x80}, 3: {`\_SB.VGEN`, 0x80}}
	if !reflect.DeepEqual(n.notifies, wantNotifies) {
		t.Errorf("events are %v, want %v", n.notifies, wantNotifies)
	}
}

// TestPCIRoot: numbers of one bus, two ports and a window.
func TestPCIRoot(t *testing.T) {
	root := PCIRoot{Ports: 0xcf8, PortCount: 8, Window: memory.Range{Start: 0xe0000000, Size: 16 << 20}}
	n := decode(t, tables(t, Build(at, 1, Config{Devices: []Device{root}}))["DSDT"][36:])
	want := "\x88\x0d\x00\x02\x0c\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00" +
		"\x47\x01\xf8\x0c\xf8\x0c\x01\x08" +
		"\x87\x17\x00\x00\x0c\x01\x00\x00\x00\x00\x00\x00\x00\xe0\xff\xff\xff\xe0\x00\x00\x00\x00\x00\x00\x00\x01" +
		"\x79\x00"
	if got := n.objects[`\_SB.PCI0._CRS`]; !reflect.DeepEqual(got, []byte(want)) {
		t.Errorf("_CRS is % x, want % x", got, want)
	}
	if got := n.objects[`\_SB.PCI0._HID`]; got != uint64(0x030ad041) {
		t.Errorf("_HID is %#x", got)
	}
}

// TestNoEvents: without any there is nothing to turn interrupts into.
func TestNoEvents(t *testing.T) {
	n := decode(t, tables(t, Build(at, 1, Config{}))["DSDT"][36:])
	if len(n.devices) != 0 {
		t.Errorf("devices of nothing: %v", n.devices)
	}
}
