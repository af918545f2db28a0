package machine

import (
	"fmt"
	"strings"
)

// cmdline is the kernel's command line: what every guest gets, where its
// devices are, what the host asks for, what the caller adds. Later words
// overrule earlier ones.
func cmdline(c Config) string {
	words := []string{
		"console=ttyS0 quiet panic=-1 reboot=k",
		"clocksource=kvm-clock tsc=unstable", // time goes on where a restored guest left it
		c.Profile.Cmdline,
	}
	for i := range c.Devices {
		gpa, gsi := slot(i)
		words = append(words, fmt.Sprintf("virtio_mmio.device=%dK@%#x:%d", mmioStride>>10, gpa, gsi))
	}
	words = append(words, c.Cmdline)
	return strings.Join(strings.Fields(strings.Join(words, " ")), " ")
}
