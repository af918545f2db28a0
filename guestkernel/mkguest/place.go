package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// place makes files appear in dir. They are hard links into the cache: they
// take no space and stay when the cache is deleted. Across file systems they
// are copies. A file is replaced as a whole, so a VM that boots from the old
// one keeps it.
func place(files []file, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, f := range files {
		if err := f.place(dir); err != nil {
			return fmt.Errorf("put %s into %s: %w", f.name, dir, err)
		}
	}
	return nil
}

func (f file) target(dir string) string { return filepath.Join(dir, f.name) }

func (f file) place(dir string) error {
	if same(f.path, f.target(dir)) {
		return nil
	}
	tmp, err := os.MkdirTemp(dir, ".mkguest-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	fresh := filepath.Join(tmp, f.name)
	if err := os.Link(f.path, fresh); err != nil {
		if err := copyFile(f.path, fresh); err != nil {
			return err
		}
	}
	return os.Rename(fresh, f.target(dir))
}

// same reports whether b is a hard link to a already.
func same(a, b string) bool {
	infoA, errA := os.Stat(a)
	infoB, errB := os.Lstat(b)
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o444)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		_ = out.Close()
		return err
	}
	return out.Close()
}
