package snapshot

import (
	"encoding/json"
	"fmt"
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

func stampOf(f *os.File) (stamp, error) {
	var s unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &s); err != nil {
		return stamp{}, fmt.Errorf("stat a snapshot's memory: %w", err)
	}
	return stamp{s.Dev, s.Ino, s.Size, s.Mtim.Nano(), s.Ctim.Nano()}, nil
}

// isVerified reports whether f is as it was when somebody read it through.
func isVerified(dir string, f *os.File) bool {
	now, err := stampOf(f)
	if err != nil {
		return false
	}
	b, err := readFile(dir, verifiedName, maxSums)
	if err != nil {
		return false
	}
	var then stamp
	return json.Unmarshal(b, &then) == nil && then == now
}

// tick is longer than the kernel's clock for files stands still.
const tick = 20 * time.Millisecond

// setVerified remembers that f is whole, for others to save the time. Where the
// directory can't be written to they can't.
func setVerified(dir string, f *os.File) {
	s, err := stampOf(f)
	if err != nil {
		return
	}
	// A change within the same tick of the clock would leave the times alone.
	time.Sleep(time.Until(time.Unix(0, s.Ctime).Add(tick)))
	if again, err := stampOf(f); err != nil || again != s {
		return
	}
	b, err := json.Marshal(s)
	if err != nil {
		return
	}
	temp, err := os.CreateTemp(dir, verifiedName+".*")
	if err != nil {
		return
	}
	_, err = temp.Write(b)
	if temp.Close() != nil || err != nil || os.Rename(temp.Name(), filepath.Join(dir, verifiedName)) != nil {
		os.Remove(temp.Name())
	}
}
