package machine

import (
	"fmt"
	"strings"
)

// BaseCmdline is what every guest's kernel is told, on every host: kvm-clock
// goes on where a restored guest left it.
const BaseCmdline = "console=ttyS0 quiet panic=-1 reboot=k clocksource=kvm-clock tsc=unstable"

// cmdline is the kernel's command line: what every guest gets, where its
// devices are, what the host asks for, what the caller adds. Later words
// overrule earlier ones.
func cmdline(c Config) string {
	words := []string{
		BaseCmdline,
		c.Profile.Cmdline,
	}
	for i := range c.Devices {
		gpa, gsi := slot(i)
		words = append(words, fmt.Sprintf("virtio_mmio.device=%dK@%#x:%d", mmioStride>>10, gpa, gsi))
	}
	words = append(words, c.Cmdline)
	return strings.Join(strings.Fields(strings.Join(words, " ")), " ")
}
