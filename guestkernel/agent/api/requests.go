// Package api has the messages of agent.proto, as the agent reads and writes
// them. A test holds them to the generated ones, field by field.
package api

// SetupRequest asks for a root, a name and a network.
type SetupRequest struct {
	Root        *RootFS
	Hostname    string
	Interfaces  []NetworkInterface
	Nameservers []string
}

// RootFS is a root file system. At most one of Tmpfs, Disk and Writable is
// set.
type RootFS struct {
	Device   string
	FSType   string
	Tmpfs    *TmpfsUpper
	Disk     *DiskUpper
	Writable bool
}

// TmpfsUpper keeps changes in memory.
type TmpfsUpper struct {
	SizeBytes uint64
}

// DiskUpper keeps changes on a disk.
type DiskUpper struct {
	Device, FSType string
}

// NetworkInterface is what an interface gets.
type NetworkInterface struct {
	Name      string
	Addresses []string
	Gateways  []string
	MTU       uint32
}

// StartRequest asks for a process.
type StartRequest struct {
	ID       string
	Args     []string
	Env      []string
	Workdir  string
	User     string
	Stdin    bool
	Terminal *TerminalSize
}

// TerminalSize is in characters.
type TerminalSize struct {
	Rows, Columns uint32
}

// WaitRequest asks for a process's end.
type WaitRequest struct {
	ID string
}

// SignalRequest asks for a signal to be sent.
type SignalRequest struct {
	ID     string
	Signal int32
	Group  bool
}

// ResizeRequest asks for another size of a terminal.
type ResizeRequest struct {
	ID   string
	Size TerminalSize
}

// PowerOffRequest asks for the machine to be turned off.
type PowerOffRequest struct {
	GraceNs uint64
}

// HealthRequest asks how the guest is doing.
type HealthRequest struct{}

// Unmarshal reads nothing: the message has no fields.
func (*HealthRequest) Unmarshal([]byte) error { return nil }
