package forward

import (
	"strconv"
	"testing"
)

func TestParseHeader(t *testing.T) {
	tests := []struct {
		line string
		port uint16 // 0: an error
	}{
		{"bulkhead-forward/1 80", 80},
		{"bulkhead-forward/1 65535", 65535},
		{"bulkhead-forward/1 65536", 0},
		{"bulkhead-forward/1 0", 0},
		{"bulkhead-forward/1 080", 0},
		{"bulkhead-forward/1 -1", 0},
		{"bulkhead-forward/1 +1", 0},
		{"bulkhead-forward/1 0x50", 0},
		{"bulkhead-forward/1 8_0", 0},
		{"bulkhead-forward/1  80", 0},
		{"bulkhead-forward/1 80 ", 0},
		{"bulkhead-forward/1 80\r", 0},
		{"bulkhead-forward/1 ", 0},
		{"bulkhead-forward/1", 0},
		{"bulkhead-stdio/1 80", 0},
		{"", 0},
	}
	for _, tt := range tests {
		if port, err := parseHeader(tt.line); port != tt.port || (err == nil) != (tt.port != 0) {
			t.Errorf("parseHeader(%q) = %d, %v; want %d", tt.line, port, err, tt.port)
		}
	}
}

func FuzzParseHeader(f *testing.F) {
	f.Add("bulkhead-forward/1 80")
	f.Add("bulkhead-forward/1 080")
	f.Fuzz(func(t *testing.T, line string) {
		port, err := parseHeader(line)
		if err == nil && (port == 0 || line != headerMagic+" "+strconv.Itoa(int(port))) {
			t.Errorf("%q was taken for port %d", line, port)
		}
	})
}
