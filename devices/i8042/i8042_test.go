package i8042

import "testing"

func TestReset(t *testing.T) {
	tests := []struct {
		name   string
		offset uint64
		data   []byte
		want   bool
	}{
		{"reset command", 4, []byte{0xfe}, true},
		{"another command", 4, []byte{0xd1}, false},
		{"reset as data", 0, []byte{0xfe}, false},
		{"two bytes", 3, []byte{0xfe, 0xfe}, false},
		{"nothing", 4, nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := false
			c := New(func() { got = true })
			c.Write(tt.offset, tt.data)
			if got != tt.want {
				t.Errorf("reset: %v, want %v", got, tt.want)
			}
		})
	}
}

func TestReadyForCommand(t *testing.T) {
	data := []byte{0xff}
	New(nil).Read(4, data)
	if data[0] != 0 {
		t.Errorf("status is %#x, want 0: Linux polls for an empty input buffer", data[0])
	}
}
