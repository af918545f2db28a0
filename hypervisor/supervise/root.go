package supervise

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// makeRoot makes the directory of bundles if it isn't there, and opens it.
func makeRoot(path string) (*os.Root, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("runtime directory: %w", err)
	}
	return openRoot(path)
}

// openRoot opens the directory of bundles. It fails if others can put anything
// into it: whoever makes it first, in a directory for all, could have a sweep
// delete what links in it lead to.
func openRoot(path string) (*os.Root, error) {
	r, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("runtime directory: %w", err)
	}
	if err := checkRoot(r, path); err != nil {
		return nil, errors.Join(fmt.Errorf("runtime directory: %w", err), r.Close())
	}
	return r, nil
}

// checkRoot looks at what is open: the name may be something else's by now.
func checkRoot(r *os.Root, path string) error {
	named, err := os.Lstat(path)
	if err != nil {
		return err
	}
	opened, err := r.Stat(".")
	if err != nil {
		return err
	}
	if !os.SameFile(named, opened) {
		return fmt.Errorf("%s is a link: name the directory itself with %s", path, EnvRuntimeDir)
	}
	st, ok := opened.Sys().(*syscall.Stat_t)
	if !ok || int(st.Uid) != os.Geteuid() || opened.Mode()&0o022 != 0 {
		return fmt.Errorf("%s belongs to another user, or others can write to it: choose one of your own with %s", path, EnvRuntimeDir)
	}
	return nil
}

// lockRoot keeps others from sweeping while a bundle is being made, when
// nobody has locked it yet. r is made with makeRoot or openRoot.
func lockRoot(r *os.Root) (unlock func(), err error) {
	f, err := lock(r.Name(), os.O_CREATE, 0)
	if err != nil {
		return nil, err
	}
	return func() { f.Close() }, nil
}

// lock locks a directory, which with O_CREATE needs no lock file yet. With
// LOCK_NB it fails if somebody else has locked it. It follows no link: a worker
// can put some into its bundle.
func lock(dir string, create, flags int) (*os.File, error) {
	f, err := openLock(dir, create)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|flags)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = ErrHeld
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", f.Name(), err), f.Close())
	}
	return f, nil
}

func openLock(dir string, create int) (*os.File, error) {
	path := filepath.Join(dir, lockName)
	in, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	defer unix.Close(in)
	fd, err := unix.Openat(in, lockName, unix.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC|create, 0o600)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// isBundle reports whether a name in the directory of bundles is one's.
func isBundle(r *os.Root, name string) bool {
	dir, err := r.Lstat(name)
	if err != nil || !dir.IsDir() {
		return false
	}
	mark, err := r.Lstat(filepath.Join(name, lockName))
	return err == nil && mark.Mode().IsRegular()
}
