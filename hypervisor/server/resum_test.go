package server_test

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// resum has a snapshot's sums be those of what its memory is now.
func resum(t *testing.T, dir string) {
	t.Helper()
	must := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	memory, err := os.ReadFile(filepath.Join(dir, "memory"))
	must(err)
	var sums []byte
	table := crc32.MakeTable(crc32.Castagnoli)
	for at := 0; at < len(memory); at += 1 << 20 {
		sums = binary.LittleEndian.AppendUint32(sums, crc32.Checksum(memory[at:min(at+1<<20, len(memory))], table))
	}
	must(os.WriteFile(filepath.Join(dir, "memory.sums"), sums, 0o600))
	list, err := os.ReadFile(filepath.Join(dir, "SHA256SUMS"))
	must(err)
	var lines strings.Builder
	for line := range strings.Lines(string(list)) {
		_, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		b, err := os.ReadFile(filepath.Join(dir, name))
		must(err)
		fmt.Fprintf(&lines, "%x  %s\n", sha256.Sum256(b), name)
	}
	must(os.WriteFile(filepath.Join(dir, "SHA256SUMS"), []byte(lines.String()), 0o600))
}
