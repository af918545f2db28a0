package snapshot

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
)

// Read returns the manifest of the snapshot at dir, and the snapshot's digest: for
// who lists snapshots. It looks at nothing else. It fails as Open does.
func Read(dir string) (m *Manifest, digest string, err error) {
	sums, err := readFile(dir, sumsName, maxSums)
	if err != nil {
		return nil, "", err
	}
	b, err := readFile(dir, manifestName, maxManifest)
	if err != nil {
		return nil, "", err
	}
	if !bytes.Contains(sums, []byte(sumLine(manifestName, b))) {
		return nil, "", &CorruptError{filepath.Join(dir, manifestName), notListed}
	}
	m, err = decodeManifest(b)
	return m, digestOf(sums), err
}

// notListed is what is wrong with a file whose line SHA256SUMS doesn't have.
const notListed = "its SHA-256 isn't the one in " + sumsName

// sumLine is the line of SHA256SUMS for a file.
func sumLine(name string, content []byte) string {
	return fmt.Sprintf("%x  %s\n", sha256.Sum256(content), name)
}

// digestOf returns that of a snapshot with these sums.
func digestOf(sums []byte) string {
	sum := sha256.Sum256(sums)
	return "sha256:" + hex.EncodeToString(sum[:])
}
