package node_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// TestLinksChangeAfterCreate has a file that was right become a link out of the
// directories that the node serves.
func TestLinksChangeAfterCreate(t *testing.T) {
	f := open(t)
	dir, outside := f.config.Limits.Spec.Images[0], t.TempDir()
	changes := filepath.Join(dir, "changes")
	f.must(os.WriteFile(filepath.Join(dir, "base"), make([]byte, 4096), 0o600))
	f.create("box", &bulkheadv1.SandboxSpec{Disks: []*bulkheadv1.Disk{{Path: filepath.Join(dir, "base"), OverlayPath: changes}}})
	f.must(os.Symlink(filepath.Join(outside, "new"), changes))
	_, err := f.Start(t.Context(), "box")
	f.kindIs(err, fault.Aborted, fault.ReasonStartFailed)
	if err != nil && !strings.Contains(err.Error(), "spec.disks[0].overlay_path") {
		t.Errorf("it isn't said which: %v", err)
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) != 0 {
		t.Errorf("made outside: %v, %v", entries, err)
	}
}
