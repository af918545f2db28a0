package node

import (
	"os"
	"path/filepath"
	"testing"
)

// TestInstalled finds what a build puts beside the program there, and else where
// packages do.
func TestInstalled(t *testing.T) {
	dir := t.TempDir()
	if got := installed(dir, "guest"); got != "/usr/lib/bulkhead/guest" {
		t.Errorf("nothing beside the program: %s", got)
	}
	guest := filepath.Join(dir, "guest")
	if err := os.Mkdir(guest, 0o700); err != nil {
		t.Fatal(err)
	}
	if got := installed(dir, "guest"); got != guest {
		t.Errorf("it is beside the program: %s", got)
	}
}
