package filesystem

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
)

const (
	permissions = 0o7777
	parentMode  = 0o755
	// notByMkdir are the permissions that mkdir doesn't give: those of the
	// agent's umask, and special ones.
	notByMkdir = 0o022 | unix.S_ISUID | unix.S_ISGID | unix.S_ISVTX
)

// MakeDir makes the directory p with the permissions mode, and with parents
// those above it as well; then it may be there already, and stays as it is.
func MakeDir(p string, mode uint32, parents bool) error {
	if err := checkPath(p); err != nil {
		return err
	}
	if err := checkMode(mode); err != nil {
		return err
	}
	trimmed := trim(p)
	if parents {
		if err := isDirectory(p); !errors.Is(err, unix.ENOENT) {
			return fail.Files(err)
		}
		if _, err := makeAll(directory(trimmed)); err != nil {
			return fail.Files(err)
		}
	}
	err := makeExactly(trimmed, mode)
	if parents && errors.Is(err, unix.EEXIST) { // it came meanwhile
		err = isDirectory(p)
	}
	return fail.Files(err)
}

func checkMode(mode uint32) error {
	if mode&^permissions != 0 {
		return fail.Errorf(fail.Invalid, "permissions %#o: %#o is the most", mode, permissions)
	}
	return nil
}

// makeExactly makes a directory with these permissions.
func makeExactly(p string, mode uint32) error {
	if err := unix.Mkdir(p, mode); err != nil {
		return fmt.Errorf("make directory %s: %w", p, err)
	}
	if mode&notByMkdir == 0 {
		return nil
	}
	// By its descriptor: nobody puts a link in its place.
	fd, err := unix.Open(p, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err == nil {
		defer unix.Close(fd)
		err = unix.Fchmod(fd, mode)
	}
	if err != nil {
		return fmt.Errorf("permissions of directory %s: %w", p, err)
	}
	return nil
}

// makeAll makes the directory p and those above it, and returns those that
// weren't there, the uppermost first, also with an error.
func makeAll(p string) (made []string, err error) {
	if err := isDirectory(p); !errors.Is(err, unix.ENOENT) {
		return nil, err
	}
	trimmed := trim(p)
	if made, err = makeAll(directory(trimmed)); err != nil {
		return made, err
	}
	err = unix.Mkdir(trimmed, parentMode)
	if errors.Is(err, unix.EEXIST) {
		return made, isDirectory(p)
	}
	if err != nil {
		return made, fmt.Errorf("make directory %s: %w", trimmed, err)
	}
	return append(made, trimmed), nil
}

// trim leaves out the slashes at a path's end.
func trim(p string) string {
	if t := strings.TrimRight(p, "/"); t != "" {
		return t
	}
	return "/"
}

// isDirectory fails with ENOENT if nothing is at p, and with ENOTDIR if what is
// there is no directory.
func isDirectory(p string) error {
	info, err := os.Stat(p)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s: %w", p, unix.ENOTDIR)
	}
	return err
}
