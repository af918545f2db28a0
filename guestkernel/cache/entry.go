package cache

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// manifestName is the file in an entry that says what the entry holds.
const manifestName = ".manifest.json"

// manifest is written last, into a complete entry.
type manifest struct {
	Inputs string           `json:"inputs"` // as Key.String lists them
	Files  map[string]stamp `json:"files"`
}

// stamp tells a file from one that was changed in place.
type stamp struct {
	Size    int64 `json:"size"`
	ModTime int64 `json:"mtime_ns"`
}

// publish makes the files in out durable and read-only, and renames out to entry.
func publish(out, entry string, key *Key) error {
	files, err := seal(out)
	if err != nil {
		return err
	}
	m, err := json.MarshalIndent(manifest{Inputs: key.String(), Files: files}, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(out, manifestName)
	if err := os.WriteFile(path, m, 0o444); err != nil {
		return err
	}
	if err := sync(path); err != nil {
		return err
	}
	if err := os.Rename(out, entry); err != nil {
		return err
	}
	return sync(filepath.Dir(entry))
}

func seal(out string) (map[string]stamp, error) {
	files := map[string]stamp{}
	err := walk(out, func(name string, info fs.FileInfo) error {
		path := filepath.Join(out, name)
		if err := os.Chmod(path, info.Mode().Perm()&^0o222); err != nil {
			return err
		}
		files[name] = stampOf(info)
		return sync(path)
	})
	if err == nil && len(files) == 0 {
		err = errors.New("the build made no files")
	}
	return files, err
}

// intact reports whether entry exists and its files are as they were published.
func intact(entry string) bool {
	b, err := os.ReadFile(filepath.Join(entry, manifestName))
	if err != nil {
		return false
	}
	var m manifest
	if json.Unmarshal(b, &m) != nil || len(m.Files) == 0 {
		return false
	}
	for name, want := range m.Files {
		info, err := os.Lstat(filepath.Join(entry, name))
		if err != nil || stampOf(info) != want {
			return false
		}
	}
	return true
}

func stampOf(info fs.FileInfo) stamp {
	return stamp{Size: info.Size(), ModTime: info.ModTime().UnixNano()}
}

func walk(dir string, f func(name string, info fs.FileInfo) error) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%s: an entry holds regular files only", path)
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		return f(name, info)
	})
}

func sync(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
