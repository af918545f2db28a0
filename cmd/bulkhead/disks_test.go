package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/bulkhead-vm/bulkhead/hypervisor/node"
)

func TestParseDisk(t *testing.T) {
	dir := t.TempDir()
	plain, colon := filepath.Join(dir, "disk"), filepath.Join(dir, "a:b")
	for _, path := range []string{plain, colon} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		arg  string
		want node.Disk
		ok   bool
	}{
		{plain, node.Disk{Path: plain}, true},
		{plain + ":ro", node.Disk{Path: plain, ReadOnly: true}, true},
		{plain + ":rw", node.Disk{Path: plain}, true},
		{plain + ":direct,ro", node.Disk{Path: plain, ReadOnly: true, Direct: true}, true},
		{plain + ":overlay=x", node.Disk{Path: plain, Overlay: "x"}, true},
		{colon, node.Disk{Path: colon}, true},
		{colon + ":ro", node.Disk{Path: colon, ReadOnly: true}, true},
		{plain + ":overlay=", node.Disk{}, false},
		{plain + ":ro,overlay=x", node.Disk{}, false},
		{plain + ":direct,overlay=x", node.Disk{}, false},
		{plain + ":wr", node.Disk{}, false},
		{":ro", node.Disk{}, false},
		{"", node.Disk{}, false},
		{filepath.Join(dir, "absent") + ":overlay=x", node.Disk{}, false},
	}
	for _, tt := range tests {
		got, err := parseDisk(tt.arg)
		if (err == nil) != tt.ok || tt.ok && got != tt.want {
			t.Errorf("parseDisk(%q) = %+v, %v", tt.arg, got, err)
		}
	}
}
