package machine

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bulkhead-vm/bulkhead/devices/power"
	"github.com/bulkhead-vm/bulkhead/devices/pvpanic"
)

// BaseCmdline is what every guest's kernel is told, on every host. kvm-clock
// goes on where a restored guest left it; files of the initramfs keep the
// pages they were loaded in if they are on a ramfs; the port tells a panic from
// other resets.
func BaseCmdline() string {
	return fmt.Sprintf("console=ttyS0 quiet panic=-1 clocksource=kvm-clock tsc=unstable rootfstype=ramfs panic_port=%#x,%#x",
		pvpanic.Port, pvpanic.Panicked)
}

// noPCI keeps a kernel from looking for what isn't there.
const noPCI = "pci=off"

// LegacyCmdline is what kernels of machines without ACPI are told beside that:
// how to reset the machine and how to turn it off.
func LegacyCmdline() string {
	return fmt.Sprintf("reboot=k poweroff_port=%#x,%#x", power.PortControl, power.Off)
}

// cmdline is the kernel's command line: what every guest gets, what the host
// asks for, what ACPI doesn't tell, what the caller adds. Later words overrule
// earlier ones.
func cmdline(c Config, hasACPI bool) string {
	words := []string{
		BaseCmdline(),
		c.Profile.Cmdline,
	}
	if c.Transport == MMIO {
		words = append(words, noPCI)
	}
	if !hasACPI {
		words = append(words, LegacyCmdline())
		if c.Transport == MMIO {
			words = append(words, mmioCmdline(len(c.Devices)))
		}
	}
	words = append(words, c.Cmdline)
	all := strings.Fields(strings.Join(words, " "))
	if hasACPI {
		// Linux takes back only half of it for an acpi=force after it.
		all = slices.DeleteFunc(all, func(word string) bool { return word == noACPI })
	}
	return strings.Join(all, " ")
}

// mmioCmdline says where that many devices are.
func mmioCmdline(devices int) string {
	var words []string
	for i := range devices {
		gpa, gsi := slot(i)
		words = append(words, fmt.Sprintf("virtio_mmio.device=%dK@%#x:%d", mmioStride>>10, gpa, gsi))
	}
	return strings.Join(words, " ")
}
