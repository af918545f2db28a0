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
	base := BaseCmdline() + " profile=x pci=off "
	if got, want := cmdline(c, true), base+"quiet=no one.more"; got != want {
		t.Errorf("with ACPI %q, want %q", got, want)
	}
	forced := Config{Cmdline: "acpi=force", Profile: hostprofile.Profile{Cmdline: "acpi=off profile=x"}}
	if got, want := cmdline(forced, true), base+"acpi=force"; got != want {
		t.Errorf("with ACPI by force %q, want %q", got, want)
	}
	got := cmdline(c, false)
	rest, ok := strings.CutPrefix(got, base+LegacyCmdline()+" ")
	if !ok {
		t.Fatalf("%q doesn't begin with the base, the profile's words and those of a machine without ACPI", got)
	}
	words := strings.Fields(rest)
	if len(words) != 4 || !strings.HasPrefix(words[0], "virtio_mmio.device=4K@0x") || words[0] == words[1] ||
		words[2] != "quiet=no" || words[3] != "one.more" {
		t.Errorf("after the machine's words: %q", words)
	}
	if strings.Join(strings.Fields(got), " ") != got {
		t.Errorf("%q has more than one space between words", got)
	}
}

// TestPCICmdline: the guest looks for the devices itself.
func TestPCICmdline(t *testing.T) {
	c := Config{Transport: PCI, Devices: make([]Device, 2), Cmdline: "last"}
	if got, want := cmdline(c, false), BaseCmdline()+" "+LegacyCmdline()+" last"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := cmdline(c, true), BaseCmdline()+" last"; got != want {
		t.Errorf("with ACPI %q, want %q", got, want)
	}
}

// TestPorts holds the words to the ports as the devices document them.
func TestPorts(t *testing.T) {
	if got := BaseCmdline(); !strings.HasSuffix(got, " panic_port=0x505,0x1") {
		t.Error(got)
	}
	if got := LegacyCmdline(); got != "reboot=k poweroff_port=0x600,0x34" {
		t.Error(got)
	}
}

func TestHasACPI(t *testing.T) {
	for _, tt := range []struct {
		profile, cmdline string
		want             bool
	}{
		{"", "", true},
		{"", "quiet acpi=off", false},
		{"acpi=off x", "", false},
		{"acpi=off", "acpi=force", true},
		{"", "acpi=force acpi=off", false},
		{"", "acpi=off acpi=rsdt", false},
		{"", "noacpi=off acpi=office", true},
	} {
		c := Config{Cmdline: tt.cmdline, Profile: hostprofile.Profile{Cmdline: tt.profile}}
		if got := c.hasACPI(); got != tt.want {
			t.Errorf("profile %q, command line %q: %v", tt.profile, tt.cmdline, got)
		}
	}
}
