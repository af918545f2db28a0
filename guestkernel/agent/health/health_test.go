package health

import "testing"

func TestParse(t *testing.T) {
	tests := []struct {
		meminfo string
		want    Memory
	}{
		{"MemTotal:  1000 kB\nMemFree: 5 kB\nMemAvailable:  400 kB\nBuffers: 1 kB\n", Memory{1024000, 409600}},
		{"MemTotal: x kB\nMemAvailable: 99999999999999999999 kB\n", Memory{}},
		{"", Memory{}},
	}
	for _, tt := range tests {
		if got := parse(tt.meminfo); got != tt.want {
			t.Errorf("parse(%q) = %+v, want %+v", tt.meminfo, got, tt.want)
		}
	}
}

func TestOfThisMachine(t *testing.T) {
	m, err := ReadMemory()
	if err != nil || m.Total == 0 || m.Available == 0 || m.Available > m.Total {
		t.Errorf("memory is %+v, %v", m, err)
	}
	if Uptime() <= 0 || KernelRelease() == "" {
		t.Errorf("up for %v, kernel %q", Uptime(), KernelRelease())
	}
}
