package main

import (
	"testing"

	"github.com/bulkhead-vm/bulkhead/tests/manual"
)

func TestManPages(t *testing.T) {
	dir, root := t.TempDir(), newRoot()
	if err := manPages(root, dir); err != nil {
		t.Fatal(err)
	}
	manual.Check(t, root, dir)
}
