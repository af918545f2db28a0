package file

import (
	"errors"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestSyncShared has many wait for a sync that runs: it may have begun before
// their writes, so another serves them, but not one for each.
func TestSyncShared(t *testing.T) {
	const waiters = 20
	var s syncer
	syncs, running, gate := 0, make(chan struct{}), make(chan struct{})
	sync := func() error {
		if syncs++; syncs == 1 {
			close(running)
		}
		<-gate
		return nil
	}
	done, entering := make(chan error), make(chan struct{})
	go func() { done <- s.do(sync) }()
	<-running
	for range waiters {
		go func() { entering <- struct{}{}; done <- s.do(sync) }()
	}
	for range waiters {
		<-entering
	}
	time.Sleep(10 * time.Millisecond) // until most wait
	close(gate)
	for range 1 + waiters {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if syncs < 2 || syncs > waiters/2 {
		t.Errorf("%d syncs for %d who waited", syncs, waiters)
	}
}

// TestSyncFails is for everybody who asks, then and later.
func TestSyncFails(t *testing.T) {
	var s syncer
	results := []error{unix.EINTR, unix.EIO, nil}
	sync := func() error {
		err := results[0]
		results = results[1:]
		return err
	}
	for range 3 {
		if err := s.do(sync); !errors.Is(err, unix.EIO) {
			t.Errorf("got %v, want EIO", err)
		}
	}
}

// TestSyncAfter has each sync begin after the call that asked for it.
func TestSyncAfter(t *testing.T) {
	var s syncer
	var mu sync.Mutex
	written, synced := 0, 0
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				mu.Lock()
				written++
				mine := written
				mu.Unlock()
				s.do(func() error {
					mu.Lock()
					defer mu.Unlock()
					synced = written
					return nil
				})
				mu.Lock()
				if synced < mine {
					t.Errorf("%d was synced when %d had been written", synced, mine)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}
