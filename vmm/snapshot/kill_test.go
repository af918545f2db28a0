package snapshot

import (
	"bytes"
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

	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// Words for the process that TestKilledWriter kills.
const (
	childDir  = "SNAPSHOT_TEST_DIR"
	childStep = "SNAPSHOT_TEST_STEP"
	childWork = "SNAPSHOT_TEST_WORK" // a key of works
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		os.Exit(saveAndDie(dir))
	}
	os.Exit(m.Run())
}

// works are what processes do until they are killed, by name.
func works() map[string]func(dir string, reached func(string)) error {
	return map[string]func(dir string, reached func(string)) error{
		"save": func(dir string, reached func(string)) error {
			w, err := Create(filepath.Join(dir, "snap"))
			if err != nil {
				return err
			}
			w.reached = reached
			return fill(w)
		},
		"save differences": func(dir string, reached func(string)) error {
			return saveChain(dir, reached)
		},
		"merge": func(dir string, reached func(string)) error {
			if err := saveChain(dir, func(string) {}); err != nil {
				return err
			}
			return merge(context.Background(), filepath.Join(dir, "snap"), nil, reached)
		},
	}
}

// saveAndDie does such work, and is killed when it comes to a step, by number. It
// prints the steps.
func saveAndDie(dir string) int {
	last, err := strconv.Atoi(os.Getenv(childStep))
	if err != nil {
		return 2
	}
	n := 0
	err = works()[os.Getenv(childWork)](dir, func(step string) {
		if fmt.Println(step); n == last {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			time.Sleep(time.Minute)
		}
		n++
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	return 0
}

// saveChain makes a snapshot, and another of what was written since.
func saveChain(dir string, reached func(string)) error {
	m, err := newGuest()
	if err != nil {
		return err
	}
	defer m.Close()
	ctx := context.Background()
	parent, err := Create(filepath.Join(dir, "parent"))
	if err != nil {
		return err
	}
	defer parent.Discard()
	if err := errors.Join(parent.Memory(ctx, m), parent.Publish(Manifest{MemoryBytes: testSize}, state())); err != nil {
		return err
	}
	s, err := parent.Open()
	if err != nil {
		return err
	}
	defer s.Close()
	if _, err := parent.Rebase(m); err != nil {
		return err
	}
	err = errors.Join(m.WriteAt([]byte{0x77}, 5<<20), m.WriteAt([]byte{0}, 1<<20))
	w, failed := Create(filepath.Join(dir, "snap"))
	if err = errors.Join(err, failed); err != nil {
		return err
	}
	w.reached = reached
	return errors.Join(w.Prepare(ctx, s, false), fillFrom(w, m))
}

// wantChain is what the memory of saveChain's second snapshot is.
func wantChain(first []byte) []byte {
	b := bytes.Clone(first)
	b[5<<20], b[1<<20] = 0x77, 0
	return b
}

// fill completes a snapshot.
func fill(w *Writer) error {
	m, err := newGuest()
	if err != nil {
		return err
	}
	defer m.Close()
	return fillFrom(w, m)
}

func fillFrom(w *Writer, m *memory.Memory) error {
	ctx := context.Background()
	disk := w.path + ".disk"
	return errors.Join(
		w.Memory(ctx, m), os.WriteFile(disk, diskContent(), 0o600), w.Copy(ctx, "blk0", disk),
		w.Publish(Manifest{MemoryBytes: testSize}, state()), w.Discard())
}

// TestKilledWriter kills a process at each step of making a snapshot. There is
// either none after that, or a whole one, and at most a directory by a known name.
func TestKilledWriter(t *testing.T) {
	_, first := guest(t)
	whole := 0
	steps := killAtEachStep(t, "save", func(path string) {
		if isThere(path) {
			wantWhole(t, path, first)
			whole++
		}
	})
	if steps < 10 || whole == 0 || whole == steps {
		t.Errorf("%d steps, after %d of which there was a snapshot", steps, whole)
	}
}

// TestKilledDifferences is that for one that shares files with its parent, which stays
// as it is.
func TestKilledDifferences(t *testing.T) {
	_, first := guest(t)
	whole := 0
	steps := killAtEachStep(t, "save differences", func(path string) {
		wantWhole(t, filepath.Join(filepath.Dir(path), "parent"), first)
		if isThere(path) {
			wantWhole(t, path, wantChain(first))
			whole++
		}
	})
	if steps < 10 || whole == 0 || whole == steps {
		t.Errorf("%d steps, after %d of which there was a snapshot", steps, whole)
	}
}

// TestKilledMerge kills a process at each step of a merge: there is the old snapshot or
// the new one.
func TestKilledMerge(t *testing.T) {
	_, first := guest(t)
	merged := 0
	steps := killAtEachStep(t, "merge", func(path string) {
		wantWhole(t, filepath.Join(filepath.Dir(path), "parent"), first)
		wantWhole(t, path, wantChain(first))
		if m, _, err := Read(path); err == nil && m.Layers == 1 {
			merged++
		}
	})
	if steps < 8 || merged == 0 || merged == steps {
		t.Errorf("%d steps, after %d of which it was merged", steps, merged)
	}
}

func wantWhole(t *testing.T, path string, want []byte) {
	t.Helper()
	s, err := Open(path)
	if err != nil {
		t.Error(err)
		return
	}
	defer s.Close()
	m, err := s.Memory()
	if err := errors.Join(err, s.Verify()); err != nil {
		t.Error(err)
		return
	}
	defer m.Close()
	same(t, path, m.Regions()[0].Bytes, want)
}

// killAtEachStep has processes do work and be killed, each at another step, and calls
// check with where the snapshot is to be. It returns how many steps there are.
func killAtEachStep(t *testing.T, work string, check func(path string)) (steps int) {
	t.Helper()
	for ; ; steps++ {
		dir := t.TempDir()
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childDir+"="+dir, childStep+"="+strconv.Itoa(steps), childWork+"="+work)
		out, err := cmd.Output()
		if err == nil {
			return steps // no step has the number
		}
		if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || ws.Signal() != syscall.SIGKILL {
			t.Fatalf("%v: %s", err, out)
		}
		check(filepath.Join(dir, "snap"))
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		if t.Failed() {
			t.Fatalf("killed at %q", lines[len(lines)-1])
		}
		left, err := filepath.Glob(filepath.Join(dir, ".*"))
		if err != nil || len(left) > 1 || len(left) == 1 && !strings.HasPrefix(filepath.Base(left[0]), savingPrefix) {
			t.Errorf("killed at %q: %v is left (%v)", lines[len(lines)-1], left, err)
		}
	}
}

func isThere(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
