package snapshot

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// The files of a snapshot.
const (
	manifestName = "manifest.json"
	stateName    = "state"
	memoryName   = "memory"
	chunksName   = "memory.sums"
	sumsName     = "SHA256SUMS"
	verifiedName = "verified"
)

// listed are the files that SHA256SUMS has, in its order.
func listed() []string { return []string{manifestName, stateName, chunksName} }

// maxSums bounds SHA256SUMS.
const maxSums = 4096

// CorruptError names a file of a snapshot that isn't what was written.
type CorruptError struct {
	File string // its path
	What string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("snapshot file %s is damaged: %s: delete the snapshot, or restore it from a copy", e.File, e.What)
}

// sumsOf returns what SHA256SUMS is for these contents.
func sumsOf(files map[string][]byte) []byte {
	var b bytes.Buffer
	for _, name := range listed() {
		fmt.Fprintf(&b, "%x  %s\n", sha256.Sum256(files[name]), name)
	}
	return b.Bytes()
}

// readListed reads the files that SHA256SUMS has and checks them against it. It
// returns the snapshot's digest, too.
func readListed(dir string) (files map[string][]byte, digest string, err error) {
	sums, err := readFile(dir, sumsName, maxSums)
	if err != nil {
		return nil, "", err
	}
	files = map[string][]byte{}
	lines := bytes.SplitAfter(sums, []byte("\n"))
	if len(lines) != len(listed())+1 || len(lines[len(listed())]) != 0 {
		return nil, "", &CorruptError{filepath.Join(dir, sumsName), fmt.Sprintf("it has %d lines", len(lines)-1)}
	}
	for i, name := range listed() {
		if files[name], err = readFile(dir, name, maxState); err != nil {
			return nil, "", err
		}
		if want := fmt.Sprintf("%x  %s\n", sha256.Sum256(files[name]), name); want != string(lines[i]) {
			return nil, "", &CorruptError{filepath.Join(dir, name), "its SHA-256 isn't the one in " + sumsName}
		}
	}
	sum := sha256.Sum256(sums)
	return files, "sha256:" + hex.EncodeToString(sum[:]), nil
}

// readFile reads a file of up to limit bytes.
func readFile(dir, name string, limit int64) ([]byte, error) {
	path := filepath.Join(dir, name)
	f, err := os.Open(path)
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
