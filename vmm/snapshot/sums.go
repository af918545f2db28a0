package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// The files of a snapshot; those of disks are named for their devices.
const (
	manifestName = "manifest.json"
	stateName    = "state"
	memoryName   = "memory"
	sumsName     = "SHA256SUMS"
	verifiedName = "verified" // of earlier programs

	// These are added to the name of a large file for what goes with it.
	sumsSuffix     = ".sums"
	mapSuffix      = ".map"
	verifiedSuffix = ".verified"
)

const (
	maxSums     = 64 << 10 // bytes of SHA256SUMS
	maxFiles    = 64       // listed in it
	maxManifest = 8 << 20  // bytes, more than an owner's specification has

	// maxSmall is how many bytes all files have that are listed: the sums of 8 layers
	// of 4 TiB of memory.
	maxSmall = 256 << 20
)

// CorruptError names a file of a snapshot that isn't what was written.
type CorruptError struct {
	File string // its path
	What string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("snapshot file %s is damaged: %s: delete the snapshot, or restore it from a copy", e.File, e.What)
}

// IsHost reports whether an error is the host's own, such as that it has no descriptors
// left, and says nothing of a snapshot.
func IsHost(err error) bool {
	for _, host := range []error{unix.ENOSPC, unix.EDQUOT, unix.EIO, unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.EACCES, unix.EPERM} {
		if errors.Is(err, host) {
			return true
		}
	}
	return false
}

// small are the files that SHA256SUMS has, by name.
type small map[string][]byte

// sums returns what SHA256SUMS is for them.
func (s small) sums() []byte {
	var names []string
	for name := range s {
		names = append(names, name)
	}
	slices.Sort(names)
	var b bytes.Buffer
	for _, name := range names {
		b.WriteString(sumLine(name, s[name]))
	}
	return b.Bytes()
}

// readSmall reads the files that SHA256SUMS has and checks them against it. It
// returns the snapshot's digest, too.
func readSmall(d directory) (files small, digest string, err error) {
	sums, err := d.read(sumsName, maxSums)
	if err != nil {
		return nil, "", err
	}
	files = small{}
	left := int64(maxSmall)
	for line := range strings.Lines(string(sums)) {
		_, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		if !ok || !isName(name) || len(files) == maxFiles || files[name] != nil {
			return nil, "", &CorruptError{d.path(sumsName), fmt.Sprintf("it has the line %.100q", line)}
		}
		limit := int64(maxState)
		if name == manifestName {
			limit = maxManifest
		}
		if files[name], err = d.read(name, min(limit, left)); err != nil {
			return nil, "", err
		}
		left -= int64(len(files[name]))
		if sumLine(name, files[name]) != line {
			return nil, "", &CorruptError{d.path(name), notListed}
		}
	}
	for _, name := range []string{manifestName, stateName, memoryName + sumsSuffix} {
		if files[name] == nil {
			return nil, "", &CorruptError{d.path(sumsName), "it doesn't have " + name}
		}
	}
	return files, digestOf(sums), nil
}

// isName reports whether a file may be called so: one of the directory's own, and
// not hidden.
func isName(name string) bool {
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.' && i > 0, c == '-', c == '_':
		default:
			return false
		}
	}
	return name != "" && len(name) < 128
}
