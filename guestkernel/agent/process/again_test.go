package process

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
)

// TestStartedAgain has a host go away while what it asked for is being started, and
// another ask for it again: that hears how the first attempt ends, which goes on.
func TestStartedAgain(t *testing.T) {
	g := theGuest()
	noProgram := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(noProgram, []byte("\x7fELF, but no more"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		program string
		first   fail.Kind
		again   fail.Kind
	}{
		{"true", 0, fail.Exists},
		{noProgram, fail.Denied, fail.Denied},
	} {
		s := Spec{ID: g.newID(), Args: []string{tt.program}}
		ctx, goAway := context.WithCancel(t.Context())
		first, again := make(chan error, 1), make(chan error, 1)
		go func() { _, err := g.Start(ctx, s); first <- err }()
		g.untilBegun(t, s.ID)
		goAway()
		go func() { _, err := g.Start(t.Context(), s); again <- err }()
		late, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		if _, err := g.Start(late, s); err == nil || fail.KindOf(err) == fail.Exists {
			t.Errorf("%s: before it is clear: %v", tt.program, err)
		}
		cancel()
		g.connect(t, s.ID, "stdio")
		g.connect(t, s.ID, "stderr")
		if err := <-first; (err == nil) != (tt.first == 0) || err != nil && fail.KindOf(err) != tt.first {
			t.Errorf("%s: %v, want %v", tt.program, err, tt.first)
		}
		if err := <-again; fail.KindOf(err) != tt.again {
			t.Errorf("%s: the next one hears %v, want %v", tt.program, err, tt.again)
		}
	}
}

// untilBegun waits until a process is being started.
func (g *guest) untilBegun(t *testing.T, id string) {
	t.Helper()
	for range 5000 {
		g.Table.mu.Lock()
		p := g.byID[id]
		g.Table.mu.Unlock()
		if p != nil {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("it isn't being started")
}
