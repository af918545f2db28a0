package bolt

import (
	"fmt"

	"go.etcd.io/bbolt"
	"google.golang.org/protobuf/proto"

	"github.com/bulkhead-vm/bulkhead/hypervisor/store"

	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
)

// Pools implements store.Pools.
func (s *Store) Pools() (all []*storev1.Pool, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		pools := tx.Bucket(bucketPools)
		if pools == nil {
			return nil
		}
		return each(pools, nil, func(name, b []byte) (bool, error) {
			p := new(storev1.Pool)
			if err := proto.Unmarshal(b, p); err != nil {
				return false, fmt.Errorf("pool %q: %w", name, err)
			}
			all = append(all, p)
			return true, nil
		})
	})
	return all, err
}

// PutPool implements store.Pools.
func (s *Store) PutPool(p *storev1.Pool) error {
	b, err := proto.Marshal(p)
	name := p.GetPool().GetName()
	if err == nil {
		err = s.changeSilently(len(b), true, func(tx *bbolt.Tx) error { return put(tx.Bucket(bucketPools), []byte(name), b) })
	}
	if err != nil {
		return fmt.Errorf("keep pool %q: %w", name, err)
	}
	return nil
}

// DeletePool implements store.Pools.
func (s *Store) DeletePool(name string) error {
	if err := s.forgetSilently(bucketPools, name); err != nil {
		return fmt.Errorf("forget pool %q: %w", name, err)
	}
	return nil
}

// Members implements store.Pools.
func (s *Store) Members() (all []*storev1.Record, err error) {
	err = s.db.View(func(tx *bbolt.Tx) (err error) {
		if members := tx.Bucket(bucketMembers); members != nil {
			all, err = records(members, "member")
		}
		return err
	})
	return all, err
}

// PutMember implements store.Pools.
func (s *Store) PutMember(r *storev1.Record, optional bool) error {
	err := s.changeSilently(proto.Size(r), optional, func(tx *bbolt.Tx) error { return putRecord(tx.Bucket(bucketMembers), r) })
	if err != nil {
		return fmt.Errorf("keep the state of a pool's member: %w", err)
	}
	return nil
}

// DeleteMember implements store.Pools.
func (s *Store) DeleteMember(name string) error {
	if err := s.forgetSilently(bucketMembers, name); err != nil {
		return fmt.Errorf("forget a pool's member: %w", err)
	}
	return nil
}

// Claim implements store.Pools.
func (s *Store) Claim(r *storev1.Record, c store.Change) (uint64, error) {
	return s.change(store.Event(r, c.Type, c.Message), c.Optional, func(tx *bbolt.Tx) error {
		if err := preparePools(tx); err != nil {
			return err
		}
		if _, err := remove(tx.Bucket(bucketMembers), []byte(r.GetHostName())); err != nil {
			return err
		}
		return putRecord(tx.Bucket(bucketSandboxes), r)
	})
}

// changeSilently has the database do something with what there is of pools, of a size,
// of which no watcher hears.
func (s *Store) changeSilently(size int, optional bool, do func(*bbolt.Tx) error) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	return s.update(size, optional, func(tx *bbolt.Tx) error {
		if err := preparePools(tx); err != nil {
			return err
		}
		return do(tx)
	})
}

func (s *Store) forgetSilently(bucket []byte, name string) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	return s.update(0, false, func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucket)
		if b == nil {
			return nil
		}
		_, err := remove(b, []byte(name))
		return err
	})
}

// preparePools makes what a store has that ever had a pool.
func preparePools(tx *bbolt.Tx) error {
	if tx.Bucket(bucketMembers) != nil {
		return nil
	}
	for _, name := range [][]byte{bucketPools, bucketMembers} {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return err
		}
	}
	return tx.Bucket(bucketNode).Put(keyFormat, key(formatPools))
}
