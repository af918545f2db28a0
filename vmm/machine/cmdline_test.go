package machine

import (
	"strings"
	"testing"

	"github.com/bulkhead-vm/bulkhead/vmm/hostprofile"
)

func TestCmdline(t *testing.T) {
	c := Config{
		Cmdline: " quiet=no\n one.more ",
		Profile: hostprofile.Profile{Cmdline: "profile=x"},
		Devices: make([]Device, 2),
	}
	got := cmdline(c)
	base, rest, ok := strings.Cut(got, " profile=x ")
	if !ok || base != BaseCmdline() {
		t.Fatalf("%q doesn't begin with the base and the profile's words", got)
	}
	words := strings.Fields(rest)
	if len(words) != 4 || !strings.HasPrefix(words[0], "virtio_mmio.device=4K@0x") || words[0] == words[1] ||
		words[2] != "quiet=no" || words[3] != "one.more" {
		t.Errorf("after the profile's words: %q", words)
	}
	if strings.Join(strings.Fields(got), " ") != got {
		t.Errorf("%q has more than one space between words", got)
	}
}

// TestBaseCmdline holds the words to the ports as the devices document them.
func TestBaseCmdline(t *testing.T) {
	if got := BaseCmdline(); !strings.HasSuffix(got, " poweroff_port=0x600,0x34 panic_port=0x505,0x1") {
		t.Error(got)
	}
}
