package procstat

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestParse(t *testing.T) {
	const rest = " S 1 2 2 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 "
	for _, tt := range []struct {
		line string
		want uint64 // 0: an error
	}{
		{"7 (cat)" + rest + "4711 99 100\n", 4711},
		{"7 (a b)" + rest + "4711 99\n", 4711},
		{"7 (a) S 1 (b)" + rest + "18446744073709551615\n", 1<<64 - 1},
		{"7 ())" + rest + "4711\n", 4711},
		{"7 (cat)" + rest + "\n", 0},
		{"7 (cat)" + rest + "-3\n", 0},
		{"7 cat" + rest + "4711\n", 0},
		{"", 0},
	} {
		got, err := parse([]byte(tt.line))
		if got != tt.want || (err != nil) != (tt.want == 0) {
			t.Errorf("%q: %d, %v, want %d", tt.line, got, err, tt.want)
		}
	}
}

// TestStartTicks looks at a process with a name that means to confuse.
func TestStartTicks(t *testing.T) {
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Skip(err)
	}
	name := filepath.Join(t.TempDir(), "x) S 1 (y")
	if err := os.Symlink(sleep, name); err != nil {
		t.Fatal(err)
	}
	own, err := StartTicks(os.Getpid())
	if err != nil || own == 0 {
		t.Fatalf("of this process: %d, %v", own, err)
	}
	cmd := exec.Command(name, "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	child, err := StartTicks(cmd.Process.Pid)
	if err != nil || child < own || child > own+60*100 {
		t.Errorf("of a child: %d, %v; of this process: %d", child, err, own)
	}
	cmd.Process.Kill()
	cmd.Wait()
	if _, err := StartTicks(cmd.Process.Pid); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of a process that is gone: %v", err)
	}
}
