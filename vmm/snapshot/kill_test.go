package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Words for the process that TestKilledWriter kills.
const (
	childDir  = "SNAPSHOT_TEST_DIR"
	childStep = "SNAPSHOT_TEST_STEP"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		os.Exit(saveAndDie(dir))
	}
	os.Exit(m.Run())
}

// saveAndDie makes a snapshot and is killed when it comes to a step, by number. It
// prints the steps.
func saveAndDie(dir string) int {
	last, err := strconv.Atoi(os.Getenv(childStep))
	if err != nil {
		return 2
	}
	w, err := Create(filepath.Join(dir, "snap"))
	if err != nil {
		return 2
	}
	n := 0
	w.reached = func(step string) {
		if fmt.Println(step); n == last {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			time.Sleep(time.Minute)
		}
		n++
	}
	if err := fill(w); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	return 0
}

// fill completes a snapshot.
func fill(w *Writer) error {
	m, err := newGuest()
	if err != nil {
		return err
	}
	defer m.Close()
	ctx := context.Background()
	disk := w.path + ".disk"
	return errors.Join(
		w.Memory(ctx, m), os.WriteFile(disk, diskContent(), 0o600), w.Copy(ctx, "blk0", disk),
		w.Publish(Manifest{MemoryBytes: testSize}, state()), w.Discard())
}

// TestKilledWriter kills a process at each step of making a snapshot. There is
// either none after that, or a whole one, and at most a directory by a known name.
func TestKilledWriter(t *testing.T) {
	steps, whole := 0, 0
	for step := 0; ; step++ {
		dir := t.TempDir()
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childDir+"="+dir, childStep+"="+strconv.Itoa(step))
		out, err := cmd.Output()
		if err == nil {
			break // no step has the number
		}
		if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || ws.Signal() != syscall.SIGKILL {
			t.Fatalf("%v: %s", err, out)
		}
		steps++
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		path := filepath.Join(dir, "snap")
		s, err := Open(path)
		switch {
		case err == nil:
			whole++
			if err := s.Verify(); err != nil {
				t.Errorf("killed at %q: %v", lines[len(lines)-1], err)
			}
			s.Close()
		case isThere(path):
			t.Errorf("killed at %q: there is a snapshot, but %v", lines[len(lines)-1], err)
		}
		left, err := filepath.Glob(filepath.Join(dir, ".*"))
		if err != nil || len(left) > 1 || len(left) == 1 && !strings.HasPrefix(filepath.Base(left[0]), savingPrefix) {
			t.Errorf("killed at %q: %v is left (%v)", lines[len(lines)-1], left, err)
		}
	}
	if steps < 10 || whole == 0 || whole == steps {
		t.Errorf("%d steps, after %d of which there was a snapshot", steps, whole)
	}
}

func isThere(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
