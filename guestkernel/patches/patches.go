// Package patches holds the changes made to the kernel source before it is
// built. Each file's header says why it is there and where it has no effect.
package patches

import (
	"embed"
	"io/fs"
)

//go:embed *.patch
var files embed.FS

// Patch is one change, in the form that patch -p1 reads.
type Patch struct {
	Name string
	Text []byte
}

// All returns the patches in the order in which they apply.
func All() ([]Patch, error) {
	names, err := fs.Glob(files, "*.patch") // sorted
	if err != nil {
		return nil, err
	}
	var all []Patch
	for _, name := range names {
		text, err := files.ReadFile(name)
		if err != nil {
			return nil, err
		}
		all = append(all, Patch{Name: name, Text: text})
	}
	return all, nil
}
