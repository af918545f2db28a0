package freezer

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// maxFile bounds what is read of one: the numbers of 4 million processes.
const maxFile = 32 << 20

// dir is a directory, a cgroup. Files are named from there: "NAME/cgroup.procs".
type dir struct{ fd int }

// make makes a directory, or opens the one that is there.
func (d dir) make(name string) (dir, error) {
	if err := unix.Mkdirat(d.fd, name, 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
		return dir{-1}, fmt.Errorf("make the cgroup %s: %w", name, err)
	}
	fd, err := unix.Openat(d.fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return dir{-1}, fmt.Errorf("open the cgroup %s: %w", name, err)
	}
	return dir{fd}, nil
}

func (d dir) has(name string) bool { return unix.Faccessat(d.fd, name, unix.F_OK, 0) == nil }

func (d dir) open(name string, flags int) (*os.File, error) {
	fd, err := unix.Openat(d.fd, name, flags|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

func (d dir) read(name string) (string, error) {
	f, err := d.open(name, unix.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer f.Close()
	var b strings.Builder
	buf := make([]byte, 4096)
	for b.Len() < maxFile {
		n, err := f.Read(buf)
		b.Write(buf[:n])
		if err != nil {
			return b.String(), nil // its end, or that of the cgroup
		}
	}
	return "", fmt.Errorf("%s: larger than %d bytes", name, maxFile)
}

func (d dir) write(name, what string) error {
	f, err := d.open(name, unix.O_WRONLY)
	if err != nil {
		return err
	}
	_, err = f.WriteString(what)
	return errors.Join(err, f.Close())
}

// dirs returns the names of the directories in the directory name.
func (d dir) dirs(name string) (names []string, err error) {
	f, err := d.open(name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	entries, err := f.ReadDir(-1)
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// processes returns those that are in the cgroup name, and that the caller sees.
func (d dir) processes(name string) ([]int, error) {
	pids, err := d.numbers(name + "/cgroup.procs")
	if err != nil {
		return nil, err
	}
	// That has processes of threaded cgroups below, too.
	threads, err := d.numbers(name + "/cgroup.threads")
	if err != nil {
		return nil, err
	}
	slices.Sort(threads)
	return slices.DeleteFunc(pids, func(pid int) bool {
		_, found := slices.BinarySearch(threads, pid)
		return !found
	}), nil
}

func (d dir) numbers(name string) (list []int, err error) {
	text, err := d.read(name)
	for _, word := range strings.Fields(text) {
		if n, err := strconv.Atoi(word); err == nil && n > 0 { // 0: in another namespace
			list = append(list, n)
		}
	}
	return list, err
}

// attach moves a process into the cgroup name.
func (d dir) attach(name string, pid int) error {
	return d.write(name+"/cgroup.procs", strconv.Itoa(pid))
}

// isFrozen tells whether the cgroup name, and all below it, stands still.
func (d dir) isFrozen(name string) (bool, error) {
	events, err := d.read(name + "/cgroup.events")
	return strings.Contains(events, "frozen 1"), err
}

// vanished tells whether err says that a cgroup or a process is no longer there.
func vanished(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ESRCH)
}
