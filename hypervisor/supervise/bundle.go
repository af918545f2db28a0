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
	"time"

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

// ErrHeld is wrapped when a process has a bundle that should be nobody's.
var ErrHeld = errors.New("a process still has it")

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
	if err := CheckName(strings.TrimPrefix(name, OwnMark)); err != nil {
		return nil, err
	}
	r, err := makeRoot(root)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	unlock, err := lockRoot(r)
	if err != nil {
		return nil, err
	}
	defer unlock()
	b := &Bundle{Dir: filepath.Join(root, name)}
	r.Remove(name) // empty if its owner was killed while making or removing it
	err = r.Mkdir(name, 0o700)
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil, fmt.Errorf("sandbox %q: %w: choose another name, or end that sandbox first", name, ErrNameTaken)
	case err != nil:
		return nil, fmt.Errorf("bundle: %w", err)
	}
	if b.lock, err = lock(b.Dir, os.O_CREATE, unix.LOCK_NB); err != nil {
		return nil, errors.Join(err, r.RemoveAll(name))
	}
	return b, nil
}

// OpenBundle returns a bundle that is there already, of an owner that has gone.
// It isn't locked by the new one: who may be its owner is decided elsewhere. It
// fails with fs.ErrNotExist if there is no such bundle.
func OpenBundle(root, name string) (*Bundle, error) {
	r, err := openRoot(root)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if !isBundle(r, name) {
		return nil, fmt.Errorf("bundle %q in %s: %w", name, root, fs.ErrNotExist)
	}
	return &Bundle{Dir: filepath.Join(root, name)}, nil
}

// Bundles returns the names of the bundles below root.
func Bundles(root string) (names []string, err error) {
	r, err := openRoot(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return bundles(r)
}

func bundles(r *os.Root) (names []string, err error) {
	entries, err := fs.ReadDir(r.FS(), ".")
	if err != nil {
		return nil, fmt.Errorf("runtime directory: %w", err)
	}
	for _, e := range entries {
		if isBundle(r, e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// maxName leaves room for the sockets' names in the 107 bytes of a socket path.
const maxName = 48

// OwnMark begins the names of bundles that are of no sandbox called so: CheckName has
// none that begin with it.
const OwnMark = "+"

// CheckName fails unless a sandbox may be called name.
func CheckName(name string) error {
	ok := name != "" && len(name) <= maxName && name[0] != '.' && name[0] != '-'
	for _, r := range name[:min(len(name), maxName)] {
		ok = ok && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_.-", r))
	}
	if !ok {
		return fmt.Errorf("invalid sandbox name %.64q: use 1 to %d letters, digits, '_', '.' and '-', not '.' or '-' first", name, maxName)
	}
	return nil
}

// Path returns the path of a file in the bundle.
func (b *Bundle) Path(name string) string { return filepath.Join(b.Dir, name) }

// Release lets go of the bundle, which stays. What else the owner does with it is
// as for who called OpenBundle.
func (b *Bundle) Release() error {
	if b.lock == nil {
		return nil // it is another owner's
	}
	err := b.lock.Close()
	b.lock = nil
	return err
}

// removeTime is how long Remove waits for the bundle to be nobody's: a process
// that is being started has every descriptor for a moment.
const removeTime = 2 * time.Second

// Remove deletes the bundle. It fails with ErrHeld, and does nothing, if a worker
// still has it.
func (b *Bundle) Remove() error {
	err := b.Release()
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		removed := b.remove()
		if !errors.Is(removed, ErrHeld) || time.Since(began) > removeTime {
			return errors.Join(err, removed)
		}
	}
}

func (b *Bundle) remove() error {
	r, err := openRoot(filepath.Dir(b.Dir))
	if err != nil {
		return err
	}
	defer r.Close()
	unlock, err := lockRoot(r)
	if err != nil {
		return err
	}
	defer unlock()
	f, err := lock(b.Dir, 0, unix.LOCK_NB)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // swept meanwhile
	}
	if err != nil {
		return err
	}
	return errors.Join(removeAll(r, filepath.Base(b.Dir)), f.Close())
}

// removeAll deletes a bundle, its lock file last: what is left when this process
// is killed meanwhile is a bundle still, or empty.
func removeAll(r *os.Root, name string) error {
	entries, err := fs.ReadDir(r.FS(), name)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == lockName {
			continue
		}
		if err := r.RemoveAll(filepath.Join(name, e.Name())); err != nil {
			return err
		}
	}
	return r.RemoveAll(name)
}

// Sweep deletes the bundles below root that belong to nobody, and nothing that
// isn't a bundle. It fails, and deletes nothing, where others can write to root.
func Sweep(root string) error {
	r, err := openRoot(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer r.Close()
	unlock, err := lockRoot(r)
	if err != nil {
		return err
	}
	defer unlock()
	names, err := bundles(r)
	if err != nil {
		return err
	}
	for _, name := range names {
		f, err := lock(filepath.Join(root, name), 0, unix.LOCK_NB)
		if err != nil {
			continue // in use, or gone already
		}
		if err := errors.Join(removeAll(r, name), f.Close()); err != nil {
			return fmt.Errorf("clear away what a dead sandbox left: %w", err)
		}
	}
	return nil
}

// SweepEmpty removes empty directories below root that may be bundles: an owner that is
// killed while it makes or removes one leaves that. All of root must be bundles' own.
func SweepEmpty(root string) error {
	r, err := openRoot(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer r.Close()
	unlock, err := lockRoot(r)
	if err != nil {
		return err
	}
	defer unlock()
	entries, err := fs.ReadDir(r.FS(), ".")
	if err != nil {
		return fmt.Errorf("runtime directory: %w", err)
	}
	for _, e := range entries {
		if e.IsDir() && CheckName(strings.TrimPrefix(e.Name(), OwnMark)) == nil {
			r.Remove(e.Name()) // which fails for one that isn't empty
		}
	}
	return nil
}
