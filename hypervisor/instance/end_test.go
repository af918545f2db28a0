package instance

import "testing"

func TestTellingLine(t *testing.T) {
	for console, want := range map[string]string{
		"": "",
		"booting\r\n[ 1.0] Kernel panic - not syncing: no init\r\n[ 1.1] Kernel Offset: disabled\r\n": "[ 1.0] Kernel panic - not syncing: no init",
		"one\ntwo\r\n\n": "two",
	} {
		if got := tellingLine([]byte(console)); got != want {
			t.Errorf("of %q: %q, want %q", console, got, want)
		}
	}
}
