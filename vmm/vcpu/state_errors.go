package vcpu

import "fmt"

// StateError says that a saved state can't be had here, and why: its file is
// damaged or forged, or it takes a host of another kind.
type StateError struct {
	Of   string // "vCPU 1", "chips"
	Part string // as the state's schema calls it
	Err  error
}

func (e *StateError) Error() string {
	return fmt.Sprintf("saved state of %s: %s: %v", e.Of, e.Part, e.Err)
}

func (e *StateError) Unwrap() error { return e.Err }

// damaged is a *StateError about something that no processor or chip can be, or
// not of this host's.
func damaged(of, part string, err error) error {
	return &StateError{of, part, fmt.Errorf("%w: the snapshot is damaged or of another kind of host, take it again or restore it there", err)}
}

func vcpuName(id int) string { return fmt.Sprintf("vCPU %d", id) }

// MSRError says that a register had a value that can't be given to it here.
type MSRError struct {
	Index uint32
	Value uint64
	Err   error
}

func (e *MSRError) Error() string {
	return fmt.Sprintf("MSR %#x was %#x, and this host's KVM doesn't take that (%v): restore the snapshot on a host with the processor and kernel it was taken on",
		e.Index, e.Value, e.Err)
}

func (e *MSRError) Unwrap() error { return e.Err }

// TSCError says that the guest's time-stamp counter would tick at another rate.
type TSCError struct {
	Saved, Host int // kHz
}

func (e *TSCError) Error() string {
	return fmt.Sprintf("the guest's time-stamp counter ran at %d kHz, here it runs at %d kHz and can't be scaled: restore the snapshot on a host with the same processor, or one with TSC scaling",
		e.Saved, e.Host)
}

// NestedError says that a guest can't be saved since it runs guests of its own.
type NestedError struct{ CPU int }

func (e *NestedError) Error() string {
	return fmt.Sprintf("the guest runs virtual machines of its own on vCPU %d, which can't be saved: unload its kvm modules first", e.CPU)
}
