package mounts

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
)

// Kind says where changes to a root file system go.
type Kind int

// The kinds of root.
const (
	ReadOnly Kind = iota // nowhere: there are none
	Memory               // to a tmpfs above it
	Disk                 // to a file system on another disk above it
	Writable             // to the device itself
)

// Root is a file system that becomes "/".
type Root struct {
	Device string // such as "/dev/vda"
	FSType string // "": told by its magic number
	Kind   Kind
	Size   uint64 // Memory: bytes it may take; 0: half of what there is
	// Disk: as Device and FSType.
	UpperDevice string
	UpperFSType string
}

// Directories that a root is put together in, below that of Assemble.
const (
	baseDir  = "base"
	upperDir = "upper"
	rootDir  = "root"
)

// Assemble mounts r on a directory below dir, and returns it. When it fails it
// leaves nothing mounted.
func (r Root) Assemble(dir string) (path string, err error) {
	a := assembly{dir: dir}
	if err := a.assemble(r); err != nil {
		a.undo()
		return "", err
	}
	return filepath.Join(dir, rootDir), nil
}

// assembly is a root in the making.
type assembly struct {
	dir    string
	mounts []string // in the order they were made
}

func (a *assembly) undo() {
	for i := len(a.mounts) - 1; i >= 0; i-- {
		_ = unix.Unmount(a.mounts[i], unix.MNT_DETACH)
	}
}

// add mounts on the directory name below a.dir.
func (a *assembly) add(source, name, fsType string, flags uintptr, data string) error {
	target := filepath.Join(a.dir, name)
	if err := os.MkdirAll(target, 0o700); err != nil {
		return err
	}
	err := unix.Mount(source, target, fsType, flags, data)
	if errors.Is(err, unix.EROFS) && fsType == "ext4" && flags&unix.MS_RDONLY != 0 {
		// It wants to replay its journal and may not.
		err = unix.Mount(source, target, fsType, flags, "noload")
	}
	if err != nil {
		return fmt.Errorf("mount %s (%s): %w", source, fsType, err)
	}
	a.mounts = append(a.mounts, target)
	return nil
}

func (a *assembly) assemble(r Root) error {
	device, fsType, err := find(r.Device, r.FSType, filepath.Join(a.dir, baseDir))
	if err != nil {
		return err
	}
	switch r.Kind {
	case ReadOnly:
		return a.add(device, rootDir, fsType, unix.MS_RDONLY, "")
	case Writable:
		return a.add(device, rootDir, fsType, 0, "")
	}
	if err := a.add(device, baseDir, fsType, unix.MS_RDONLY, ""); err != nil {
		return err
	}
	if err := a.addUpper(r); err != nil {
		return err
	}
	return a.addOverlay()
}

func (a *assembly) addUpper(r Root) error {
	if r.Kind == Memory {
		data := "mode=755"
		if r.Size != 0 {
			data += fmt.Sprintf(",size=%d", r.Size)
		}
		return a.add("upper", upperDir, "tmpfs", 0, data)
	}
	fsType := r.UpperFSType
	if fsType == "" {
		f, err := probe(r.UpperDevice)
		if err != nil {
			return err
		}
		if fsType = f.fsType; fsType == "" {
			return fail.Errorf(fail.Untimely, "no file system on %s to keep changes in: make one with mkfs.ext4", r.UpperDevice)
		}
	}
	return a.add(r.UpperDevice, upperDir, fsType, 0, "")
}

func (a *assembly) addOverlay() error {
	upper := filepath.Join(a.dir, upperDir)
	options := []string{"lowerdir=" + filepath.Join(a.dir, baseDir)}
	for _, name := range []string{"upper", "work"} {
		d := filepath.Join(upper, name)
		if err := os.MkdirAll(d, 0o755); err != nil {
			return fmt.Errorf("overlay: %w", err)
		}
		options = append(options, name+"dir="+d)
	}
	return a.add("overlay", rootDir, "overlay", 0, strings.Join(options, ","))
}
