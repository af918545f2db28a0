package cache

import (
	"os"
	"path/filepath"
	"testing"
)

func TestKeyDependsOnInputsNotOrder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	var base, reordered, fromFile, renamed, changed, more Key
	base.AddString("a", "x")
	base.AddString("b", "y")
	reordered.AddString("b", "y")
	reordered.AddString("a", "x")
	fromFile.AddString("b", "y")
	if err := fromFile.AddFile("a", path); err != nil {
		t.Fatal(err)
	}
	renamed.AddString("c", "x")
	renamed.AddString("b", "y")
	changed.AddString("a", "z")
	changed.AddString("b", "y")
	more.AddString("a", "x")
	more.AddString("b", "y")
	more.AddString("c", "")
	tests := []struct {
		name string
		key  *Key
		same bool
	}{
		{"reordered", &reordered, true},
		{"content from a file", &fromFile, true},
		{"renamed", &renamed, false},
		{"changed", &changed, false},
		{"one more", &more, false},
	}
	for _, tt := range tests {
		if got := tt.key.Sum() == base.Sum(); got != tt.same {
			t.Errorf("%s: same key = %v, want %v", tt.name, got, tt.same)
		}
	}
}

func TestKeyNamesCannotForgeInputs(t *testing.T) {
	var one, two Key
	one.AddString("a", "x")
	one.AddString("b", "y")
	two.AddString("a\"\n"+one.inputs["b"]+" \"b", "x")
	if one.Sum() == two.Sum() {
		t.Error("a name with a newline forged another input")
	}
}
