package power

import "testing"

func TestOff(t *testing.T) {
	tests := []struct {
		name   string
		offset uint64
		data   []byte
		want   bool
	}{
		{"S5", 0, []byte{Off}, true},
		{"S5 without enable", 0, []byte{TypeOff << 2}, false},
		{"S3", 0, []byte{1<<5 | 3<<2}, false},
		{"status register", 1, []byte{Off}, false},
		{"both registers", 0, []byte{Off, 0}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := false
			New(func() { got = true }).Write(tt.offset, tt.data)
			if got != tt.want {
				t.Errorf("off: %v, want %v", got, tt.want)
			}
		})
	}
}
