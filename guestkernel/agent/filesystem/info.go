package filesystem

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
)

// Info is what there is to know of a file beside its content.
type Info struct {
	Name       string // the last part of its path
	Mode       uint32 // as lstat(2) has it: type and permissions
	Size       uint64 // in bytes
	UID, GID   uint32
	ModifyTime int64  // nanoseconds since 1970
	Target     string // of a symbolic link
}

// Stat describes the file at p, without following it if it is a link.
func Stat(p string) (Info, error) {
	if err := checkPath(p); err != nil {
		return Info{}, err
	}
	info, err := statAt(unix.AT_FDCWD, p)
	if err != nil {
		return Info{}, fail.Files(fmt.Errorf("stat %s: %w", p, err))
	}
	info.Name = base(p)
	return info, nil
}

// statAt describes a file in the directory dir, which is called name there.
func statAt(dir int, name string) (Info, error) {
	var st unix.Stat_t
	if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return Info{}, err
	}
	info := newInfo(name, &st)
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		target := make([]byte, maxPath+1)
		n, err := unix.Readlinkat(dir, name, target)
		if err != nil {
			return Info{}, err
		}
		info.Target = shown(string(target[:n]))
	}
	return info, nil
}

func newInfo(name string, st *unix.Stat_t) Info {
	return Info{
		Name:       shown(name),
		Mode:       st.Mode,
		Size:       uint64(st.Size),
		UID:        st.Uid,
		GID:        st.Gid,
		ModifyTime: st.Mtim.Nano(),
	}
}
