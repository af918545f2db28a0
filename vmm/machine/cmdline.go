package machine

import (
	"fmt"
	"strings"

	"github.com/bulkhead-vm/bulkhead/devices/power"
	"github.com/bulkhead-vm/bulkhead/devices/pvpanic"
)

// BaseCmdline is what every guest's kernel is told, on every host. kvm-clock
// goes on where a restored guest left it; files of the initramfs keep the
// pages they were loaded in if they are on a ramfs; there is no PCI and no ACPI
// to look for; the ports tell a power-off and a panic from other resets.
func BaseCmdline() string {
	return fmt.Sprintf("console=ttyS0 quiet panic=-1 reboot=k clocksource=kvm-clock tsc=unstable rootfstype=ramfs pci=off acpi=off"+
		" poweroff_port=%#x,%#x panic_port=%#x,%#x",
		power.PortControl, power.Off, pvpanic.Port, pvpanic.Panicked)
}

// cmdline is the kernel's command line: what every guest gets, where its
// devices are, what the host asks for, what the caller adds. Later words
// overrule earlier ones.
func cmdline(c Config) string {
	words := []string{
		BaseCmdline(),
		c.Profile.Cmdline,
	}
	for i := range c.Devices {
		gpa, gsi := slot(i)
		words = append(words, fmt.Sprintf("virtio_mmio.device=%dK@%#x:%d", mmioStride>>10, gpa, gsi))
	}
	words = append(words, c.Cmdline)
	return strings.Join(strings.Fields(strings.Join(words, " ")), " ")
}
