// Package supervise starts worker processes and keeps what belongs to them on
// disk: a directory for each sandbox, its bundle.
package supervise

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Bundle is a sandbox's directory: its sockets and its worker's log. It is
// locked, by its owner and by the worker, as long as either lives; what is left
// of a bundle that nobody locks belongs to nobody.
type Bundle struct {
	Dir  string
	lock *os.File
}

// lockName marks a directory as a bundle. No sandbox can have this name.
const lockName = ".bulkhead-lock"

// ErrNameTaken is wrapped when another sandbox has the name.
var ErrNameTaken = errors.New("name is in use")

// EnvRuntimeDir is the environment variable that moves the runtime directory.
const EnvRuntimeDir = "BULKHEAD_RUNTIME_DIR"

// RuntimeDir returns where bundles are kept: a directory that doesn't survive
// a reboot.
func RuntimeDir() string {
	if dir := os.Getenv(EnvRuntimeDir); dir != "" {
		return dir
	}
	switch dir := os.Getenv("XDG_RUNTIME_DIR"); {
	case os.Geteuid() == 0:
		return "/run/bulkhead"
	case dir != "":
		return filepath.Join(dir, "bulkhead")
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("bulkhead-%d", os.Geteuid()))
}

// NewBundle makes a bundle below root. Its owner and its worker have it locked
// as long as either lives.
func NewBundle(root, name string) (*Bundle, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	if err := makeRoot(root); err != nil {
		return nil, fmt.Errorf("runtime directory: %w", err)
	}
	unlock, err := lockRoot(root)
	if err != nil {
		return nil, err
	}
	defer unlock()
	b := &Bundle{Dir: filepath.Join(root, name)}
	os.Remove(b.Dir) // empty if its owner was killed while making or removing it
	err = os.Mkdir(b.Dir, 0o700)
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil, fmt.Errorf("sandbox %q: %w: choose another name, or end that sandbox first", name, ErrNameTaken)
	case err != nil:
		return nil, fmt.Errorf("bundle: %w", err)
	}
	if b.lock, err = lock(b.Dir, os.O_CREATE, unix.LOCK_NB); err != nil {
		return nil, errors.Join(err, os.RemoveAll(b.Dir))
	}
	return b, nil
}

// OpenBundle returns a bundle that is there already, of an owner that has gone.
// It isn't locked by the new one: who may be its owner is decided elsewhere. It
// fails with fs.ErrNotExist if there is no such bundle.
func OpenBundle(root, name string) (*Bundle, error) {
	b := &Bundle{Dir: filepath.Join(root, name)}
	if _, err := os.Stat(b.Path(lockName)); err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	return b, nil
}

// Bundles returns the names of the bundles below root.
func Bundles(root string) (names []string, err error) {
	entries, err := os.ReadDir(root)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("runtime directory: %w", err)
	}
	for _, e := range entries {
		if _, err := os.Stat(filepath.Join(root, e.Name(), lockName)); err == nil {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// makeRoot makes the directory of bundles, or sees that nobody else can put
// anything into the one that is there.
func makeRoot(root string) error {
	if err := os.MkdirAll(root, 0o700); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Stat(root, &st); err != nil {
		return err
	}
	if int(st.Uid) != os.Geteuid() || st.Mode&0o022 != 0 {
		return fmt.Errorf("%s belongs to another user, or others can write to it: choose one of your own with %s", root, EnvRuntimeDir)
	}
	return nil
}

// lockRoot keeps others from sweeping while a bundle is being made, when
// nobody has locked it yet.
func lockRoot(root string) (unlock func(), err error) {
	f, err := lock(root, os.O_CREATE, 0)
	if err != nil {
		return nil, err
	}
	return func() { f.Close() }, nil
}

// maxName leaves room for the sockets' names in the 107 bytes of a socket path.
const maxName = 48

// CheckName fails unless a sandbox may be called name.
func CheckName(name string) error {
	ok := name != "" && len(name) <= maxName && name[0] != '.' && name[0] != '-'
	for _, r := range name {
		ok = ok && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_.-", r))
	}
	if !ok {
		return fmt.Errorf("invalid sandbox name %q: use 1 to %d letters, digits, '_', '.' and '-', not '.' or '-' first", name, maxName)
	}
	return nil
}

// lock locks a directory, which with O_CREATE needs no lock file yet. With
// LOCK_NB it fails if somebody else has locked it.
func lock(dir string, create, flags int) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|create, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|flags); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", f.Name(), err), f.Close())
	}
	return f, nil
}

// Path returns the path of a file in the bundle.
func (b *Bundle) Path(name string) string { return filepath.Join(b.Dir, name) }

// Remove deletes the bundle.
func (b *Bundle) Remove() error {
	unlock, err := lockRoot(filepath.Dir(b.Dir))
	if err != nil {
		return errors.Join(err, b.unlock())
	}
	defer unlock()
	return errors.Join(removeAll(b.Dir), b.unlock())
}

func (b *Bundle) unlock() error {
	if b.lock == nil {
		return nil // it is another owner's
	}
	return b.lock.Close()
}

// removeAll deletes a bundle, its lock file last: what is left when this process
// is killed meanwhile is a bundle still, or empty.
func removeAll(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == lockName {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return os.RemoveAll(dir)
}

// Sweep deletes the bundles below root that belong to nobody, and nothing that
// isn't a bundle.
func Sweep(root string) error {
	unlock, err := lockRoot(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unlock()
	names, err := Bundles(root)
	if err != nil {
		return err
	}
	for _, name := range names {
		dir := filepath.Join(root, name)
		f, err := lock(dir, 0, unix.LOCK_NB)
		if err != nil {
			continue // in use, or gone already
		}
		if err := errors.Join(removeAll(dir), f.Close()); err != nil {
			return fmt.Errorf("clear away what a dead sandbox left: %w", err)
		}
	}
	return nil
}
