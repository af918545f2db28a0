package machine

import (
	"errors"
	"fmt"
	"io"

	"github.com/bulkhead-vm/bulkhead/boot"
	"github.com/bulkhead-vm/bulkhead/devices/virtio"
	"github.com/bulkhead-vm/bulkhead/vmm/hostprofile"
	"github.com/bulkhead-vm/bulkhead/vmm/memory"
	"github.com/bulkhead-vm/bulkhead/vmm/timeline"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// MaxCPUs is how many vCPUs a machine may have.
const MaxCPUs = 32

// DefaultMemory is the RAM of a machine that doesn't say.
const DefaultMemory = 128 << 20

// Config describes a machine. Kernel is all it needs.
type Config struct {
	CPUs   int    // 1 to MaxCPUs; 0 means 1
	Memory uint64 // bytes; 0 means DefaultMemory
	// HugePages has the RAM that New makes be of pages of 2 MiB, where the host has
	// them.
	HugePages bool

	// Kernel and Initrd are read by New and not kept.
	Kernel io.ReaderAt
	Initrd *io.SectionReader
	// Cmdline are words beside those the machine adds itself. Two of them mean
	// something to the machine as well: acpi=off makes it one without ACPI,
	// acpi=force one with it where the profile has it off.
	Cmdline string
	boot.Protocol
	// GenerationID is the guest's generation ID, if the machine has ACPI: the
	// first, or the next of one that goes on. Zeroes: made up.
	GenerationID [16]byte

	// State, if not nil, is where another machine was that was saved, and RAM
	// what it had: this machine goes on from there, and needs no kernel. CPUs,
	// Memory and ACPI are as that one's were. RAM becomes the machine's, even if
	// New fails. The devices are such as that one had, in the same order.
	State *statev1.Machine
	RAM   *memory.Memory

	// Devices are plugged in in this order. They stay the caller's, to be
	// closed after the machine.
	Devices   []Device
	Transport Transport // what they are plugged into
	// Report hears, from any goroutine, of a driver that broke the protocol
	// of a device, with the evidence. nil: nobody does.
	Report func(device string, err error)

	// Console takes what the guest writes to its serial port, byte by byte;
	// it must not block. nil discards.
	Console io.Writer
	// Profile is the kind of host; see hostprofile.Detect.
	Profile hostprofile.Profile
	// Timeline hears of the stages of the start. nil: nobody does.
	Timeline *timeline.Timeline
}

// Device is a virtio device with a name for reports.
type Device struct {
	Name string
	virtio.Device
}

// hasACPI reports whether the machine has ACPI.
func (c Config) hasACPI() bool {
	if c.State != nil {
		return c.State.GetAcpi()
	}
	return usesACPI(c.Profile.Cmdline + " " + c.Cmdline)
}

func (c Config) withDefaults() (Config, error) {
	if c.State != nil {
		if c.CPUs, c.Memory = len(c.State.GetCpus()), c.RAM.Size(); c.CPUs == 0 {
			return c, errors.New("the saved machine has no processors")
		}
	}
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
	if c.Report == nil {
		c.Report = func(string, error) {}
	}
	most := c.Transport.maxDevices()
	if most == 0 {
		return c, fmt.Errorf("%v: there is no such transport", c.Transport)
	}
	if len(c.Devices) > most {
		return c, fmt.Errorf("%d devices: a machine has at most %d by %v", len(c.Devices), most, c.Transport)
	}
	return c, nil
}
