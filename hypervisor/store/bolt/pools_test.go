package bolt

import (
	"errors"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/bulkhead-vm/bulkhead/hypervisor/store"
	"github.com/bulkhead-vm/bulkhead/hypervisor/store/storetest"
)

func formatOf(t *testing.T, s *Store) (n uint64) {
	t.Helper()
	err := s.db.View(func(tx *bbolt.Tx) error {
		n = number(tx.Bucket(bucketNode).Get(keyFormat))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestFormatWithPools has a store be what earlier versions open until it has its first
// pool, and no longer.
func TestFormatWithPools(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	s := open(t, path)
	if _, err := s.Put(storetest.Record("a"), store.Change{Type: modified}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.DeletePool("none"), s.DeleteMember("+none")); err != nil {
		t.Fatal(err)
	}
	pools, err := s.Pools()
	members, err2 := s.Members()
	if err := errors.Join(err, err2); err != nil || len(pools)+len(members) > 0 || formatOf(t, s) != format {
		t.Errorf("%v and %v in format %d, %v", pools, members, formatOf(t, s), err)
	}
	for range 2 {
		if err := errors.Join(s.PutPool(storetest.Pool("p", 1)), s.PutMember(storetest.Record("+m"), true), s.Close()); err != nil {
			t.Fatal(err)
		}
		s = open(t, path)
		pools, err = s.Pools()
		members, err2 = s.Members()
		if err := errors.Join(err, err2); err != nil || len(pools) != 1 || len(members) != 1 || formatOf(t, s) != formatPools {
			t.Errorf("%v and %v in format %d, %v", pools, members, formatOf(t, s), err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
