package aml

import (
	"bytes"
	"testing"
)

// TestEncoding holds each construct to its bytes by the grammar of chapter 20.
func TestEncoding(t *testing.T) {
	tests := []struct {
		name string
		got  []byte
		want string
	}{
		{"zero", Integer(0), "\x00"},
		{"one", Integer(1), "\x01"},
		{"byte", Integer(0xff), "\x0a\xff"},
		{"word", Integer(0x100), "\x0b\x00\x01"},
		{"dword", Integer(0x10000), "\x0c\x00\x00\x01\x00"},
		{"qword", Integer(1 << 32), "\x0e\x00\x00\x00\x00\x01\x00\x00\x00"},
		{"string", String("ACPI0013"), "\x0dACPI0013\x00"},
		{"EISA ID", EISAID("PNP0501"), "\x0c\x41\xd0\x05\x01"},
		{"EISA ID with letters", EISAID("PNP0C0C"), "\x0c\x41\xd0\x0c\x0c"},
		{"package", Package(Integer(5), Integer(0)), "\x12\x05\x02\x0a\x05\x00"},
		{"name", Name("_UID", Integer(1)), "\x08_UID\x01"},
		{"short name", Name("A", Integer(0)), "\x08A___\x00"},
		{"root name", Name(`\_S5`, Integer(0)), "\x08\\_S5_\x00"},
		{"scope", Scope(`\_SB`), "\x10\x06\\_SB_"},
		{"device", Device("GED", Name("_UID", Integer(0))), "\x5b\x82\x0bGED_\x08_UID\x00"},
		{"method", Method("_EVT", 1, Notify(`\_SB.PWRB`, 0x80)), "\x14\x13_EVT\x09\x86\\\x2e_SB_PWRB\x0a\x80"},
		{"three names", Notify("A.B.C", 0), "\x86\x2f\x03A___B___C___\x00"},
		{"if", If(Equal(Arg(0), Integer(3)), Notify("A", 1)), "\xa0\x0b\x93\x68\x0a\x03\x86A___\x01"},
		{"no resources", Resources(), "\x11\x05\x0a\x02\x79\x00"},
		{"ports", Resources(Ports(0x3f8, 8)), "\x11\x0d\x0a\x0a\x47\x01\xf8\x03\xf8\x03\x01\x08\x79\x00"},
		{"memory", Resources(Memory(0xd0001000, 0x200)), "\x11\x11\x0a\x0e\x86\x09\x00\x01\x00\x10\x00\xd0\x00\x02\x00\x00\x79\x00"},
		{"interrupt", Resources(Interrupt(5)), "\x11\x0e\x0a\x0b\x89\x06\x00\x03\x01\x05\x00\x00\x00\x79\x00"},
	}
	for _, tt := range tests {
		if string(tt.got) != tt.want {
			t.Errorf("%s: % x, want % x", tt.name, tt.got, tt.want)
		}
	}
}

// TestLengths has the bodies at which a length takes one byte more.
func TestLengths(t *testing.T) {
	for _, tt := range []struct {
		body int
		want string
	}{
		{0, "\x01"},
		{62, "\x3f"},
		{63, "\x41\x04"}, // 65
		{0xfff - 2, "\x4f\xff"},
		{0xfff - 1, "\x81\x00\x01"}, // 0x1001
		{0xfffff - 3, "\x8f\xff\xff"},
		{0xfffff - 2, "\xc1\x00\x00\x01"}, // 0x100001
	} {
		body := make([]byte, tt.body)
		got := sized([]byte{opScope}, body)
		if want := append([]byte("\x10"+tt.want), body...); !bytes.Equal(got, want) {
			t.Errorf("%#x bytes: length is % x, want % x", tt.body, got[1:len(got)-tt.body], tt.want)
		}
	}
}

// TestBadEISAID: nonsense in, nonsense out, and nothing worse.
func TestBadEISAID(t *testing.T) {
	for _, id := range []string{"", "PN", "PNP", "PNPX", "PNP12345", "\xff\xff\xff\xff"} {
		if got := EISAID(id); len(got) != 5 {
			t.Errorf("%q: % x", id, got)
		}
	}
}
