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

// FuzzPorts writes and reads whatever a guest can: it resets by one command only,
// and reads nothing but zeroes.
func FuzzPorts(f *testing.F) {
	f.Add(uint64(4), []byte{0xfe})
	f.Add(uint64(0), []byte{0xfe, 0xfe, 0xfe, 0xfe, 0xfe})
	f.Add(uint64(1<<63), []byte{})
	f.Fuzz(func(t *testing.T, offset uint64, data []byte) {
		resets := 0
		c := New(func() { resets++ })
		c.Write(offset, data)
		want := 0
		if offset == 4 && string(data) == "\xfe" {
			want = 1
		}
		if resets != want {
			t.Errorf("%d resets, want %d", resets, want)
		}
		c.Read(offset, data)
		for _, b := range data {
			if b != 0 {
				t.Fatalf("read % x", data)
			}
		}
	})
}
