package filesystem

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sort"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
)

// MaxPage is how many files ReadDir returns at most.
const MaxPage = 1000

const (
	// maxPageSize is how much text they have at most, in bytes: an answer is a
	// message, of which 4 MiB is the most.
	maxPageSize = 2 << 20
	infoSize    = 64 // beside the text, about
	nameBatch   = 512
)

// ReadDir returns those files of the directory p whose names come after the
// given one, in the order of names: as many as limit and MaxPage allow, and
// whether there are more. A limit of 0 is MaxPage.
func ReadDir(p, after string, limit uint32) (files []Info, more bool, err error) {
	if err := checkPath(p); err != nil {
		return nil, false, err
	}
	if limit == 0 || limit > MaxPage {
		limit = MaxPage
	}
	fd, err := unix.Open(p, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, false, fail.Files(fmt.Errorf("read directory %s: %w", p, err))
	}
	dir := os.NewFile(uintptr(fd), p)
	defer dir.Close()
	names, err := firstNames(dir, after, int(limit)+1)
	if err == nil {
		files, more, err = describe(fd, names, int(limit))
	}
	if err != nil {
		return nil, false, fail.Files(fmt.Errorf("read directory %s: %w", p, err))
	}
	return files, more, nil
}

// firstNames returns the first count names after the given one. It never holds
// many more than that, however large the directory is.
func firstNames(dir *os.File, after string, count int) ([]string, error) {
	var names []string
	for {
		batch, err := dir.Readdirnames(nameBatch)
		for _, name := range batch {
			if shown(name) > after {
				names = append(names, name)
			}
		}
		if err != nil || len(names) >= 4*count+nameBatch {
			sort.Sort(byShown(names))
			names = names[:min(len(names), count)]
		}
		if errors.Is(err, io.EOF) {
			return names, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// byShown sorts names in the order in which they are shown. Package sort is in
// the agent anyway.
type byShown []string

func (n byShown) Len() int           { return len(n) }
func (n byShown) Less(i, j int) bool { return shown(n[i]) < shown(n[j]) }
func (n byShown) Swap(i, j int)      { n[i], n[j] = n[j], n[i] }

// describe returns the infos of up to limit files, of which some may have gone
// meanwhile.
func describe(dir int, names []string, limit int) (files []Info, more bool, err error) {
	size := 0
	for i, name := range names {
		if i == limit {
			return files, true, nil
		}
		info, err := statAt(dir, name)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return nil, false, fmt.Errorf("%s: %w", name, err)
		}
		size += len(info.Name) + len(info.Target) + infoSize
		if size > maxPageSize && len(files) > 0 {
			return files, true, nil
		}
		files = append(files, info)
	}
	return files, false, nil
}
