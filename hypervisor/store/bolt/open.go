package bolt

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/bulkhead-vm/bulkhead/hypervisor/store"
)

// Formats of the file. A store of a later one isn't opened: who goes back to an older
// version of the program starts with another file.
const (
	format = 2
	// formatPools is of a file that has had a pool, from its first one on: whoever knows
	// nothing of pools would end their members, and sandboxes that were some.
	formatPools = 3
)

// lockTime is how long another process may take to let go of the file.
const lockTime = 5 * time.Second

// Open opens the store at path, or makes it. The caller closes it. It fails if
// another process has it open.
func Open(path string) (*Store, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := create(path); err != nil {
			if err = full(err); errors.Is(err, store.ErrFull) {
				return nil, fmt.Errorf("state in %s: %w: make room on it, and start again", path, err)
			}
			return nil, fmt.Errorf("state in %s: %w", path, err)
		}
	}
	s, err := openFile(path)
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("state in %s is in use by another process: stop it, or configure another state directory", path)
	case err != nil:
		return nil, fmt.Errorf("state in %s: %w", path, full(err))
	}
	return s, nil
}

// create makes an empty store, which is whole when it has its name.
func create(path string) error {
	unfinished := path + ".new"
	if err := os.Remove(unfinished); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s, err := openFile(unfinished)
	if err == nil {
		err = s.Close()
	}
	if err != nil {
		os.Remove(unfinished) // or the next one does
		return err
	}
	if err := os.Rename(unfinished, path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// openFile opens a store that is there, or begins one.
func openFile(path string) (*Store, error) {
	s := new(Store)
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout: lockTime, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType, OpenFile: s.room.open,
	})
	if err != nil {
		return nil, err
	}
	s.db = db
	if err := s.db.View(s.look); !errors.Is(err, errUnprepared) {
		if err != nil {
			err = errors.Join(err, db.Close())
		}
		return s, err
	}
	if err := errors.Join(db.Update(prepare), db.Update(func(tx *bbolt.Tx) error { return s.room.secure(tx.Size() + reserve) })); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

// errUnprepared is of a file that has nothing in it yet.
var errUnprepared = errors.New("not prepared")

// look checks what is in the file. It writes nothing: a full disk is no reason not
// to start.
func (s *Store) look(tx *bbolt.Tx) error {
	node := tx.Bucket(bucketNode)
	if node == nil {
		return errUnprepared
	}
	if b := node.Get(keyFormat); len(b) != 8 || number(b) != format && number(b) != formatPools {
		return fmt.Errorf("format %x is unknown to this version, which has formats %d and %d: update, or move the file away", b, format, formatPools)
	}
	events := tx.Bucket(bucketEvents)
	_, last := bounds(events)
	s.Notify(last)
	return events.ForEach(func(_, piece []byte) error {
		s.remembered += len(piece)
		return nil
	})
}

// prepare makes what every store has.
func prepare(tx *bbolt.Tx) error {
	for _, name := range [][]byte{bucketNode, bucketSandboxes, bucketEvents} {
		if _, err := tx.CreateBucket(name); err != nil {
			return err
		}
	}
	return tx.Bucket(bucketNode).Put(keyFormat, key(format))
}
