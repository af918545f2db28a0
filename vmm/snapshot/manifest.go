package snapshot

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// Version is the last one of the format that Open reads.
const Version = 2

// wholeVersion is that of a snapshot whose memory is in one file, which earlier
// programs read as well.
const wholeVersion = 1

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
	Devices Devices `json:"devices"`

	// UID is what whoever made it calls the snapshot, for ever.
	UID string `json:"uid,omitempty"`
	// Layers is in how many files its memory is: in one, or in what has changed since
	// the parent's and those files. 0: 1.
	Layers int `json:"layers,omitempty"`
	// Parent is whose memory the layers below the uppermost are. nil: there is one
	// layer only.
	Parent *Parent `json:"parent,omitempty"`
	// Whole says why there is one layer only.
	Whole string `json:"whole,omitempty"`

	// StoredBytes is how much of memory the uppermost layer has: the rest of it are
	// zeroes.
	StoredBytes uint64 `json:"storedBytes"`
	// Pause is how long the guest stood still for it, as whoever had it do so says, or
	// else its machine.
	Pause time.Duration `json:"pauseNs"`

	// Owner is what whoever made the machine wants back. It isn't looked at here.
	Owner json.RawMessage `json:"owner,omitempty"`
}

// Parent is a snapshot as it was when another one began to share its files. It may
// have been deleted since, or merged.
type Parent struct {
	UID    string `json:"uid,omitempty"`
	Digest string `json:"digest"`
}

// Device is one of the machine's.
type Device struct {
	Name string `json:"name"`
	Type string `json:"type"`
	// File has a copy of what is behind the device, such as a disk's overlay;
	// empty: none.
	File  string `json:"file,omitempty"`
	Bytes uint64 `json:"bytes,omitempty"` // its size
}

// Devices are a machine's.
type Devices []Device

// UnmarshalJSON implements json.Unmarshaler. A manifest may be anybody's: of as many
// devices as have room in one nothing is made.
func (d *Devices) UnmarshalJSON(b []byte) error {
	*d = nil
	in := json.NewDecoder(bytes.NewReader(b))
	switch start, err := in.Token(); {
	case err != nil || start == nil:
		return err
	case start != json.Delim('['):
		return fmt.Errorf("devices that are no array: %.20s", b)
	}
	for in.More() {
		var one Device
		if err := in.Decode(&one); err != nil {
			return err
		}
		if len(*d) == maxFiles {
			return fmt.Errorf("more than %d devices", maxFiles)
		}
		*d = append(*d, one)
	}
	return nil
}

// decodeManifest reads a manifest and checks what this package relies on.
func decodeManifest(b []byte) (*Manifest, error) {
	// The version comes first: the rest of a later one may mean anything.
	var v struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return nil, err
	}
	switch {
	case v.Version > Version:
		return nil, &VersionError{v.Version}
	case v.Version < 1:
		return nil, fmt.Errorf("it is of version %d", v.Version)
	}
	m := new(Manifest)
	if err := json.Unmarshal(b, m); err != nil {
		return nil, err
	}
	if _, err := memory.Layout(m.MemoryBytes); err != nil {
		return nil, err
	}
	m.Layers = max(m.Layers, 1)
	if m.Layers > maxLayers || v.Version < 2 && m.Layers > 1 {
		return nil, fmt.Errorf("it is of version %d with %d layers", v.Version, m.Layers)
	}
	for _, d := range m.Devices {
		if d.File != "" && (d.File != d.Name || !isName(d.File) || isMemory(d.File)) {
			return nil, fmt.Errorf("its device %q has a file %q", d.Name, d.File)
		}
	}
	return m, nil
}

// isMemory reports whether a file of a snapshot may be a layer of memory, or goes with one.
func isMemory(name string) bool { return name == memoryName || strings.HasPrefix(name, memoryName+".") }

// VersionError says that a snapshot is of a later format.
type VersionError struct{ Version int }

func (e *VersionError) Error() string {
	return fmt.Sprintf("the snapshot's format is of version %d, this program reads up to %d: use the program that made it, or a later one",
		e.Version, Version)
}
