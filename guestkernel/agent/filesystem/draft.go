package filesystem

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
)

// TempPattern is what the names of files match that are being written, and that
// a guest leaves which is stopped meanwhile.
const TempPattern = ".bulkhead-*.part"

// Draft is a file whose content is being written, beside its place. Commit or
// Discard ends it.
type Draft struct {
	file  *os.File
	name  string   // the last part of the path that was given
	place string   // where the file is to be
	made  []string // directories above it, the uppermost first
	meta  metadata
}

// NewDraft begins a file that is to be at p, or where a link there leads. With
// parents it makes missing directories above it. What isn't a regular file is
// not replaced, but Untimely.
func NewDraft(p string, a Attributes, parents bool) (*Draft, error) {
	if err := checkPath(p); err != nil {
		return nil, err
	}
	if err := a.check(); err != nil {
		return nil, err
	}
	d := &Draft{name: base(p)}
	if err := d.begin(p, a, parents); err != nil {
		d.Discard()
		return nil, fail.Files(fmt.Errorf("write %s: %w", p, err))
	}
	return d, nil
}

func (d *Draft) begin(p string, a Attributes, parents bool) (err error) {
	if d.place, err = resolve(p); err != nil {
		return err
	}
	if d.meta, err = a.decide(d.place); err != nil {
		return err
	}
	if parents {
		if d.made, err = makeAll(directory(d.place)); err != nil {
			return err
		}
	}
	d.file, err = os.CreateTemp(directory(d.place), TempPattern)
	return err
}

// Write adds to the content.
func (d *Draft) Write(b []byte) (int, error) {
	n, err := d.file.Write(b)
	return n, fail.Files(err)
}

// Commit puts the file in its place, whatever is there by now. If that fails,
// everything is as it was before.
func (d *Draft) Commit() (Info, error) {
	info, err := d.commit()
	if err != nil {
		d.Discard()
		return Info{}, fail.Files(err)
	}
	*d = Draft{}
	return info, nil
}

func (d *Draft) commit() (Info, error) {
	var st unix.Stat_t
	fd := int(d.file.Fd())
	err := d.meta.apply(fd)
	if err == nil {
		err = unix.Fstat(fd, &st)
	}
	if err != nil {
		return Info{}, fmt.Errorf("permissions and owner of %s: %w", d.place, err)
	}
	if err := d.file.Close(); err != nil {
		return Info{}, err
	}
	if err := unix.Rename(d.file.Name(), d.place); err != nil {
		return Info{}, fmt.Errorf("rename %s to %s: %w", d.file.Name(), d.place, err)
	}
	return newInfo(d.name, &st), nil
}

// Discard removes all that was made. After Commit, or again, it does nothing.
func (d *Draft) Discard() {
	if d.file != nil {
		_ = os.Remove(d.file.Name())
		d.file.Close()
	}
	for i := len(d.made) - 1; i >= 0; i-- {
		_ = unix.Rmdir(d.made[i]) // unless somebody uses it by now
	}
	*d = Draft{}
}
