package snapshot

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// FuzzOpen has small files say anything, with a list of sums that fits: the snapshot is
// refused, or its memory can be had in each way.
func FuzzOpen(f *testing.F) {
	m, work := newMachine(f), f.TempDir()
	if dir, err := os.MkdirTemp("/dev/shm", "fuzz"); err == nil { // where nothing waits for a disk
		work = dir
		f.Cleanup(func() { os.RemoveAll(dir) })
	}
	parent := filepath.Join(work, "parent")
	m.save(parent, false)
	m.write(1, 3, 9, 10)
	dir := parent + "-child"
	m.save(dir, false)
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			f.Fatal(err)
		}
		return b
	}
	names := []string{manifestName, stateName, memoryName + mapSuffix, memoryName + sumsSuffix, layerName(1) + sumsSuffix}
	f.Add(read(names[0]), read(names[1]), read(names[2]), read(names[3]), read(names[4]))
	disk := small{}
	for _, name := range []string{"blk0", "blk0" + sumsSuffix} {
		disk[name] = read(name)
	}
	f.Fuzz(func(t *testing.T, manifest, state, pages, upper, lower []byte) {
		files := small{"blk0" + sumsSuffix: disk["blk0"+sumsSuffix]}
		for i, b := range [][]byte{manifest, state, pages, upper, lower} {
			files[names[i]] = b
		}
		forged := filepath.Join(work, "forged")
		err := errors.Join(os.RemoveAll(forged), os.Mkdir(forged, 0o700), os.WriteFile(filepath.Join(forged, sumsName), files.sums(), 0o600))
		for name, b := range files {
			err = errors.Join(err, os.WriteFile(filepath.Join(forged, name), b, 0o600))
		}
		for _, name := range []string{memoryName, layerName(1), "blk0"} {
			err = errors.Join(err, os.Link(filepath.Join(dir, name), filepath.Join(forged, name)))
		}
		if err != nil {
			t.Fatal(err)
		}
		s, err := Open(forged)
		if err != nil {
			return
		}
		defer s.Close()
		ram, err := s.Memory()
		if err != nil {
			t.Fatal(err)
		}
		defer ram.Close()
		content, b, at := s.Content(), make([]byte, pageSize), uint64(0)
		for at < s.Manifest.MemoryBytes {
			end, _ := content.Extent(at, s.Manifest.MemoryBytes)
			if end <= at || end > s.Manifest.MemoryBytes {
				t.Fatalf("of %d bytes, an extent from %d to %d", s.Manifest.MemoryBytes, at, end)
			}
			if _, err := content.ReadAt(b, int64(at)); err != nil {
				t.Fatal(err)
			}
			at = end
		}
		if _, err := s.WorkingSet(); err != nil {
			t.Fatal(err)
		}
	})
}
