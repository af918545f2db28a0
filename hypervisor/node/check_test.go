package node_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/hypervisor/node"
)

// TestCheckEnds has a worker that never says what it thinks of the host.
func TestCheckEnds(t *testing.T) {
	hangs := filepath.Join(t.TempDir(), "worker")
	if err := os.WriteFile(hangs, []byte("#!/bin/sh\nsleep 1000\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	f := open(t, func(c *node.Config) { c.WorkerPath = hangs })
	asked := make(chan []string, 1)
	go func() {
		info, err := f.Info()
		if err != nil {
			t.Error(err)
		}
		asked <- info.GetProblems()
	}()
	time.Sleep(50 * time.Millisecond)
	began := time.Now()
	if _, _, _, err := f.Share(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("what a scrape wants took %v", took)
	}
	select {
	case problems := <-asked:
		if len(problems) != 1 || !strings.Contains(problems[0], "not answered within") {
			t.Errorf("problems: %q", problems)
		}
	case <-time.After(30 * time.Second):
		t.Error("the worker is waited for without end")
	}
}
