package worker

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bulkhead-vm/bulkhead/vmm/timeline"

	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// TestSaveReplacedImage has another file be where a disk's was when the machine was
// made: a snapshot would be of memory that fits the one before.
func TestSaveReplacedImage(t *testing.T) {
	for name, disk := range map[string]*vmmv1.Disk{
		"read-only": {ReadOnly: true},
		"in place":  {},
		"overlay":   {Overlay: filepath.Join(t.TempDir(), "overlay")},
	} {
		t.Run(name, func(t *testing.T) {
			content := make([]byte, 1<<20)
			disk.Path = writeFile(t, "disk", content)
			w := createWith(t, pageWriter, &vmmv1.MachineConfig{Disks: []*vmmv1.Disk{disk}})
			start(t, w)
			dir := t.TempDir()
			saved(t, w, filepath.Join(dir, "before"))
			if err := os.Rename(writeFile(t, "other", content), disk.Path); err != nil {
				t.Fatal(err)
			}
			after := filepath.Join(dir, "after")
			_, err := w.Snapshot(context.Background(), &vmmv1.SnapshotRequest{Path: after})
			if status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), disk.Path) {
				t.Errorf("saved, with another image at its path: %v", err)
			}
			if _, err := os.Lstat(after); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("it left something: %v", err)
			}
			untilCounted(t, w, 64)
		})
	}
}

// TestRestoredDisk is made at a path at which nothing is, of what the guest wrote until
// it was saved.
func TestRestoredDisk(t *testing.T) {
	content := bytes.Repeat([]byte("saved"), 1<<20)[:1<<20]
	image := writeFile(t, "disk", content)
	w := createWith(t, pageWriter, &vmmv1.MachineConfig{Disks: []*vmmv1.Disk{{Path: image}}})
	start(t, w)
	golden := filepath.Join(t.TempDir(), "golden")
	saved(t, w, golden)
	restore := func(path string) error {
		w := New(Config{Log: slog.New(slog.DiscardHandler), Timeline: new(timeline.Timeline)})
		defer w.Close()
		_, err := w.Create(context.Background(), &vmmv1.CreateRequest{Machine: &vmmv1.MachineConfig{Disks: []*vmmv1.Disk{{Path: path}}}, Snapshot: golden})
		return err
	}
	fresh := filepath.Join(t.TempDir(), "fresh")
	if err := restore(fresh); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(fresh); err != nil || !bytes.Equal(b, content) {
		t.Errorf("the copy has something else: %v", err)
	}
	empty := writeFile(t, "empty", make([]byte, 1<<20))
	if err := restore(empty); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("restored with another disk: %v", err)
	}
	if b, err := os.ReadFile(empty); err != nil || !bytes.Equal(b, make([]byte, 1<<20)) {
		t.Errorf("the file that was there has changed: %v", err)
	}
}
