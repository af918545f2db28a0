package guest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"testing"
	"time"
)

// TestAcceptAgain waits for an agent that comes late, in several turns.
func TestAcceptAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vsock")
	vsock, err := net.Listen("unix", path) // of the machine: the agent can be called
	if err != nil {
		t.Fatal(err)
	}
	defer vsock.Close()
	go func() {
		for {
			c, err := vsock.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			go fmt.Fprintln(c, "OK 5")
		}
	}()
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		if _, err := l.Accept(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("nobody came: %v", err)
		}
		cancel()
	}
	guest, err := net.Dial("unix", fmt.Sprintf("%s_%d", path, controlPort))
	if err != nil {
		t.Fatal(err)
	}
	defer guest.Close()
	fmt.Fprintln(guest, readyLine)
	agent, err := l.Accept(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	agent.Close()
}
