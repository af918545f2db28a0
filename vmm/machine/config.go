package machine

import (
	"fmt"
	"io"

	"github.com/bulkhead-vm/bulkhead/boot"
	"github.com/bulkhead-vm/bulkhead/vmm/hostprofile"
)

// MaxCPUs is how many vCPUs a machine may have.
const MaxCPUs = 32

// DefaultMemory is the RAM of a machine that doesn't say.
const DefaultMemory = 128 << 20

// Config describes a machine. Kernel is all it needs.
type Config struct {
	CPUs   int    // 1 to MaxCPUs; 0 means 1
	Memory uint64 // bytes; 0 means DefaultMemory

	// Kernel and Initrd are read by New and not kept.
	Kernel  io.ReaderAt
	Initrd  *io.SectionReader
	Cmdline string // beside the words the machine adds itself
	boot.Protocol

	// Console takes what the guest writes to its serial port, byte by byte;
	// it must not block. nil discards.
	Console io.Writer
	// Profile is the kind of host; see hostprofile.Detect.
	Profile hostprofile.Profile
}

func (c Config) withDefaults() (Config, error) {
	if c.CPUs == 0 {
		c.CPUs = 1
	}
	if c.CPUs < 0 || c.CPUs > MaxCPUs {
		return c, fmt.Errorf("%d CPUs: a machine has 1 to %d", c.CPUs, MaxCPUs)
	}
	if c.Memory == 0 {
		c.Memory = DefaultMemory
	}
	if c.Console == nil {
		c.Console = io.Discard
	}
	return c, nil
}
