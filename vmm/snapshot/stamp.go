package snapshot

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
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

// stamps are those of a snapshot's large files, by name.
type stamps map[string]stamp

func stampsOf(files []*large) (stamps, error) {
	all := stamps{}
	for _, l := range files {
		var s unix.Stat_t
		if err := unix.Fstat(int(l.file.Fd()), &s); err != nil {
			return nil, fmt.Errorf("stat %s: %w", l.file.Name(), err)
		}
		all[l.name] = stamp{s.Dev, s.Ino, s.Size, s.Mtim.Nano(), s.Ctim.Nano()}
	}
	return all, nil
}

// isVerified reports whether the files are as they were when somebody read them
// through.
func isVerified(dir string, files []*large) bool {
	now, err := stampsOf(files)
	if err != nil {
		return false
	}
	b, err := readFile(dir, verifiedName, maxSums)
	if err != nil {
		return false
	}
	var then stamps
	return json.Unmarshal(b, &then) == nil && maps.Equal(then, now)
}

// tick is longer than the kernel's clock for files stands still.
const tick = 20 * time.Millisecond

// setVerified remembers that the files are whole, for others to save the time.
// Where the directory can't be written to they can't.
func setVerified(dir string, files []*large) {
	s, err := stampsOf(files)
	if err != nil {
		return
	}
	// A change within the same tick of the clock would leave the times alone.
	for _, one := range s {
		time.Sleep(time.Until(time.Unix(0, one.Ctime).Add(tick)))
	}
	if again, err := stampsOf(files); err != nil || !maps.Equal(again, s) {
		return
	}
	b, err := json.Marshal(s)
	if err != nil {
		return
	}
	temp, err := os.CreateTemp(dir, "."+verifiedName+"-")
	if err != nil {
		return
	}
	_, err = temp.Write(b)
	if temp.Close() != nil || err != nil || os.Rename(temp.Name(), filepath.Join(dir, verifiedName)) != nil {
		os.Remove(temp.Name())
	}
}
