package snapshot

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestListsAll: what a snapshot is made of is all that there is, but for what is
// remembered of it.
func TestListsAll(t *testing.T) {
	dir, _ := save(t)
	sums, err := os.ReadFile(filepath.Join(dir, SumsName))
	if err != nil {
		t.Fatal(err)
	}
	files, err := Listed(sums)
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{SumsName: true}
	for _, f := range files {
		listed[f.Name] = true
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !listed[e.Name()] && !strings.HasSuffix(e.Name(), verifiedName) {
			t.Errorf("%s isn't listed", e.Name())
		}
		delete(listed, e.Name())
	}
	if len(listed) > 0 {
		t.Errorf("%v are listed, and not there", listed)
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
		manifest + line("manifest.json.sums"), manifest + line("verified.sums"), manifest + line("memory.verified"), strings.Repeat(manifest, 1000), manifest + line(strings.Repeat("x", 128)),
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
