// Package bolt is a store on disk. Every change is whole and durable when the
// call for it returns, and there is no moment at which killing the process or
// the host leaves a file that can't be opened.
package bolt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"google.golang.org/protobuf/proto"

	"github.com/bulkhead-vm/bulkhead/hypervisor/store"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
)

// format is that of the file. A store of a later one isn't opened: who goes back
// to an older version of the program starts with another file.
const format = 1

// lockTime is how long another process may take to let go of the file.
const lockTime = 5 * time.Second

// Buckets: sandboxes are by name, events by number, most significant byte first.
var (
	bucketNode      = []byte("node")
	bucketSandboxes = []byte("sandboxes")
	bucketEvents    = []byte("events")

	keyFormat   = []byte("format")
	keyDraining = []byte("draining")
)

// Store implements store.Store.
type Store struct {
	store.Notifier
	db *bbolt.DB
}

var _ store.Store = (*Store)(nil)

// Open opens the store at path, or makes it. The caller closes it. It fails if
// another process has it open.
func Open(path string) (*Store, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout: lockTime, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType,
	})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("state in %s is in use by another process: stop it, or configure another state directory", path)
	case err != nil:
		return nil, fmt.Errorf("state in %s: %w", path, err)
	}
	s := &Store{db: db}
	if err := db.Update(s.prepare); err != nil {
		return nil, errors.Join(fmt.Errorf("state in %s: %w", path, err), db.Close())
	}
	return s, nil
}

func (s *Store) prepare(tx *bbolt.Tx) error {
	for _, name := range [][]byte{bucketNode, bucketSandboxes, bucketEvents} {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return err
		}
	}
	node := tx.Bucket(bucketNode)
	switch b := node.Get(keyFormat); {
	case b == nil:
		if err := node.Put(keyFormat, binary.BigEndian.AppendUint64(nil, format)); err != nil {
			return err
		}
	case len(b) != 8 || binary.BigEndian.Uint64(b) != format:
		return fmt.Errorf("format %x is unknown to this version, which has format %d: update, or move the file away", b, format)
	}
	if last, _ := tx.Bucket(bucketEvents).Cursor().Last(); last != nil {
		s.Notify(binary.BigEndian.Uint64(last))
	}
	return nil
}

// Close implements store.Store.
func (s *Store) Close() error { return s.db.Close() }

// Records implements store.Store.
func (s *Store) Records() (all []*storev1.Record, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketSandboxes).ForEach(func(name, b []byte) error {
			r := new(storev1.Record)
			if err := proto.Unmarshal(b, r); err != nil {
				return fmt.Errorf("sandbox %q: %w", name, err)
			}
			all = append(all, r)
			return nil
		})
	})
	return all, err
}

// Put implements store.Store.
func (s *Store) Put(r *storev1.Record, c store.Change) (uint64, error) {
	return s.change(store.Event(r, c.Type, c.Message), func(sandboxes *bbolt.Bucket) error {
		b, err := proto.Marshal(r)
		if err != nil {
			return err
		}
		return sandboxes.Put([]byte(r.GetSandbox().GetName()), b)
	})
}

// Delete implements store.Store.
func (s *Store) Delete(r *storev1.Record, message string) (uint64, error) {
	e := store.Event(r, bulkheadv1.EventType_EVENT_TYPE_DELETED, message)
	return s.change(e, func(sandboxes *bbolt.Bucket) error {
		return sandboxes.Delete([]byte(r.GetSandbox().GetName()))
	})
}

// change numbers and remembers e, and carries do out with it.
func (s *Store) change(e *storev1.Event, do func(sandboxes *bbolt.Bucket) error) (version uint64, err error) {
	err = s.db.Update(func(tx *bbolt.Tx) error {
		version = s.Version() + 1
		e.Sandbox.ResourceVersion = version
		b, err := proto.Marshal(e)
		if err != nil {
			return err
		}
		events := tx.Bucket(bucketEvents)
		if err := events.Put(key(version), b); err != nil {
			return err
		}
		if version > store.MaxEvents {
			if err := events.Delete(key(version - store.MaxEvents)); err != nil {
				return err
			}
		}
		tx.OnCommit(func() { s.Notify(version) })
		return do(tx.Bucket(bucketSandboxes))
	})
	if err != nil {
		return 0, fmt.Errorf("keep the state of sandbox %q: %w", e.GetSandbox().GetName(), err)
	}
	return version, nil
}

func key(version uint64) []byte { return binary.BigEndian.AppendUint64(nil, version) }

// Events implements store.Store.
func (s *Store) Events(after uint64, limit int) (all []*storev1.Event, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket(bucketEvents).Cursor()
		first, _ := c.First()
		last := s.Version()
		if after > last || after < last && (first == nil || after+1 < binary.BigEndian.Uint64(first)) {
			return store.ErrForgotten
		}
		for k, b := c.Seek(key(after + 1)); k != nil && len(all) < limit; k, b = c.Next() {
			e := new(storev1.Event)
			if err := proto.Unmarshal(b, e); err != nil {
				return fmt.Errorf("change %d: %w", binary.BigEndian.Uint64(k), err)
			}
			all = append(all, e)
		}
		return nil
	})
	return all, err
}

// Draining implements store.Store.
func (s *Store) Draining() (draining bool, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		draining = tx.Bucket(bucketNode).Get(keyDraining) != nil
		return nil
	})
	return draining, err
}

// SetDraining implements store.Store.
func (s *Store) SetDraining(draining bool) error {
	return s.db.Update(func(tx *bbolt.Tx) error {
		if draining {
			return tx.Bucket(bucketNode).Put(keyDraining, []byte{1})
		}
		return tx.Bucket(bucketNode).Delete(keyDraining)
	})
}
