package main

import (
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/proto"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
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
		want *bulkheadv1.Disk
		ok   bool
	}{
		{plain, &bulkheadv1.Disk{Path: plain}, true},
		{plain + ":ro", &bulkheadv1.Disk{Path: plain, ReadOnly: true}, true},
		{plain + ":rw", &bulkheadv1.Disk{Path: plain}, true},
		{plain + ":direct,ro", &bulkheadv1.Disk{Path: plain, ReadOnly: true, Direct: true}, true},
		{plain + ":overlay", &bulkheadv1.Disk{Path: plain, Overlay: true}, true},
		{plain + ":overlay=x", &bulkheadv1.Disk{Path: plain, OverlayPath: "x"}, true},
		{colon, &bulkheadv1.Disk{Path: colon}, true},
		{colon + ":ro", &bulkheadv1.Disk{Path: colon, ReadOnly: true}, true},
		{plain + ":overlay=", &bulkheadv1.Disk{}, false},
		{plain + ":ro,overlay=x", &bulkheadv1.Disk{}, false},
		{plain + ":direct,overlay=x", &bulkheadv1.Disk{}, false},
		{plain + ":wr", &bulkheadv1.Disk{}, false},
		{":ro", &bulkheadv1.Disk{}, false},
		{"", &bulkheadv1.Disk{}, false},
		{filepath.Join(dir, "absent") + ":overlay=x", &bulkheadv1.Disk{}, false},
	}
	for _, tt := range tests {
		got, err := parseDisk(tt.arg, true)
		if err == nil {
			err = checkDisk(got, false)
		}
		if (err == nil) != tt.ok || tt.ok && !proto.Equal(got, tt.want) {
			t.Errorf("parseDisk(%q) = %+v, %v", tt.arg, got, err)
		}
	}
}

// TestCheckDisk is about disks that are here: a copy's, and others.
func TestCheckDisk(t *testing.T) {
	there := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(there, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	absent := there + "-absent"
	tests := []struct {
		disk       *bulkheadv1.Disk
		made, copy bool // whether it is taken
	}{
		{&bulkheadv1.Disk{Path: there}, true, false},
		{&bulkheadv1.Disk{Path: absent}, false, true},
		{&bulkheadv1.Disk{Path: "/dev/null"}, true, true}, // what a device has is for its owner to know
		{&bulkheadv1.Disk{Path: there, ReadOnly: true}, true, true},
		{&bulkheadv1.Disk{Path: absent, ReadOnly: true}, false, false},
		{&bulkheadv1.Disk{Path: there, Overlay: true}, true, true},
		{&bulkheadv1.Disk{Path: absent, OverlayPath: there}, false, false},
	}
	for _, tt := range tests {
		for copied, want := range map[bool]bool{false: tt.made, true: tt.copy} {
			if err := checkDisk(tt.disk, copied); (err == nil) != want {
				t.Errorf("%v, of a copy: %v: %v", tt.disk, copied, err)
			}
		}
	}
}
