package kvm

import (
	"fmt"
	"slices"
)

// SetCPUID sets what CPUID answers. It comes before MSRs: which of them exist
// follows from it. Some hosts keep their own values for some leaves; CPUID
// tells what the guest will see.
func (v *VCPU) SetCPUID(entries []CPUIDEntry) error {
	arg := cpuid2{n: uint32(len(entries))}
	if copy(arg.entries[:], entries) < len(entries) {
		return fmt.Errorf("%s: %d entries, at most %d", reqSetCPUID2, len(entries), maxCPUIDEntries)
	}
	_, err := ioctlPtr(v.fd, reqSetCPUID2, &arg)
	return err
}

// CPUID returns what CPUID answers.
func (v *VCPU) CPUID() ([]CPUIDEntry, error) {
	arg := cpuid2{n: maxCPUIDEntries}
	if _, err := ioctlPtr(v.fd, reqGetCPUID2, &arg); err != nil {
		return nil, err
	}
	return slices.Clone(arg.entries[:arg.n]), nil
}

// maxMSRs bounds one transfer of MSRs: the kernel takes fewer than its
// MAX_IO_MSRS of 256.
const maxMSRs = 255

type msrs struct {
	n       uint32
	_       uint32
	entries [maxMSRs]MSREntry
}

// MSRError says that the host doesn't know an MSR, or refuses the value.
type MSRError struct {
	Index   uint32
	request request
}

func (e *MSRError) Error() string {
	return fmt.Sprintf("%s: the host refuses MSR %#x", e.request, e.Index)
}

// MSRs fills in the data of the listed registers. The kernel stops at the
// first one it doesn't know: n is how many were read, and err, an *MSRError,
// names the next.
func (v *VCPU) MSRs(entries []MSREntry) (n int, err error) {
	return v.transferMSRs(reqGetMSRs, entries)
}

// SetMSRs writes the listed registers, with n and err as for MSRs.
func (v *VCPU) SetMSRs(entries []MSREntry) (n int, err error) {
	return v.transferMSRs(reqSetMSRs, entries)
}

func (v *VCPU) transferMSRs(req request, entries []MSREntry) (done int, err error) {
	for chunk := range slices.Chunk(entries, maxMSRs) {
		arg := msrs{n: uint32(len(chunk))}
		copy(arg.entries[:], chunk)
		n, err := ioctlPtr(v.fd, req, &arg)
		if err != nil {
			return done, err
		}
		copy(chunk[:n], arg.entries[:n])
		done += n
		if n < len(chunk) {
			return done, &MSRError{chunk[n].Index, req}
		}
	}
	return done, nil
}
