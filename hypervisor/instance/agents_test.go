package instance

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// TestSilentGuest has many calls at a guest that takes connections and says
// nothing: one attempt is made for all, and who gives up doesn't wait for it.
func TestSilentGuest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vsock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var attempts atomic.Int32
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			attempts.Add(1)
			defer conn.Close()
		}
	}()
	life, end := context.WithCancelCause(t.Context())
	a := &agents{path: path, life: life}
	patient := make(chan error, 4)
	for range cap(patient) {
		go func() {
			_, err := a.get(t.Context())
			patient <- err
		}()
	}
	for attempts.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	hurry := errors.New("called off")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(hurry)
	if _, err := a.get(ctx); !errors.Is(err, hurry) {
		t.Errorf("who was called off: %v", err)
	}
	select {
	case err := <-patient:
		t.Errorf("who has time: %v", err)
	default:
	}
	if n := attempts.Load(); n != 1 {
		t.Errorf("%d attempts", n)
	}
	end(ErrDetached)
	for range cap(patient) {
		if err := <-patient; !errors.Is(err, ErrDetached) {
			t.Errorf("at the instance's end: %v", err)
		}
	}
}
