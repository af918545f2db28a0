package filesystem

import (
	"os"
	"path"
	"strings"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
)

// Symlink makes a symbolic link at p that says target.
func Symlink(p, target string) error {
	if err := checkPath(p); err != nil {
		return err
	}
	if target == "" || len(target) > maxPath || strings.IndexByte(target, 0) >= 0 {
		return fail.Errorf(fail.Invalid, "a link can't say %q: it takes 1 to %d bytes, and no NUL", target, maxPath)
	}
	return fail.Files(os.Symlink(target, p))
}

// Remove removes what is at p, but not what a link there leads to. A directory
// must be empty, unless recursive asks for all that is in it.
func Remove(p string, recursive bool) error {
	if err := checkPath(p); err != nil {
		return err
	}
	if path.Clean(p) == "/" {
		return fail.Errorf(fail.Invalid, "the root directory can't be removed")
	}
	if !recursive {
		return fail.Files(os.Remove(p))
	}
	if _, err := os.Lstat(p); err != nil { // RemoveAll is content with nothing
		return fail.Files(err)
	}
	return fail.Files(os.RemoveAll(p))
}
