// Package archive is the form in which snapshots leave a node and come to another
// one: a tar archive that is written and read in one pass, of any size.
//
// An OCI archive is an image layout, which registries' tools push as it is:
//
//	oci-layout
//	blobs/sha256/…  manifest.json of the snapshot: the image's configuration
//	blobs/sha256/…  info.json: the snapshot's name, and which images it needs
//	blobs/sha256/…  one for each other file: a tar archive with that file,
//	                compressed with zstd
//	blobs/sha256/…  the image's manifest
//	index.json
//
// A plain archive has the same files without that: info.json, SHA256SUMS,
// manifest.json, small files, and then large ones.
//
// Within both a file with holes is as GNU tar 1.0 has it in PAX archives: holes take
// no room, and any tar makes them again.
//
// # Trust
//
// An archive may be anybody's. Read writes no file but those that the snapshot's
// SHA256SUMS lists, none larger than it or the file's own sums say, and makes sure
// that they are a whole snapshot. What the snapshot is of is its caller's to judge.
package archive

import "fmt"

// Format is a form of archives.
type Format int

// The formats.
const (
	OCI Format = iota
	Plain
)

// Error says what is wrong with an archive.
type Error struct {
	What string
	Err  error // behind it; may be nil
}

func (e *Error) Error() string {
	text := "this archive can't be imported: " + e.What
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

func (e *Error) Unwrap() error { return e.Err }

func wrong(format string, args ...any) error { return &Error{What: fmt.Sprintf(format, args...)} }
