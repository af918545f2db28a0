package process

import (
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
)

// command is what a fork executes: the first of paths that can be.
type command struct {
	paths []string
	args  []string
	attr  syscall.ProcAttr
}

// lookUp returns where a command may be: every file of its name in the
// directories of path. Whether the user may execute it is for the kernel to
// say.
func lookUp(name, path, dir string) ([]string, error) {
	if strings.IndexByte(name, '/') >= 0 {
		return []string{name}, nil
	}
	var found []string
	for _, d := range strings.Split(path, ":") {
		if d == "" {
			d = "."
		}
		file := d + "/" + name // unclean: it must keep a slash
		if isNoDir(inDir(dir, file)) {
			found = append(found, file)
		}
	}
	if len(found) == 0 {
		return nil, fail.Errorf(fail.NotFound, "no command %q in the guest: PATH is %s", name, path)
	}
	return found, nil
}

func inDir(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return dir + "/" + path
}

func isNoDir(path string) bool {
	var st unix.Stat_t
	return unix.Stat(path, &st) == nil && st.Mode&unix.S_IFMT != unix.S_IFDIR
}

// start forks and executes, as the shells do it: a file that may not be
// executed gives way to the next of its name.
func (c *command) start() (pid int, err error) {
	var denied error
	for _, path := range c.paths {
		pid, err = syscall.ForkExec(path, c.args, &c.attr)
		switch err {
		case nil:
			return pid, nil
		case syscall.EACCES:
			denied = c.explain(path, err)
		case syscall.ENOENT, syscall.ENOTDIR:
		default:
			return 0, c.explain(path, err)
		}
	}
	if denied != nil {
		return 0, denied
	}
	return 0, c.explain(c.paths[len(c.paths)-1], err)
}

// explain tells "not found" (a shell's exit code 127) from "can't be executed"
// (126).
func (c *command) explain(path string, err error) error {
	switch err {
	case syscall.ENOENT, syscall.ENOTDIR, syscall.ELOOP, syscall.ENAMETOOLONG:
		if err == syscall.ENOENT && isNoDir(inDir(c.attr.Dir, path)) {
			return fail.Errorf(fail.NotFound, "execute %s: its interpreter or dynamic loader is not in the guest: %w", path, err)
		}
		return fail.Errorf(fail.NotFound, "execute %s: %w", path, err)
	case syscall.E2BIG:
		return fail.Errorf(fail.Invalid, "execute %s: %w: the kernel takes no more arguments and environment", path, err)
	case syscall.EAGAIN, syscall.ENOMEM, syscall.ENFILE, syscall.EMFILE:
		return fail.Errorf(fail.Exhausted, "execute %s: %w", path, err)
	case syscall.EACCES:
		return fail.Errorf(fail.Denied, "execute %s in %s: %w (a file needs the x permission, a directory can't be executed)", path, c.attr.Dir, err)
	}
	return fail.Errorf(fail.Denied, "execute %s: %w", path, err)
}
