package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
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
	verifiedName = "verified"

	// sumsSuffix is added to the name of a large file for that of its sums.
	sumsSuffix = ".sums"
)

const (
	maxSums     = 64 << 10 // bytes of SHA256SUMS
	maxFiles    = 64       // listed in it
	maxManifest = 8 << 20  // bytes, more than an owner's specification has
)

// CorruptError names a file of a snapshot that isn't what was written.
type CorruptError struct {
	File string // its path
	What string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("snapshot file %s is damaged: %s: delete the snapshot, or restore it from a copy", e.File, e.What)
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
func readSmall(dir string) (files small, digest string, err error) {
	sums, err := readFile(dir, sumsName, maxSums)
	if err != nil {
		return nil, "", err
	}
	files = small{}
	for _, line := range strings.SplitAfter(string(sums), "\n") {
		_, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		switch {
		case line == "":
			continue
		case !ok || !isName(name) || len(files) == maxFiles:
			return nil, "", &CorruptError{filepath.Join(dir, sumsName), fmt.Sprintf("it has the line %.100q", line)}
		}
		limit := int64(maxState)
		if name == manifestName {
			limit = maxManifest
		}
		if files[name], err = readFile(dir, name, limit); err != nil {
			return nil, "", err
		}
		if sumLine(name, files[name]) != line {
			return nil, "", &CorruptError{filepath.Join(dir, name), notListed}
		}
	}
	for _, name := range []string{manifestName, stateName, memoryName + sumsSuffix} {
		if files[name] == nil {
			return nil, "", &CorruptError{filepath.Join(dir, sumsName), "it doesn't have " + name}
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

// openRegular opens what must be a file and nothing else: a link may lead anywhere,
// and a FIFO is waited for.
func openRegular(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &os.PathError{Op: "open", Path: path, Err: errors.New("it is no regular file")}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// readFile reads a file of up to limit bytes.
func readFile(dir, name string, limit int64) ([]byte, error) {
	path := filepath.Join(dir, name)
	f, err := openRegular(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, &CorruptError{path, "it isn't there"}
	}
	if err != nil {
		return nil, fmt.Errorf("open a snapshot: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read a snapshot's %s: %w", name, err)
	}
	if int64(len(b)) > limit {
		return nil, &CorruptError{path, fmt.Sprintf("it has more than %d bytes", limit)}
	}
	return b, nil
}
