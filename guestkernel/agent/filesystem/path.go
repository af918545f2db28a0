// Package filesystem does what the host asks of the guest's files, as the
// guest's root sees them.
//
// Paths are absolute. Symbolic links in them are followed, but for the last name
// of Stat and Remove. Errors have the kinds of package fail: NotFound, Exists,
// Denied, Untimely for a directory where none may be or the other way round,
// Exhausted for a full disk, Invalid for a path that can't be one.
package filesystem

import (
	"path"
	"strings"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
)

const maxPath = 4095 // PATH_MAX without its NUL

func checkPath(p string) error {
	switch {
	case p == "" || p[0] != '/':
		return fail.Errorf(fail.Invalid, "path %q isn't absolute", p)
	case len(p) > maxPath:
		return fail.Errorf(fail.Invalid, "a path of %d bytes: %d is the most", len(p), maxPath)
	case strings.IndexByte(p, 0) >= 0:
		return fail.Errorf(fail.Invalid, "path %q has a NUL byte", p)
	}
	return nil
}

// directory returns the part of a path that leads to its last name, with a slash
// at its end. It changes nothing else: what ".." leads to is for the kernel to
// say.
func directory(p string) string { return p[:strings.LastIndexByte(p, '/')+1] }

// shown makes a name valid UTF-8, as messages are. A file whose name isn't can
// be seen with U+FFFD in it, and not be named.
func shown(name string) string { return strings.ToValidUTF8(name, "\uFFFD") }

// base returns the last part of a path.
func base(p string) string { return shown(path.Base(p)) }
