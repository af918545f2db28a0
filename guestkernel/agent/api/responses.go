package api

import "github.com/bulkhead-vm/bulkhead/guestkernel/agent/protowire"

// SetupResponse answers a SetupRequest.
type SetupResponse struct {
	KernelRelease string
}

// Marshal returns the wire format.
func (r SetupResponse) Marshal() []byte {
	return protowire.AppendBytes(nil, 1, r.KernelRelease)
}

// HealthResponse says how the guest is doing.
type HealthResponse struct {
	UptimeNs             uint64
	MemoryTotalBytes     uint64
	MemoryAvailableBytes uint64
	Processes            uint32
}

// Marshal returns the wire format.
func (r HealthResponse) Marshal() []byte {
	b := protowire.AppendVarint(nil, 1, r.UptimeNs)
	b = protowire.AppendVarint(b, 2, r.MemoryTotalBytes)
	b = protowire.AppendVarint(b, 3, r.MemoryAvailableBytes)
	return protowire.AppendVarint(b, 4, uint64(r.Processes))
}

// StartResponse answers a StartRequest.
type StartResponse struct {
	PID int32
}

// Marshal returns the wire format.
func (r StartResponse) Marshal() []byte { return protowire.AppendInt32(nil, 1, r.PID) }

// WaitResponse says how a process ended.
type WaitResponse struct {
	ExitCode     int32
	Signal       int32
	UserTimeNs   uint64
	SystemTimeNs uint64
	MaxRSSBytes  uint64
}

// Marshal returns the wire format.
func (r WaitResponse) Marshal() []byte {
	b := protowire.AppendInt32(nil, 1, r.ExitCode)
	b = protowire.AppendInt32(b, 2, r.Signal)
	b = protowire.AppendVarint(b, 3, r.UserTimeNs)
	b = protowire.AppendVarint(b, 4, r.SystemTimeNs)
	return protowire.AppendVarint(b, 5, r.MaxRSSBytes)
}

// Empty is a response that says nothing.
type Empty struct{}

// Marshal returns nil.
func (Empty) Marshal() []byte { return nil }
