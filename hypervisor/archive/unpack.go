package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/bulkhead-vm/bulkhead/vmm/snapshot"
)

// unpacker makes a snapshot's files. SHA256SUMS comes first: only what it lists is
// written, and a large file after its sums, which say how large it may be.
type unpacker struct {
	ctx    context.Context
	dir    string
	target Target
	info   *Info

	listed []snapshot.File // nil: SHA256SUMS hasn't come
	sizes  map[string]int64
	small  int64 // bytes of small files
}

// maxSmall bounds the small files of a snapshot together: who opens it has all of
// them in memory.
const maxSmall = 96 << 20

// maxManifest bounds a manifest, whose JSON takes a hundred times the room in memory: a
// sandbox's specification, of 256 KiB at most, takes less, whatever is in it.
const maxManifest = 3 << 20

// file makes a file of the snapshot, of size bytes, which are r's.
func (u *unpacker) file(name string, size int64, r io.Reader) error {
	if u.listed == nil {
		return u.sums(name, size, r)
	}
	listed, err := u.find(name)
	if err != nil {
		return err
	}
	most := snapshot.MaxSmall(name)
	if name == snapshot.ManifestName {
		most = min(most, maxManifest)
	}
	if listed.Sum == "" {
		sums, ok := u.sizes[name+snapshot.SumsSuffix]
		if !ok {
			return wrong("%q comes before its sums", name)
		}
		most = snapshot.MaxLarge(sums)
	} else {
		most = min(most, maxSmall-u.small)
	}
	if size < 0 || size > most {
		return wrong("%q has %d bytes, it can have %d", name, size, most)
	}
	sum := sha256.New()
	if listed.Sum != "" {
		u.small += size
		r = io.TeeReader(r, sum)
	}
	if err := u.write(name, size, r); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); listed.Sum != "" && got != listed.Sum {
		return wrong("the SHA-256 of %q is %s, not %s as in %s", name, got, listed.Sum, snapshot.SumsName)
	}
	u.sizes[name] = size
	return nil
}

// find returns the file that may be called so, once.
func (u *unpacker) find(name string) (snapshot.File, error) {
	if _, again := u.sizes[name]; again {
		return snapshot.File{}, wrong("it has %q twice", name)
	}
	for _, f := range u.listed {
		if f.Name == name {
			return f, nil
		}
	}
	return snapshot.File{}, wrong("it has %.200q, which the snapshot's %s doesn't list", name, snapshot.SumsName)
}

// sums makes SHA256SUMS.
func (u *unpacker) sums(name string, size int64, r io.Reader) error {
	if name != snapshot.SumsName {
		return wrong("%.200q comes before %s: give the archive as it was exported", name, snapshot.SumsName)
	}
	if size < 0 || size > snapshot.MaxSmall(name) {
		return wrong("%s has %d bytes", name, size)
	}
	b, err := readAll(r, name)
	if err != nil {
		return err
	}
	listed, err := snapshot.Listed(b)
	if err != nil {
		return &Error{"what is in it is no whole snapshot", err}
	}
	if err := u.write(name, size, bytes.NewReader(b)); err != nil {
		return err
	}
	u.listed, u.sizes = listed, map[string]int64{name: size}
	return nil
}

// complete fails unless all files are there.
func (u *unpacker) complete() error {
	if u.listed == nil {
		return wrong("it has no %s", snapshot.SumsName)
	}
	for _, f := range u.listed {
		if _, ok := u.sizes[f.Name]; !ok {
			return wrong("it has no %q", f.Name)
		}
	}
	return nil
}

// write makes a file, on disk.
func (u *unpacker) write(name string, size int64, r io.Reader) error {
	f, err := os.OpenFile(filepath.Join(u.dir, name), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("import a snapshot: %w", err)
	}
	u.target.Reached("make " + name)
	err = u.fill(f, size, r, u.target.Room, u.target.Keep)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	u.target.Reached("written " + name)
	return nil
}

const (
	copySize = 1 << 20
	pageSize = 4096
)

// fill writes size bytes of r to an empty file, if all of may agree, and leaves pages
// of zeroes out.
func (u *unpacker) fill(f *os.File, size int64, r io.Reader, may ...func(int64) error) error {
	if err := f.Truncate(size); err != nil {
		return fmt.Errorf("import a snapshot: %w", err)
	}
	zeroes := make([]byte, pageSize)
	buf := make([]byte, min(copySize, size))
	for at := int64(0); at < size; {
		if u.ctx.Err() != nil {
			return context.Cause(u.ctx)
		}
		b := buf[:min(size-at, copySize)]
		if _, err := io.ReadFull(r, b); errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
			return tooShort(err)
		} else if err != nil {
			return &Error{fmt.Sprintf("%q can't be read", filepath.Base(f.Name())), err}
		}
		for from := 0; from < len(b); {
			to := from
			for to < len(b) && !bytes.Equal(b[to:min(to+pageSize, len(b))], zeroes[:min(pageSize, len(b)-to)]) {
				to = min(to+pageSize, len(b))
			}
			if err := put(f, b[from:to], at+int64(from), may); err != nil {
				return err
			}
			from = min(to+pageSize, len(b)) // the page at to is of zeroes, if there is one
		}
		at += int64(len(b))
	}
	return nil
}

// put writes bytes.
func put(f *os.File, b []byte, at int64, may []func(int64) error) error {
	if len(b) == 0 {
		return nil
	}
	for _, agrees := range may {
		if agrees == nil {
			continue
		}
		if err := agrees(int64(len(b))); err != nil {
			return err
		}
	}
	if _, err := f.WriteAt(b, at); err != nil {
		return fmt.Errorf("import a snapshot: %w", err)
	}
	return nil
}
