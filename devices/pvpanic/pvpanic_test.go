package pvpanic

import "testing"

func TestEvents(t *testing.T) {
	tests := []struct {
		name  string
		event byte
		want  bool
	}{
		{"panicked", 1, true},
		{"crash kernel loaded", 2, false},
		{"unknown", 0x80, false},
		{"nothing", 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := false
			d := New(func() { got = true })
			d.Write(0, []byte{tt.event})
			if got != tt.want {
				t.Errorf("panicked: %v, want %v", got, tt.want)
			}
		})
	}
}

func TestOffersEvents(t *testing.T) {
	data := []byte{0}
	New(nil).Read(0, data)
	if data[0] != 3 {
		t.Errorf("offers %#x, want 3", data[0])
	}
}
