package streams

import (
	"strings"
	"testing"
)

func TestParseHeader(t *testing.T) {
	tests := []struct {
		line string
		ok   bool
	}{
		{"bulkhead-stdio/1 a stdio", true},
		{"bulkhead-stdio/1 A-z_0.9 stderr", true},
		{"bulkhead-stdio/1 " + strings.Repeat("x", 64) + " stdio", true},
		{"bulkhead-stdio/1 " + strings.Repeat("x", 65) + " stdio", false},
		{"bulkhead-stdio/1 a file", true},
		{"bulkhead-stdio/1 a stdout", false},
		{"bulkhead-stdio/2 a stdio", false},
		{"bulkhead-stdio/1  stdio", false},
		{"bulkhead-stdio/1 a/b stdio", false},
		{"bulkhead-stdio/1 a stdio ", false},
		{"bulkhead-stdio/1 a stdio\r", false},
		{"", false},
	}
	for _, tt := range tests {
		if _, err := parseHeader(tt.line); (err == nil) != tt.ok {
			t.Errorf("parseHeader(%q): %v", tt.line, err)
		}
	}
}

func FuzzParseHeader(f *testing.F) {
	f.Add("bulkhead-stdio/1 a stdio")
	f.Add("bulkhead-stdio/1 A-z_0.9 file")
	f.Add("bulkhead-stdio/1  stdio")
	f.Fuzz(func(t *testing.T, line string) {
		k, err := parseHeader(line)
		if err != nil {
			return
		}
		if err := CheckID(k.id); err != nil || line != headerMagic+" "+k.id+" "+k.stream {
			t.Errorf("%q was taken for %+v, %v", line, k, err)
		}
	})
}
