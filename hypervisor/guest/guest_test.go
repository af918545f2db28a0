package guest

import (
	"context"
	"net"
	"path/filepath"
	"testing"
)

// TestHungUpWhileRefused gives up a connection at the moment at which the guest
// refuses it.
func TestHungUpWhileRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vsock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go c.Close()
		}
	}()
	for range 2000 {
		ctx, cancel := context.WithCancel(t.Context())
		go cancel()
		if conn, err := dial(ctx, path, controlPort); err == nil {
			t.Fatalf("connected to %v", conn.RemoteAddr())
		}
	}
}
