package snapshots

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/hypervisor/archive"
	"github.com/bulkhead-vm/bulkhead/vmm/snapshot"
)

// importAndDie imports an archive, and is killed when it comes to a step, by number.
func importAndDie() int {
	last, err := strconv.Atoi(os.Getenv(childStep))
	if err != nil {
		return 2
	}
	d, err := Open(os.Getenv(childDir))
	if err != nil {
		return 2
	}
	n := 0
	err = importTo(d, os.Getenv(childArchive), "s", func(step string) {
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

// TestKilledImport kills a process at each step of an import. There is either no
// snapshot after that, or a whole one; and nothing else after a sweep.
func TestKilledImport(t *testing.T) {
	for name, format := range map[string]archive.Format{"oci": archive.OCI, "plain": archive.Plain} {
		t.Run(name, func(t *testing.T) {
			path := archiveOf(t, format)
			steps, whole := 0, 0
			for step := 0; ; step++ {
				d := open(t)
				cmd := exec.Command(os.Args[0])
				cmd.Env = append(os.Environ(), childDir+"="+d.path, childArchive+"="+path, childStep+"="+strconv.Itoa(step))
				out, err := cmd.Output()
				if err == nil {
					break // no step has the number
				}
				if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || ws.Signal() != syscall.SIGKILL {
					t.Fatalf("%v: %s", err, out)
				}
				steps++
				lines := strings.Split(strings.TrimSpace(string(out)), "\n")
				if afterKill(t, d, lines[len(lines)-1]) {
					whole++
				}
			}
			if steps < 12 || whole == 0 || whole == steps {
				t.Errorf("%d steps, after %d of which there was a snapshot", steps, whole)
			}
		})
	}
}

// afterKill looks what there is, and reports whether it is a snapshot.
func afterKill(t *testing.T, d *Dir, step string) (whole bool) {
	t.Helper()
	names, err := d.Names()
	if err != nil {
		t.Fatal(err)
	}
	for range names {
		whole = true
		s, err := d.Get("s")
		if err != nil || s.Imported.Client != "tester" {
			t.Errorf("killed at %q: %v", step, err)
			continue
		}
		open, err := snapshot.Open(s.Path)
		if err != nil {
			t.Errorf("killed at %q: %v", step, err)
			continue
		}
		if err := errors.Join(open.Verify(), open.Close()); err != nil {
			t.Errorf("killed at %q: %v", step, err)
		}
	}
	if _, _, err := d.Sweep(func(name string, err error) { t.Error(name, err) }); err != nil {
		t.Error(err)
	}
	entries, err := os.ReadDir(d.path)
	if err != nil || len(entries) != len(names) {
		t.Errorf("killed at %q: after a sweep there is %v, %v", step, entries, err)
	}
	return whole
}
