package node_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestNothingIsRemovedUnkept deletes a sandbox while nothing can be kept: as long as
// a node that comes would find it stopped, it has its files.
func TestNothingIsRemovedUnkept(t *testing.T) {
	f, s := openFull(t)
	f.start("box", nil, "echo", "something")
	f.until("box", stopped)
	log := filepath.Join(f.config.StateDir, "sandboxes", "box", "output.log")
	s.full.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := f.Delete(ctx, "box", "", false); err == nil {
		t.Error("deleted on a full disk")
	}
	if state := s.durable(t); state != stopped {
		t.Fatalf("kept on a full disk: %v", state)
	}
	if _, err := os.Stat(log); err != nil {
		t.Errorf("its log, while it is kept as stopped: %v", err)
	}
	s.full.Store(false)
	f.untilGone("box")
	if _, err := os.Stat(log); !os.IsNotExist(err) {
		t.Errorf("its log, once it is deleted: %v", err)
	}
}
