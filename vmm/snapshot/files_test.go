package snapshot

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestFiles(t *testing.T) {
	dir, _ := save(t)
	paths, err := Files(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range paths {
		names = append(names, filepath.Base(p))
		if filepath.Dir(p) != dir {
			t.Error(p)
		}
	}
	if want := []string{"SHA256SUMS", "manifest.json", "blk0.sums", "memory.sums", "state", "blk0", "memory"}; !slices.Equal(names, want) {
		t.Errorf("%q", names)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != len(names)+1 { // and verified
		t.Errorf("%v, %v", entries, err)
	}
}

func TestListed(t *testing.T) {
	line := func(name string) string { return strings.Repeat("0", 64) + "  " + name + "\n" }
	manifest := line("manifest.json")
	files, err := Listed([]byte(line("a") + line("big.sums") + manifest + line("z")))
	if err != nil || len(files) != 5 || files[0].Name != "manifest.json" || files[4] != (File{Name: "big"}) {
		t.Errorf("%v, %v", files, err)
	}
	for _, sums := range []string{
		"", line("a"), manifest + line("../a"), manifest + line(".a"), manifest + line("a/b"), manifest + manifest, manifest + line("SHA256SUMS"),
		manifest + line("verified"), manifest + "a\n", manifest + "0  a\n", manifest + line(".sums"), manifest + line("a.sums") + line("a"),
		manifest + line("manifest.json.sums"), manifest + line("verified.sums"), strings.Repeat(manifest, 1000), manifest + line(strings.Repeat("x", 128)),
	} {
		if files, err := Listed([]byte(sums)); err == nil {
			t.Errorf("%.200q: %v", sums, files)
		}
	}
	many := manifest
	for i := range 200 {
		many += line(strings.Repeat("x", i+1))
	}
	if _, err := Listed([]byte(many)); err == nil {
		t.Error("any number of files")
	}
}
