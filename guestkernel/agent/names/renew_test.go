package names

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
)

func TestReplaceHost(t *testing.T) {
	const local = "127.0.0.1\tlocalhost\n"
	tests := []struct {
		name       string
		old        string // "-": no file
		last, next string
		want       string
	}{
		{"no file", "-", "box", "clone", "127.0.0.1\tlocalhost\n::1\tlocalhost\n127.0.1.1\tclone\n"},
		{"ours", local + "127.0.1.1\tbox\n", "box", "clone", local + "127.0.1.1\tclone\n"},
		{"with others", "127.0.0.1   localhost  box # box\n::1 box\n", "box", "clone", "127.0.0.1\tlocalhost clone # box\n::1\tclone\n"},
		{"no newline", "127.0.1.1 box", "box", "clone", "127.0.1.1\tclone\n"},
		{"comment at the end", "127.0.1.1 box#", "box", "clone", "127.0.1.1\tclone #"},
		{"part of another", local + "127.0.1.1 boxer\n", "box", "clone", local + "127.0.1.1 boxer\n127.0.1.1\tclone\n"},
		{"another's address", local + "10.0.0.9 box\n", "box", "clone", local + "10.0.0.9 box\n127.0.1.1\tclone\n"},
		{"another line for it", local + "127.0.1.1 box\n10.0.0.9 clone\n", "box", "clone", local + "127.0.1.1\tclone\n10.0.0.9 clone\n"},
		{"localhost", local, "localhost", "clone", local + "127.0.1.1\tclone\n"},
		{"the same", local + "127.0.1.1 \tbox\n", "box", "box", local + "127.0.1.1 \tbox\n"},
		{"no last", local, "", "clone", local + "127.0.1.1\tclone\n"},
		{"no next", local, "box", "", local},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			etc := t.TempDir()
			path := filepath.Join(etc, "hosts")
			if tt.old != "-" {
				if err := os.WriteFile(path, []byte(tt.old), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 {
				if err := ReplaceHost(etc, tt.last, tt.next); err != nil {
					t.Fatal(err)
				}
				if got, err := os.ReadFile(path); err != nil || string(got) != tt.want {
					t.Errorf("hosts is %q, %v; want %q", got, err, tt.want)
				}
			}
		})
	}
}

func TestMachineID(t *testing.T) {
	const id = "0123456789abcdefFEDCBA9876543210"
	for id, ok := range map[string]bool{
		"": true, id: true,
		id[1:]: false, id + "0": false, id[1:] + "g": false, id[1:] + "\n": false, strings.Repeat("0", 32): false, strings.Repeat("a", 1<<20): false,
	} {
		if err := CheckMachineID(id); (err == nil) != ok || err != nil && (fail.KindOf(err) != fail.Invalid || len(err.Error()) > 200) {
			t.Errorf("CheckMachineID(%.40q): %v", id, err)
		}
	}
	etc := t.TempDir()
	path := filepath.Join(etc, "machine-id")
	if err := SetMachineID(etc, ""); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("no ID, and a file: %v", err)
	}
	for range 2 {
		if err := SetMachineID(etc, id); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil || string(b) != strings.ToLower(id)+"\n" {
			t.Errorf("machine-id is %q, %v", b, err)
		}
	}
	if err := SetMachineID(filepath.Join(etc, "no"), id); err != nil {
		t.Errorf("without the directory: %v", err)
	}
	if err := SetMachineID(path, id); err != nil {
		t.Errorf("with a file in its place: %v", err)
	}
}

func TestHostname(t *testing.T) {
	want, err := os.Hostname()
	if got := Hostname(); err != nil || got != want {
		t.Errorf("the machine's name is %q, want %q, %v", got, want, err)
	}
}

// TestReadOnly says EROFS, for the caller to decide.
func TestReadOnly(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	dir := t.TempDir()
	if err := unix.Mount("etc", dir, "tmpfs", 0, ""); err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	err := errors.Join(os.WriteFile(dir+"/hosts", []byte("127.0.1.1 box\n"), 0o644), unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	if err != nil {
		t.Fatal(err)
	}
	for i, err := range []error{
		ReplaceHost(dir, "box", "clone"),
		SetMachineID(dir, "0123456789abcdef0123456789abcdef"),
		SetNameservers(dir, []string{"10.0.0.1"}),
	} {
		if !errors.Is(err, unix.EROFS) {
			t.Errorf("%d: %v, want EROFS", i, err)
		}
	}
}
