package guest

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"testing"
	"time"
)

// TestLateGuest gives up waiting for a guest that says nothing: who waits hears that
// it was late, whichever clock runs out first.
func TestLateGuest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vsock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	late := errors.New("late")
	for range 200 {
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Millisecond, late)
		a, err := Connect(ctx, path)
		if cancel(); !errors.Is(err, late) {
			t.Fatalf("%v, %v", a, err)
		}
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
}
