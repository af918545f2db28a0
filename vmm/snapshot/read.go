package snapshot

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
)

// Read returns the manifest of the snapshot at dir, and the snapshot's digest: for
// who lists snapshots. It looks at nothing else. It fails as Open does.
func Read(dir string) (m *Manifest, digest string, err error) {
	err = within(dir, func(d directory) error {
		m, digest, err = read(d)
		return err
	})
	return m, digest, err
}

func read(d directory) (m *Manifest, digest string, err error) {
	sums, err := d.read(sumsName, maxSums)
	if err != nil {
		return nil, "", err
	}
	b, err := d.read(manifestName, maxManifest)
	if err != nil {
		return nil, "", err
	}
	if !bytes.Contains(sums, []byte(sumLine(manifestName, b))) {
		return nil, "", &CorruptError{d.path(manifestName), notListed}
	}
	m, err = d.manifest(b)
	return m, digestOf(sums), err
}

// manifest reads the directory's manifest. It fails with *CorruptError or *VersionError.
func (d directory) manifest(b []byte) (*Manifest, error) {
	m, err := decodeManifest(b)
	var later *VersionError
	if err != nil && !errors.As(err, &later) {
		err = &CorruptError{d.path(manifestName), err.Error()}
	}
	return m, err
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
