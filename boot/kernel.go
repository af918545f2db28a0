package boot

import (
	"errors"
	"fmt"
	"io"

	"github.com/bulkhead-vm/bulkhead/boot/bzimage"
	"github.com/bulkhead-vm/bulkhead/boot/elf"
	"github.com/bulkhead-vm/bulkhead/boot/params"
	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// kernel is a loaded kernel, whatever its file format was.
type kernel struct {
	mode       Mode
	entry      memory.GPA
	start, end memory.GPA
	initrdMax  memory.GPA // the initrd ends at or before
	maxCmdline int
	page       *params.Page // LongMode only
}

// loadKernel loads c.Kernel, whatever its format. Errors name the file, if it
// has a name.
func loadKernel(mem *memory.Memory, c Config) (kernel, error) {
	k, err := loadFormat(mem, c)
	if err != nil {
		if f, ok := c.Kernel.(interface{ Name() string }); ok {
			err = fmt.Errorf("%s: %w", f.Name(), err)
		}
		return kernel{}, err
	}
	return k, nil
}

func loadFormat(mem *memory.Memory, c Config) (kernel, error) {
	var head [bzimage.MagicOffset + len(bzimage.Magic)]byte
	n, err := c.Kernel.ReadAt(head[:], 0)
	switch {
	case err != nil && err != io.EOF:
		return kernel{}, fmt.Errorf("read kernel: %w", err)
	case n == 0:
		return kernel{}, errors.New("kernel file is empty")
	case string(head[:len(elf.Magic)]) == elf.Magic:
		return loadELF(mem, c)
	case string(head[bzimage.MagicOffset:]) == bzimage.Magic:
		return loadBzImage(mem, c)
	case string(head[arm64MagicOffset:][:len(arm64Magic)]) == arm64Magic:
		return kernel{}, errors.New("kernel is for another architecture: aarch64, need x86-64")
	}
	return kernel{}, errors.New("file is not a kernel: neither an ELF vmlinux nor a bzImage")
}

// The mark of an arm64 Image; Documentation/arch/arm64/booting.rst, section 4.
const (
	arm64Magic       = "ARM\x64"
	arm64MagicOffset = 56
)

func loadELF(mem *memory.Memory, c Config) (kernel, error) {
	k, err := elf.Load(mem, c.Kernel)
	if err != nil {
		return kernel{}, err
	}
	out := kernel{
		entry:      k.Entry,
		start:      k.Start,
		end:        k.End,
		initrdMax:  memory.HoleStart,
		maxCmdline: params.DefaultMaxCmdline,
	}
	switch {
	case c.Protocol == PVH && k.PVH == 0:
		return kernel{}, errors.New("kernel has no PVH entry point (CONFIG_PVH)")
	case c.Protocol == PVH, !k.Contains(k.Entry) && k.PVH != 0:
		out.mode, out.entry = ProtectedMode, k.PVH
	default:
		out.page = params.New()
	}
	if !k.Contains(out.entry) {
		return kernel{}, fmt.Errorf("kernel's entry point %v lies outside its segments", out.entry)
	}
	return out, checkStart(out)
}

func loadBzImage(mem *memory.Memory, c Config) (kernel, error) {
	if c.Protocol == PVH {
		return kernel{}, errors.New("a bzImage has no PVH entry point: give the vmlinux")
	}
	k, err := bzimage.Load(mem, c.Kernel)
	if err != nil {
		return kernel{}, err
	}
	out := kernel{
		entry:      k.Entry64,
		start:      k.Start,
		end:        k.End,
		initrdMax:  k.InitrdMax + 1,
		maxCmdline: k.MaxCmdline,
		page:       params.FromSetupHeader(k.SetupHeader),
	}
	return out, checkStart(out)
}

// checkStart keeps kernels off the tables of the first MiB.
func checkStart(k kernel) error {
	if k.start < highMemory {
		return fmt.Errorf("kernel wants to be loaded at %v, below 1 MiB", k.start)
	}
	return nil
}
