package snapshot

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// Version is that of the format which Create writes, and the last that Open reads.
const Version = 1

// Manifest says what a snapshot is of.
type Manifest struct {
	Version int       `json:"version"`
	Created time.Time `json:"created"`
	// Program is the version of the program that made it.
	Program string `json:"program"`
	// HostProfile is the kind of KVM it ran on, in words.
	HostProfile string `json:"hostProfile"`
	// CPUVendor is as CPUID tells it, such as "GenuineIntel".
	CPUVendor string `json:"cpuVendor"`

	CPUs        int    `json:"cpus"`
	MemoryBytes uint64 `json:"memoryBytes"`
	Transport   string `json:"transport"`
	// Devices are in the order they are plugged in.
	Devices []Device `json:"devices"`

	// StoredBytes is how much of memory the file has: the rest are zeroes.
	StoredBytes uint64 `json:"storedBytes"`
	// Pause is how long the guest stood still for it.
	Pause time.Duration `json:"pauseNs"`

	// Config is the machine's configuration in the form of whoever made the
	// machine, and Owner what else it wants back. Neither is looked at here.
	Config json.RawMessage `json:"config,omitempty"`
	Owner  json.RawMessage `json:"owner,omitempty"`
}

// Device is one of the machine's.
type Device struct {
	Name string `json:"name"`
	Type string `json:"type"`
	// File is what the snapshot has of the device's own, such as a disk's
	// overlay; empty: nothing.
	File string `json:"file,omitempty"`
}

// decodeManifest reads a manifest and checks what this package relies on.
func decodeManifest(b []byte) (*Manifest, error) {
	// The version comes first: the rest of a later one may mean anything.
	var v struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return nil, fmt.Errorf("%s: %w", manifestName, err)
	}
	switch {
	case v.Version > Version:
		return nil, &VersionError{v.Version}
	case v.Version < 1:
		return nil, fmt.Errorf("%s: version %d", manifestName, v.Version)
	}
	m := new(Manifest)
	if err := json.Unmarshal(b, m); err != nil {
		return nil, fmt.Errorf("%s: %w", manifestName, err)
	}
	if _, err := memory.Layout(m.MemoryBytes); err != nil {
		return nil, fmt.Errorf("%s: %w", manifestName, err)
	}
	return m, nil
}

// VersionError says that a snapshot is of a later format.
type VersionError struct{ Version int }

func (e *VersionError) Error() string {
	return fmt.Sprintf("the snapshot's format is of version %d, this program reads up to %d: use the program that made it, or a later one",
		e.Version, Version)
}
