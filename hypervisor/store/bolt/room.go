package bolt

import (
	"errors"
	"fmt"
	"math"
	"os"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/hypervisor/store"
)

// reserve is how much of the file is unused and has its blocks on the disk: what
// ends sandboxes is kept there when the disk is full. A change takes more than its
// own size, as whole pages are written anew.
const (
	reserve   = 256 << 10
	perChange = 8 // times its size
)

// room is what the file has of the disk.
type room struct {
	file    *os.File // the database's
	secured int64    // how much of it, from its beginning on, has blocks
}

// open is for bbolt, whose file it gets hold of.
func (r *room) open(path string, flags int, mode os.FileMode) (*os.File, error) {
	f, err := os.OpenFile(path, flags, mode)
	r.file = f
	return f, err
}

// secure takes blocks for the file's first bytes.
func (r *room) secure(size int64) error {
	for {
		err := unix.Fallocate(int(r.file.Fd()), 0, 0, size)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EOPNOTSUPP):
			r.secured = math.MaxInt64 // it shows when something is written
			return nil
		case err != nil:
			return err
		default:
			r.secured = size
			return nil
		}
	}
}

// makeRoom sees that need bytes of the file are unused and have blocks, and returns
// how many there are: fewer when the disk is full.
func (s *Store) makeRoom(tx *bbolt.Tx, need int64) (unused int64) {
	free := s.db.Stats()
	unused = int64(free.FreePageN+free.PendingPageN) * int64(s.db.Info().PageSize)
	left := func() int64 { return max(s.room.secured-tx.Size(), 0) }
	if unused+left() < need {
		s.room.secure(tx.Size() + 2*need) // what it gets is counted
	}
	return unused + left()
}

// update has the database do something of a size, for who holds s.changing. Where
// there is no room, old changes are forgotten before it fails; and what is optional
// fails with store.ErrFull if it would take of the room that is kept for everything
// else.
func (s *Store) update(size int, optional bool, do func(*bbolt.Tx) error) error {
	need := int64(reserve + perChange*size)
	least := need / 4
	if optional {
		least = need
	}
	try := func() error {
		return full(s.db.Update(func(tx *bbolt.Tx) error {
			if s.makeRoom(tx, need) < least {
				return unix.ENOSPC
			}
			return do(tx)
		}))
	}
	err := try()
	for errors.Is(err, store.ErrFull) && s.forget() {
		err = try()
	}
	if errors.Is(err, store.ErrFull) && !optional {
		return full(s.db.Update(do)) // it has the last room
	}
	return err
}

// full marks an error that is of a full disk.
func full(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return fmt.Errorf("%w (%w)", store.ErrFull, err)
	}
	return err
}

// forget forgets the older half of the changes that are remembered, and reports
// whether there were any to forget. The last one stays: it has the store's version.
func (s *Store) forget() (some bool) {
	size := s.remembered
	err := s.db.Update(func(tx *bbolt.Tx) error {
		events := tx.Bucket(bucketEvents)
		first, last := bounds(events)
		end := (first + last) / 2
		some = end > first
		for version := first; version < end; version++ {
			n, err := remove(events, key(version))
			if err != nil {
				return err
			}
			size -= n
		}
		return nil
	})
	if err != nil {
		return false
	}
	s.remembered = size
	return some
}
