package kvm

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"golang.org/x/sys/unix"
)

// APIVersion is the one version of the KVM API there has been since Linux 2.6.22.
const APIVersion = 12

// DefaultPath is where the kernel puts the KVM device.
const DefaultPath = "/dev/kvm"

// System is an open KVM device: what the host can do, before any machine.
type System struct {
	*fd
	runSize int // bytes of a vCPU's kvm_run mapping
}

// OpenError says why the KVM device can't be opened, and which command mends
// that.
type OpenError struct {
	Path   string
	Err    error
	Remedy string // a command; empty if there is none
}

func (e *OpenError) Error() string {
	text := fmt.Sprintf("open %s: %v", e.Path, e.Err)
	if e.Remedy != "" {
		text += fmt.Sprintf(" (%s)", e.Remedy)
	}
	return text
}

func (e *OpenError) Unwrap() error { return e.Err }

// Open opens the KVM device at path (DefaultPath if empty) and checks its API
// version. It fails with *OpenError.
func Open(path string) (*System, error) {
	if path == "" {
		path = DefaultPath
	}
	n, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &OpenError{path, err, remedy(err)}
	}
	return NewSystem(n)
}

func remedy(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENODEV):
		return "sudo modprobe kvm_intel || sudo modprobe kvm_amd; enable virtualization in the firmware or the cloud instance if that fails"
	case errors.Is(err, fs.ErrPermission):
		return "sudo usermod -aG kvm $USER, and log in again"
	}
	return ""
}

// NewSystem takes ownership of n, a descriptor of an open KVM device, and
// closes it if it turns out to be something else.
func NewSystem(n int) (*System, error) {
	s := &System{fd: newFD(n, "KVM device")}
	version, err := s.ioctl(reqGetAPIVersion, 0)
	if err == nil && version != APIVersion {
		err = fmt.Errorf("KVM API version is %d, need %d", version, APIVersion)
	}
	if err == nil {
		s.runSize, err = s.ioctl(reqGetVCPUMmapSize, 0)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("not a usable KVM device: %w", err), s.Close())
	}
	return s, nil
}

// CheckExtension returns 0 where the host lacks c, else a positive number
// whose meaning depends on c.
func (s *System) CheckExtension(c Cap) (int, error) {
	return s.ioctl(reqCheckExtension, uintptr(c))
}

// CreateVM makes an empty machine.
func (s *System) CreateVM() (*VM, error) {
	n, err := s.ioctl(reqCreateVM, 0)
	if err != nil {
		return nil, err
	}
	return &VM{fd: newFD(n, "VM"), runSize: s.runSize}, nil
}

// maxCPUIDEntries is KVM_MAX_CPUID_ENTRIES.
const maxCPUIDEntries = 256

type cpuid2 struct {
	n       uint32
	_       uint32
	entries [maxCPUIDEntries]CPUIDEntry
}

// SupportedCPUID returns the leaves that KVM can offer a guest on this host.
func (s *System) SupportedCPUID() ([]CPUIDEntry, error) {
	arg := cpuid2{n: maxCPUIDEntries}
	if _, err := ioctlPtr(s.fd, reqGetSupportedCPUID, &arg); err != nil {
		return nil, err
	}
	return slices.Clone(arg.entries[:arg.n]), nil
}

type msrList struct {
	n       uint32
	indices [1024]uint32
}

// MSRIndexList returns the MSRs that make up a guest's state on this host.
func (s *System) MSRIndexList() ([]uint32, error) {
	arg := msrList{n: 1024}
	if _, err := ioctlPtr(s.fd, reqGetMSRIndexList, &arg); err != nil {
		return nil, err
	}
	return slices.Clone(arg.indices[:arg.n]), nil
}
