package snapshot

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestChainDamage flips bits of each file of a chain, and cuts each: Open names the
// file.
func TestChainDamage(t *testing.T) {
	m := newMachine(t)
	dir := filepath.Join(t.TempDir(), "2")
	m.save(dir+"-parent", false)
	m.write(1, 3, 9, 10)
	m.save(dir, false)
	for _, name := range []string{"memory", "memory.map", "memory.sums", "memory.1", "memory.1.sums"} {
		for what, change := range map[string]func([]byte) []byte{
			"first bit": func(b []byte) []byte { b[0] ^= 1; return b },
			"last bit":  func(b []byte) []byte { b[len(b)-1] ^= 0x80; return b },
			"cut":       func(b []byte) []byte { return b[:len(b)-1] },
			"longer":    func(b []byte) []byte { return append(b, 0) },
			"empty":     func([]byte) []byte { return nil },
			"gone":      nil,
		} {
			copied := copyDir(t, dir)
			path := filepath.Join(copied, name)
			b, err := os.ReadFile(path)
			if err == nil {
				err = os.Remove(path)
			}
			if err == nil && change != nil {
				err = os.WriteFile(path, change(b), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			refused(t, copied, name+", "+what)
			if err := Merge(t.Context(), copied, nil); err == nil {
				t.Errorf("%s, %s: it is merged", name, what)
			}
		}
	}
}

// TestSumsList has lists of files that nobody writes.
func TestSumsList(t *testing.T) {
	for name, change := range map[string]func(string) string{
		"twice":      func(s string) string { return s + strings.SplitAfter(s, "\n")[0] },
		"no name":    func(s string) string { return s + strings.Repeat("0", 64) + "  \n" },
		"elsewhere":  func(s string) string { return s + strings.Repeat("0", 64) + "  ../x\n" },
		"no newline": func(s string) string { return strings.TrimSuffix(s, "\n") },
	} {
		dir, _ := save(t)
		path := filepath.Join(dir, sumsName)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(change(string(b))), 0o600); err != nil {
			t.Fatal(err)
		}
		var corrupt *CorruptError
		if s, err := Open(dir); !errors.As(err, &corrupt) {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
}
