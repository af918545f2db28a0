package filesystem

import (
	"errors"
	"fmt"
	"math"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/plainfile"
)

const fileMode = 0o644

// Attributes are a file's permissions and owner. nil: those of the file that is
// replaced, else 0644, 0 and 0.
type Attributes struct {
	Mode, UID, GID *uint32
}

func (a Attributes) check() error {
	for _, id := range []*uint32{a.UID, a.GID} {
		if id != nil && *id == math.MaxUint32 {
			return fail.Errorf(fail.Invalid, "%d is no user's or group's ID", *id)
		}
	}
	if a.Mode != nil {
		return checkMode(*a.Mode)
	}
	return nil
}

// metadata is Attributes with everything decided.
type metadata struct {
	mode, uid, gid uint32
}

// decide fails if something else than a regular file is in place.
func (a Attributes) decide(place string) (metadata, error) {
	m := metadata{mode: fileMode}
	var st unix.Stat_t
	switch err := unix.Stat(place, &st); {
	case errors.Is(err, unix.ENOENT):
	case err != nil:
		return m, err
	case st.Mode&unix.S_IFMT == unix.S_IFDIR:
		return m, unix.EISDIR
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return m, fail.Errorf(fail.Untimely, "%w", plainfile.ErrNotRegular)
	default:
		m = metadata{st.Mode & permissions, st.Uid, st.Gid}
	}
	override(&m.mode, a.Mode)
	override(&m.uid, a.UID)
	override(&m.gid, a.GID)
	return m, nil
}

func override(value, with *uint32) {
	if with != nil {
		*value = *with
	}
}

// apply gives the file fd its permissions and owner: that first, as some
// permissions go with it.
func (m metadata) apply(fd int) error {
	if err := unix.Fchown(fd, int(m.uid), int(m.gid)); err != nil {
		return fmt.Errorf("owner %d:%d: %w", m.uid, m.gid, err)
	}
	return unix.Fchmod(fd, m.mode)
}
