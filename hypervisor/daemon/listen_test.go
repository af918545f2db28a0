package daemon

import (
	"net"
	"os"
	"strings"
	"testing"
)

// TestSocketsReplaceSockets only.
func TestSocketsReplaceSockets(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/file", []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(dir+"/file", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"file", "link"} {
		l, err := newUnixListener(dir + "/" + name)
		if err == nil {
			l.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "no socket") {
			t.Errorf("in place of a %s: %v", name, err)
		}
	}
	if b, err := os.ReadFile(dir + "/link"); err != nil || string(b) != "mine" {
		t.Errorf("the file is %q, %v", b, err)
	}
	old, err := net.ListenUnix("unix", &net.UnixAddr{Name: dir + "/socket", Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	old.SetUnlinkOnClose(false)
	old.Close()
	l, err := newUnixListener(dir + "/socket")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}
