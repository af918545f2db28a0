package snapshot

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// stamp tells a file that nobody has written to, nor replaced, from one that
// somebody has: the kernel moves ctime with every change, and nobody can set it.
type stamp struct {
	Device uint64 `json:"device"`
	Inode  uint64 `json:"inode"`
	Size   int64  `json:"size"`
	Mtime  int64  `json:"mtimeNs"`
	Ctime  int64  `json:"ctimeNs"`
}

func stampOf(f *os.File) (stamp, error) {
	s, err := fstat(f)
	return stamp{s.Dev, s.Ino, s.Size, s.Mtim.Nano(), s.Ctim.Nano()}, err
}

func fstat(f *os.File) (s unix.Stat_t, err error) {
	if err := unix.Fstat(int(f.Fd()), &s); err != nil {
		return s, fmt.Errorf("stat %s: %w", f.Name(), err)
	}
	return s, nil
}

// verifiedFile has the stamp that a large file had when somebody read it through.
// Files that several snapshots have share it, as a link: linking and unlinking them
// moves their ctime, and whoever does that writes the new stamp for all. It is locked
// while the two don't fit each other.
type verifiedFile struct{ *os.File }

// maxStamp is the size of a stamp, with spaces behind it: one is written in place of
// another at once.
const maxStamp = 256

// openVerified opens the stamp of one of a directory's files, or makes it where the
// directory can be written to.
func openVerified(d directory, name string) (verifiedFile, error) {
	f, err := d.open(name+verifiedSuffix, os.O_RDWR|os.O_CREATE)
	if err != nil {
		f, err = d.open(name+verifiedSuffix, os.O_RDONLY)
	}
	return verifiedFile{f}, err
}

// lock waits for a lock of the stamp, which its close gives back, too. how is
// unix.LOCK_SH or unix.LOCK_EX.
func (v verifiedFile) lock(how int) error {
	for {
		if err := unix.Flock(int(v.Fd()), how); err != unix.EINTR {
			return err
		}
	}
}

func (v verifiedFile) unlock() { unix.Flock(int(v.Fd()), unix.LOCK_UN) }

// fits reports whether f is as it was when the stamp was written. The caller has it
// locked.
func (v verifiedFile) fits(f *os.File) bool {
	now, err := stampOf(f)
	if err != nil {
		return false
	}
	b := make([]byte, maxStamp)
	n, _ := v.ReadAt(b, 0) // what isn't whole isn't JSON
	var then stamp
	return json.Unmarshal(b[:n], &then) == nil && then == now
}

// write writes f's stamp. The caller has it locked.
func (v verifiedFile) write(f *os.File) {
	s, err := stampOf(f)
	if err != nil {
		return
	}
	b, err := json.Marshal(s)
	if err != nil || len(b) > maxStamp {
		return
	}
	text := make([]byte, maxStamp)
	for i := copy(text, b); i < len(text); i++ {
		text[i] = ' '
	}
	v.WriteAt(text, 0) // or the file is read through once more
}

// keepFitting has do link or unlink f, after which the stamp fits as it did before.
func (v verifiedFile) keepFitting(f *os.File, do func() error) error {
	if err := v.lock(unix.LOCK_EX); err != nil {
		return do()
	}
	defer v.unlock()
	fits := v.fits(f)
	err := do()
	if fits {
		v.write(f)
	}
	return err
}

// isVerified reports whether the file is as it was when somebody read it through.
func (l *large) isVerified() bool {
	if l.verified.File == nil || l.verified.lock(unix.LOCK_SH) != nil {
		return false
	}
	defer l.verified.unlock()
	return l.verified.fits(l.file)
}

// tick is longer than the kernel's clock for files stands still.
const tick = 20 * time.Millisecond

// setVerified remembers that the files are whole, for others to save the time.
// Where the directory can't be written to they can't.
func setVerified(d directory, files []*large) {
	for _, l := range files {
		if l.verified.File == nil {
			v, err := openVerified(d, l.name)
			if err != nil {
				continue
			}
			l.verified = v
		}
		l.setVerified()
	}
}

func (l *large) setVerified() {
	if l.verified.lock(unix.LOCK_EX) != nil {
		return
	}
	defer l.verified.unlock()
	before, err := stampOf(l.file)
	if err != nil {
		return
	}
	// A change within the same tick of the clock would leave the times alone.
	time.Sleep(time.Until(time.Unix(0, before.Ctime).Add(tick)))
	if after, err := stampOf(l.file); err == nil && after == before {
		l.verified.write(l.file)
	}
}

// wereVerified reports whether all files are as the one file with stamps says that
// earlier programs wrote.
func wereVerified(d directory, files []*large) bool {
	b, err := d.read(verifiedName, maxSums)
	if err != nil {
		return false
	}
	var then map[string]stamp
	if json.Unmarshal(b, &then) != nil {
		return false
	}
	for _, l := range files {
		if now, err := stampOf(l.file); err != nil || then[l.name] != now {
			return false
		}
	}
	return true
}
