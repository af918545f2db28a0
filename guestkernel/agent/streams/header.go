package streams

import (
	"errors"
	"strings"
	"time"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
)

// Names of streams.
const (
	Stdio  = "stdio"  // a process's input and output
	Stderr = "stderr" // its other output
	File   = "file"   // a file's content
)

const (
	headerMagic   = "bulkhead-stdio/1"
	headerLimit   = 128 // bytes, the newline included
	headerTimeout = 10 * time.Second
	maxID         = 64
)

// key names a connection.
type key struct {
	id, stream string
}

var errHeader = errors.New("not a header line of " + headerMagic)

func parseHeader(line string) (key, error) {
	f := strings.Split(line, " ")
	if len(f) != 3 || f[0] != headerMagic {
		return key{}, errHeader
	}
	switch f[2] {
	case Stdio, Stderr, File:
		return key{f[1], f[2]}, CheckID(f[1])
	}
	return key{}, errHeader
}

// CheckID fails unless id is 1 to 64 letters, digits, '-', '_' and '.'.
func CheckID(id string) error {
	if len(id) == 0 || len(id) > maxID {
		return fail.Errorf(fail.Invalid, "an ID of %d characters: it needs 1 to %d", len(id), maxID)
	}
	for i := range len(id) {
		switch c := id[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
		default:
			return fail.Errorf(fail.Invalid, "ID %q: only letters, digits, '-', '_' and '.' are allowed", id)
		}
	}
	return nil
}
