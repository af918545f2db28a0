package bolt

import (
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/bulkhead-vm/bulkhead/hypervisor/store"
	"github.com/bulkhead-vm/bulkhead/hypervisor/store/storetest"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

const modified = bulkheadv1.EventType_EVENT_TYPE_MODIFIED

func open(t *testing.T, path string) *Store {
	t.Helper()
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStore(t *testing.T) {
	storetest.Test(t, func(t *testing.T) store.Store {
		s := open(t, filepath.Join(t.TempDir(), "state"))
		s.db.NoSync = true // durability is tested elsewhere
		return s
	})
}

func TestReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	s := open(t, path)
	for _, name := range []string{"a", "b"} {
		if _, err := s.Put(storetest.Record(name), store.Change{Type: modified, Message: name}); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(s.SetDraining(true), s.Close()); err != nil {
		t.Fatal(err)
	}
	s = open(t, path)
	defer s.Close()
	records, err := s.Records()
	if err != nil || len(records) != 2 || s.Version() != 2 {
		t.Errorf("%v, %v at version %d", records, err, s.Version())
	}
	events, err := s.Events(1, 10)
	if err != nil || len(events) != 1 || events[0].GetMessage() != "b" {
		t.Errorf("%v, %v", events, err)
	}
	if draining, err := s.Draining(); !draining || err != nil {
		t.Error("no longer draining", err)
	}
}

func TestOneProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	defer open(t, path).Close()
	if _, err := Open(path); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a second time: %v", err)
	}
}

func TestLaterFormat(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	s := open(t, path)
	err := s.db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketNode).Put(keyFormat, binary.BigEndian.AppendUint64(nil, formatPools+1))
	})
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); err == nil || !strings.Contains(err.Error(), "unknown to this version") {
		t.Errorf("a later format: %v", err)
	}
}

const envVictim = "BULKHEAD_TEST_STORE_VICTIM"

// TestKilled kills processes while they change a store: each change that
// returned is there, and the store opens.
func TestKilled(t *testing.T) {
	if path := os.Getenv(envVictim); path != "" {
		victim(path)
	}
	path := filepath.Join(t.TempDir(), "state")
	for i := range 20 {
		killOne(t, path, time.Duration(5+3*i)*time.Millisecond)
	}
}

// killOne starts a process that changes the store at path, kills it after a while,
// and checks what it left.
func killOne(t *testing.T, path string, after time.Duration) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilled$")
	cmd.Env = append(os.Environ(), envVictim+"="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var told [8]byte
	for start := time.Now(); time.Since(start) < after || told == [8]byte{}; {
		if _, err := out.Read(told[:]); err != nil {
			t.Fatal(err)
		}
	}
	cmd.Process.Kill()
	for {
		if n, err := out.Read(told[:]); n < 8 || err != nil {
			break
		}
	}
	cmd.Wait()
	s := open(t, path)
	if s.Version() < number(told[:]) {
		t.Errorf("version %d of the store, %d was told", s.Version(), number(told[:]))
	}
	records, err := s.Records()
	if err != nil || len(records) != 1 || records[0].GetSandbox().GetResourceVersion() != s.Version() {
		t.Errorf("%v, %v", records, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func victim(path string) {
	s, err := Open(path)
	for err == nil {
		var version uint64
		if version, err = s.Put(storetest.Record("a"), store.Change{Type: modified}); err == nil {
			_, err = os.Stdout.Write(binary.BigEndian.AppendUint64(nil, version))
		}
	}
	os.Exit(1)
}
