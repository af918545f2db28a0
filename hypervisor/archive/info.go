package archive

import (
	"encoding/json"
)

// Info is what an archive has beside a snapshot's files.
type Info struct {
	Version int `json:"version"`
	// Name is what the snapshot was called.
	Name string `json:"name"`
	// Images are those of the snapshot's record, in their order: what the machine
	// reads of the host's files. nil: of a disk that it writes, which the snapshot
	// has a copy of.
	Images []*Image `json:"images"`
}

// Image is a file that whoever restores the snapshot must have, too.
type Image struct {
	// Path is where it was.
	Path   string `json:"path"`
	Digest string `json:"digest"` // "sha256:" and 64 digits
	Bytes  int64  `json:"bytes"`
}

const (
	infoName    = "info.json"
	infoVersion = 1
	maxInfo     = 256 << 10 // bytes
	maxImages   = 64
)

func encodeInfo(i Info) ([]byte, error) {
	i.Version = infoVersion
	b, err := json.MarshalIndent(i, "", "  ")
	return append(b, '\n'), err
}

func decodeInfo(b []byte) (*Info, error) {
	i := new(Info)
	if err := json.Unmarshal(b, i); err != nil {
		return nil, &Error{infoName + " isn't what it should be", err}
	}
	switch {
	case i.Version != infoVersion:
		return nil, wrong("it is of version %d, this node reads version %d: use the version that made it, or a later one", i.Version, infoVersion)
	case len(i.Images) > maxImages:
		return nil, wrong("%s names %d images", infoName, len(i.Images))
	}
	return i, nil
}
