// Package bolt is a store on disk. Every change is whole and durable when the
// call for it returns, and there is no moment at which killing the process or
// the host leaves a file that can't be opened. A full disk keeps sandboxes from
// beginning, and not from ending.
package bolt

import (
	"encoding/binary"
	"fmt"
	"sync"

	"go.etcd.io/bbolt"
	"google.golang.org/protobuf/proto"

	"github.com/bulkhead-vm/bulkhead/hypervisor/store"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
)

// Buckets: sandboxes, pools and their members are by name, events by number, most
// significant byte first; all in pieces.
var (
	bucketNode      = []byte("node")
	bucketSandboxes = []byte("sandboxes")
	bucketEvents    = []byte("events")
	bucketPools     = []byte("pools")
	bucketMembers   = []byte("members")

	keyFormat   = []byte("format")
	keyDraining = []byte("draining")
)

// Store implements store.Store.
type Store struct {
	store.Notifier
	db   *bbolt.DB
	room room // for who changes the database

	// changing is held over a whole change: its number, its being kept, and its
	// being told are one step. No other lock is taken before it.
	changing   sync.Mutex
	remembered int // bytes of changes; under changing
}

var _ store.Store = (*Store)(nil)

// Close implements store.Store.
func (s *Store) Close() error { return s.db.Close() }

// Records implements store.Store.
func (s *Store) Records() (all []*storev1.Record, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		all, err = records(tx.Bucket(bucketSandboxes), "sandbox")
		return err
	})
	return all, err
}

// records returns those of a bucket, each of which is a what.
func records(b *bbolt.Bucket, what string) (all []*storev1.Record, err error) {
	err = each(b, nil, func(name, value []byte) (bool, error) {
		r := new(storev1.Record)
		if err := proto.Unmarshal(value, r); err != nil {
			return false, fmt.Errorf("%s %q: %w", what, name, err)
		}
		all = append(all, r)
		return true, nil
	})
	return all, err
}

// Put implements store.Store.
func (s *Store) Put(r *storev1.Record, c store.Change) (uint64, error) {
	return s.change(store.Event(r, c.Type, c.Message), c.Optional, func(tx *bbolt.Tx) error {
		return putRecord(tx.Bucket(bucketSandboxes), r)
	})
}

// Delete implements store.Store.
func (s *Store) Delete(r *storev1.Record, message string) (uint64, error) {
	e := store.Event(r, bulkheadv1.EventType_EVENT_TYPE_DELETED, message)
	return s.change(e, false, func(tx *bbolt.Tx) error {
		_, err := remove(tx.Bucket(bucketSandboxes), []byte(r.GetSandbox().GetName()))
		return err
	})
}

// putRecord keeps a record under its sandbox's name.
func putRecord(b *bbolt.Bucket, r *storev1.Record) error {
	value, err := proto.Marshal(r)
	if err != nil {
		return err
	}
	return put(b, []byte(r.GetSandbox().GetName()), value)
}

// change numbers and remembers e, and carries do out with it.
func (s *Store) change(e *storev1.Event, optional bool, do func(*bbolt.Tx) error) (version uint64, err error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	var remembered int
	err = s.update(proto.Size(e), optional, func(tx *bbolt.Tx) error {
		version = s.Version() + 1
		e.Sandbox.ResourceVersion = version
		b, err := proto.Marshal(e)
		if err != nil {
			return err
		}
		events := tx.Bucket(bucketEvents)
		if err := put(events, key(version), b); err != nil {
			return err
		}
		if remembered, err = forget(events, version, s.remembered+len(b)); err != nil {
			return err
		}
		return do(tx)
	})
	if err != nil {
		return 0, fmt.Errorf("keep the state of sandbox %q: %w", e.GetSandbox().GetName(), err)
	}
	s.remembered = remembered
	s.Notify(version)
	return version, nil
}

// forget forgets the oldest changes up to number last that are too many, or too much
// with size bytes in all. It returns how much is left.
func forget(events *bbolt.Bucket, last uint64, size int) (left int, err error) {
	for first, _ := bounds(events); first < last && (last-first >= store.MaxEvents || size > store.MaxEventBytes); first++ {
		n, err := remove(events, key(first))
		if err != nil {
			return 0, err
		}
		size -= n
	}
	return size, nil
}

// bounds returns the numbers of the first and the last change that are remembered,
// 0 if there is none. The last one ever always is.
func bounds(events *bbolt.Bucket) (first, last uint64) {
	if k, _ := events.Cursor().First(); k != nil {
		first = number(k)
	}
	if k, _ := events.Cursor().Last(); k != nil {
		last = number(k)
	}
	return first, last
}

func key(version uint64) []byte { return binary.BigEndian.AppendUint64(nil, version) }

// number is the version that a key begins with.
func number(key []byte) uint64 { return binary.BigEndian.Uint64(key) }

// Events implements store.Store.
func (s *Store) Events(after uint64, limit int) (all []*storev1.Event, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		events := tx.Bucket(bucketEvents)
		// What this transaction sees counts: who has read of a change may ask for
		// the next before everybody was told of it.
		first, last := bounds(events)
		if after > last || after < last && after+1 < first {
			return store.ErrForgotten
		}
		size := 0
		return each(events, key(after+1), func(version, b []byte) (bool, error) {
			if len(all) == limit || size >= store.BatchBytes {
				return false, nil
			}
			size += len(b)
			e := new(storev1.Event)
			if err := proto.Unmarshal(b, e); err != nil {
				return false, fmt.Errorf("change %d: %w", number(version), err)
			}
			all = append(all, e)
			return true, nil
		})
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
	s.changing.Lock()
	defer s.changing.Unlock()
	err := s.update(0, false, func(tx *bbolt.Tx) error {
		if draining {
			return tx.Bucket(bucketNode).Put(keyDraining, []byte{1})
		}
		return tx.Bucket(bucketNode).Delete(keyDraining)
	})
	if err != nil {
		return fmt.Errorf("keep whether the node is being drained: %w", err)
	}
	return nil
}
