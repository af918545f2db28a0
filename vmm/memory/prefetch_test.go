package memory

import (
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestPrefetch reads what the page cache has nothing of, and ends with the memory.
func TestPrefetch(t *testing.T) {
	f := memoryFile(t, MinSize)
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		t.Fatal(err)
	}
	m, err := FromFile(f, MinSize)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	done := make(chan uint64, 1)
	m.Prefetch([]Run{{0, 4 * PageSize}, {1 << 20, 2 << 20}}, func(n uint64) { done <- n })
	if n := <-done; n != 4*PageSize+1<<20 {
		t.Errorf("%d bytes", n)
	}
	there := make([]byte, (1<<20)/PageSize)
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		if errno := mincore(m.regions[0].Bytes[1<<20:2<<20], there); errno != 0 {
			t.Fatal(errno)
		}
		if there[0]&1 != 0 && there[len(there)-1]&1 != 0 {
			break
		}
		if time.Since(began) > 20*time.Second {
			t.Fatal("the pages don't come")
		}
	}
	m.Prefetch([]Run{{0, MinSize}}, func(uint64) { t.Error("twice") })
}

// TestPrefetchOfClosed does nothing.
func TestPrefetchOfClosed(t *testing.T) {
	m, err := New(MinSize)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	m.Prefetch([]Run{{0, MinSize}}, func(uint64) { t.Error("it was read") })
}

// TestTouched finds what was read and what was written, in as many pieces as there may
// be.
func TestTouched(t *testing.T) {
	m, err := New(MinSize)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for _, page := range []int{0, 1, 5, 100, 101, 200} {
		m.regions[0].Bytes[page*PageSize] = 1
	}
	pages := func(from, to uint64) Run { return Run{from * PageSize, to * PageSize} }
	for most, want := range map[int][]Run{
		10: {pages(0, 2), pages(5, 6), pages(100, 102), pages(200, 201)},
		3:  {pages(0, 6), pages(100, 102), pages(200, 201)},
		1:  {pages(0, 201)},
	} {
		if got, err := m.Touched(most); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("in %d pieces: %v, %v, want %v", most, got, err, want)
		}
	}
}

// TestFileContent finds holes, and that a file was cut.
func TestFileContent(t *testing.T) {
	f := memoryFile(t, MinSize)
	c := FileContent(f, MinSize)
	for _, tt := range []struct {
		from, limit, to uint64
		zero            bool
	}{
		{0, MinSize, PageSize, false},
		{PageSize, MinSize, 16 * PageSize, true},
		{PageSize, 4 * PageSize, 4 * PageSize, true},
		{MinSize - 2*PageSize, MinSize, MinSize, true},
	} {
		if to, zero := c.Extent(tt.from, tt.limit); to != tt.to || zero != tt.zero {
			t.Errorf("from %#x: to %#x, zero %v, want %#x, %v", tt.from, to, zero, tt.to, tt.zero)
		}
	}
	if err := f.Truncate(1 << 20); err != nil {
		t.Fatal(err)
	}
	if _, zero := c.Extent(2<<20, 3<<20); zero {
		t.Error("what was cut off is zeroes")
	}
}

// TestHuge has memory begin where a huge page can.
func TestHuge(t *testing.T) {
	m, err := NewHuge(MinSize)
	if err != nil {
		t.Fatal(err)
	}
	if at := m.regions[0].HostAddress(); at%HugePageSize != 0 || len(m.regions[0].Bytes) != MinSize {
		t.Errorf("%d bytes at %#x", len(m.regions[0].Bytes), at)
	}
	m.regions[0].Bytes[MinSize-1] = 1
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}
