package vsock

import (
	"net"
	"os"
	"path/filepath"
	"testing"
)

// TestSocketInTheWay takes the place of a socket that a killed process left,
// and of nothing else.
func TestSocketInTheWay(t *testing.T) {
	dir := t.TempDir()
	left := filepath.Join(dir, "left")
	used := filepath.Join(dir, "used")
	file := filepath.Join(dir, "file")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: left, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	other, err := net.Listen("unix", used)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, ok := range map[string]bool{left: true, used: false, file: false} {
		l, err := listen(Route{Path: path})
		if (err == nil) != ok {
			t.Errorf("%s: %v", path, err)
		}
		if err == nil {
			l.close()
		}
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "precious" {
		t.Errorf("the file in the way: %q, %v", b, err)
	}
}
