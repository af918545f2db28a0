package power

import "testing"

func TestOffPort(t *testing.T) {
	tests := []struct {
		line  string
		port  uint16
		value uint8
		ok    bool
	}{
		{"quiet poweroff_port=0x600,0x34 panic=-1", 0x600, 0x34, true},
		{"poweroff_port=1536,52", 0x600, 0x34, true},
		{"poweroff_port=1,2 poweroff_port=3,4", 3, 4, true},
		{"poweroff_port=1,2 poweroff_port=x,4", 0, 4, false},
		{"poweroff_port=0x600", 0x600, 0, false},
		{"poweroff_port=0x10000,1", 0xffff, 1, false},
		{"poweroff_port=1,256", 1, 255, false},
		{"poweroff_port=", 0, 0, false},
		{"", 0, 0, false},
	}
	for _, tt := range tests {
		if port, value, ok := offPort(tt.line); ok != tt.ok || ok && (port != tt.port || value != tt.value) {
			t.Errorf("%q: %#x, %#x, %v", tt.line, port, value, ok)
		}
	}
}
