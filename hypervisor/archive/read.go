package archive

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/bulkhead-vm/bulkhead/vmm/snapshot"
)

// Target is where Read puts a snapshot.
type Target struct {
	// Dir is an empty directory, which is the caller's to remove after a failure.
	Dir string
	// Room fails if so many bytes more may not be written there. nil: any may.
	Room func(bytes int64) error
	// Keep is told of those of them that are the snapshot's own, and stay; likewise.
	Keep func(bytes int64) error
	// Reached is told of each step that may be the last one, in tests. nil: nobody
	// is.
	Reached func(step string)
}

// snapshotName is that of the snapshot in a target's directory, and blobsName of
// where blobs are until they are unpacked.
const (
	snapshotName = "snapshot"
	blobsName    = "blobs"
)

// readAhead is how much is read at once.
const readAhead = 256 << 10

// Read reads an archive, whichever format it has, and returns the path of the
// snapshot in it, which is on disk, and whole; and what else the archive says, which
// nobody has checked. It fails with *Error, with *snapshot.VersionError, as Room
// does, as r does, or with ctx's cause.
func Read(ctx context.Context, r io.Reader, t Target) (path string, info *Info, err error) {
	if t.Reached == nil {
		t.Reached = func(string) {}
	}
	path = filepath.Join(t.Dir, snapshotName)
	if err := os.Mkdir(path, 0o700); err != nil {
		return "", nil, fmt.Errorf("import a snapshot: %w", err)
	}
	in := &input{ctx: ctx, r: r}
	u := &unpacker{ctx: ctx, dir: path, target: t}
	err = u.read(bufio.NewReaderSize(in, readAhead))
	switch {
	case in.err != nil: // which is the reason, whatever became of it
		return "", nil, in.err
	case err != nil:
		return "", nil, err
	}
	if err := u.check(); err != nil {
		return "", nil, err
	}
	return path, u.info, nil
}

// input remembers why reading failed.
type input struct {
	ctx context.Context
	r   io.Reader
	err error
}

func (i *input) Read(p []byte) (int, error) {
	if i.ctx.Err() != nil {
		i.err = context.Cause(i.ctx)
		return 0, i.err
	}
	n, err := i.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		i.err = err
	}
	return n, err
}

func (u *unpacker) read(r io.Reader) error {
	t := &members{tar: tar.NewReader(r)}
	h, err := t.next()
	if err != nil {
		return err
	}
	if h == nil {
		return wrong("it is empty")
	}
	if isLayout(h.Name) {
		return u.readLayout(t, h)
	}
	return u.readPlain(t, h)
}

// check has the snapshot be opened, for which all that it is made of is looked at.
func (u *unpacker) check() error {
	s, err := snapshot.Open(u.dir)
	var later *snapshot.VersionError
	switch {
	case errors.As(err, &later):
		return err
	case snapshot.IsHost(err):
		return fmt.Errorf("import a snapshot: %w", err)
	case err != nil:
		return &Error{"what is in it is no whole snapshot", err}
	}
	err = s.Close()
	u.target.Reached("opened")
	return errors.Join(err, syncDir(u.dir))
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// members are those of a tar archive.
type members struct {
	tar   *tar.Reader
	count int
}

// maxMembers is more than any archive of a snapshot has.
const maxMembers = 512

// next returns the next one, nil at the end.
func (m *members) next() (*tar.Header, error) {
	h, err := m.tar.Next()
	switch {
	case errors.Is(err, io.EOF):
		return nil, nil
	case errors.Is(err, tar.ErrHeader) && m.count == 0:
		return nil, wrong("it is no tar archive: give what \"bulkhead snapshot export\" has written, unpacked if it was compressed")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, tooShort(err)
	case err != nil:
		return nil, &Error{"it is damaged", err}
	}
	if m.count++; m.count > maxMembers {
		return nil, wrong("it has more than %d members", maxMembers)
	}
	h.Name = strings.TrimPrefix(h.Name, "./")
	return h, nil
}

func tooShort(err error) error { return &Error{"it ends too early: export the snapshot again", err} }

// content returns a small member's.
func (m *members) content(h *tar.Header, most int64) ([]byte, error) {
	if h.Size > most {
		return nil, wrong("%q has %d bytes, it can have %d", h.Name, h.Size, most)
	}
	return readAll(m.tar, h.Name)
}

// readAll reads what its caller has bounded.
func readAll(r io.Reader, name string) ([]byte, error) {
	b, err := io.ReadAll(r)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, tooShort(err)
	}
	if err != nil {
		return nil, &Error{fmt.Sprintf("%q can't be read", name), err}
	}
	return b, nil
}

// isRegular fails unless a member is a file.
func isRegular(h *tar.Header) error {
	if h.Typeflag != tar.TypeReg {
		return wrong("%.200q is no regular file", h.Name)
	}
	return nil
}

// readPlain reads a plain archive, of which it has the first header.
func (u *unpacker) readPlain(t *members, h *tar.Header) error {
	if h.Name != infoName {
		return wrong("it begins with %.200q, and an archive of a snapshot with %s: give what \"bulkhead snapshot export\" has written", h.Name, infoName)
	}
	b, err := t.content(h, maxInfo)
	if err != nil {
		return err
	}
	if u.info, err = decodeInfo(b); err != nil {
		return err
	}
	for {
		h, err := t.next()
		if err != nil {
			return err
		}
		if h == nil {
			return u.complete()
		}
		if err := isRegular(h); err != nil {
			return err
		}
		if err := u.file(h.Name, h.Size, t.tar); err != nil {
			return err
		}
	}
}
