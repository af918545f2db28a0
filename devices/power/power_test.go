package power

import "testing"

func TestSwitch(t *testing.T) {
	tests := []struct {
		name   string
		offset uint64
		data   []byte
		want   string
	}{
		{"S5", 0, []byte{Off}, "off"},
		{"S5, reserved bits set", 0, []byte{Off | 0xc3}, "off"},
		{"S5 without enable", 0, []byte{TypeOff << 2}, ""},
		{"S3", 0, []byte{1<<5 | 3<<2}, ""},
		{"status register", 1, []byte{Off}, ""},
		{"both sleep registers", 0, []byte{Off, 0}, ""},
		{"all registers", 0, []byte{Off, 0, Reset, 0}, ""},
		{"reset", 2, []byte{Reset}, "reset"},
		{"another value to the reset register", 2, []byte{0xff}, ""},
		{"S5 to the reset register", 2, []byte{Off}, ""},
		{"reset to the control register", 0, []byte{Reset}, ""},
		{"nothing", 0, nil, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			s := New(func() { got += "off" }, func() { got += "reset" })
			s.Write(tt.offset, tt.data)
			if got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

func TestReadsZero(t *testing.T) {
	for _, n := range []int{1, 2, 3} {
		data := []byte{0xff, 0xff, 0xff}[:n]
		New(nil, nil).Read(0, data)
		for _, v := range data {
			if v != 0 {
				t.Errorf("%d bytes read % x", n, data)
			}
		}
	}
}

// FuzzSwitch accesses the registers as a guest may: only the two commands do
// anything.
func FuzzSwitch(f *testing.F) {
	f.Add(uint64(0), []byte{Off})
	f.Add(uint64(2), []byte{Reset})
	f.Add(uint64(0), []byte{Off, 0, Reset})
	f.Add(uint64(1), []byte{0x80})
	f.Fuzz(func(t *testing.T, offset uint64, data []byte) {
		got, want := "", ""
		switch {
		case len(data) == 1 && offset == 0 && data[0]&0x3c == Off:
			want = "off"
		case len(data) == 1 && offset == 2 && data[0] == Reset:
			want = "reset"
		}
		s := New(func() { got += "off" }, func() { got += "reset" })
		s.Write(offset, data)
		s.Read(offset, data)
		if got != want {
			t.Errorf("% x to %d did %q, want %q", data, offset, got, want)
		}
		for _, v := range data {
			if v != 0 {
				t.Errorf("%d reads % x", offset, data)
			}
		}
	})
}
