package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// ownCgroup makes a cgroup for what the test starts, and returns its descriptor.
func ownCgroup(t *testing.T) (int, error) {
	t.Helper()
	config, err := unix.Fsopen("cgroup2", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, err
	}
	defer unix.Close(config)
	if err := unix.FsconfigCreate(config); err != nil {
		return -1, err
	}
	root, err := unix.Fsmount(config, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	t.Cleanup(func() { unix.Close(root) })
	path := fmt.Sprintf("/proc/self/fd/%d/bulkhead-agent-test-%d-%d", root, os.Getpid(), time.Now().UnixNano())
	must(t, os.Mkdir(path, 0o755))
	t.Cleanup(func() {
		for range 1000 {
			if err = removeCgroup(path); err == nil {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
		t.Errorf("a cgroup is left: %v", err)
	})
	own, err := unix.Open(path, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	must(t, err)
	t.Cleanup(func() { unix.Close(own) })
	return own, nil
}

// removeCgroup removes a cgroup and those below it.
func removeCgroup(path string) error {
	var dirs []string
	err := filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, p)
		}
		return err
	})
	slices.Reverse(dirs)
	for _, d := range dirs {
		err = errors.Join(err, os.Remove(d))
	}
	return err
}
