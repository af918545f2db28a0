package pager

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

const testSize = memory.MinSize

// content is memory that says of each page which it is; three of four 64 KiB and all
// of the last 4 MiB are zeroes.
type content struct {
	broken atomic.Bool // it can't be read
	slow   time.Duration
	reads  atomic.Int64
}

var errBroken = errors.New("the storage is gone")

func (c *content) zero(at uint64) bool { return at/(64<<10)%4 != 0 || at >= testSize-4<<20 }

// Extent implements memory.Content.
func (c *content) Extent(from, limit uint64) (to uint64, zero bool) {
	zero = c.zero(from)
	for to = from; to < limit && c.zero(to) == zero; {
		to += pageSize
	}
	return to, zero
}

// ReadAt implements io.ReaderAt.
func (c *content) ReadAt(p []byte, at int64) (int, error) {
	c.reads.Add(1)
	time.Sleep(c.slow)
	if c.broken.Load() {
		return 0, errBroken
	}
	for i := 0; i < len(p); i += pageSize {
		copy(p[i:], c.page(uint64(at)+uint64(i)))
	}
	return len(p), nil
}

// page is what the page at an offset has.
func (c *content) page(at uint64) []byte {
	if c.zero(at) {
		return make([]byte, pageSize)
	}
	return bytes.Repeat(fmt.Appendf(nil, "%08x", at), pageSize/8)
}

func start(t *testing.T, c Config) (*memory.Memory, *Pager) {
	t.Helper()
	var p *Pager
	m, err := memory.NewPaged(testSize, c.Huge, func(r []memory.Region) (memory.Pager, error) {
		var err error
		p, err = Start(c, r)
		return p, err
	})
	if errors.Is(err, os.ErrPermission) {
		t.Skipf("NOT TESTED: this user may not use userfaultfd: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m, p
}

// touch has the kernel read a page, as KVM does, and returns what it found.
func touch(t *testing.T, m *memory.Memory, at uint64) []byte {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if _, err := w.Write(m.Regions()[0].Bytes[at:][:pageSize]); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, pageSize)
	if _, err := r.Read(b); err != nil {
		t.Fatal(err)
	}
	return b
}

func kinds() map[string]Config {
	return map[string]Config{"small pages": {}, "one page": {Around: pageSize}, "huge pages": {Huge: true}}
}

// TestEveryWay has many look at the same pages at once, in every way there is.
func TestEveryWay(t *testing.T) {
	for name, c := range kinds() {
		t.Run(name, func(t *testing.T) {
			want := new(content)
			c.Content = want
			m, _ := start(t, c)
			m.Prefetch([]memory.Run{{From: 0, To: testSize}}, nil)
			var all sync.WaitGroup
			for i := range 8 {
				all.Go(func() {
					random := rand.New(rand.NewPCG(uint64(i), 1))
					for range 300 {
						at := random.Uint64N(testSize/pageSize) * pageSize
						got := make([]byte, pageSize)
						switch i % 3 {
						case 0:
							got = touch(t, m, at)
						case 1:
							if err := m.ReadAt(got, memory.GPA(at)); err != nil {
								t.Error(err)
							}
						case 2:
							err := m.View(m.Regions()[0], at, at+pageSize, func(_ uint64, b []byte) error { copy(got, b); return nil })
							if err != nil {
								t.Error(err)
							}
						}
						if !bytes.Equal(got, want.page(at)) {
							t.Errorf("page at %#x has %.16q, want %.16q", at, got, want.page(at))
						}
					}
				})
			}
			all.Wait()
		})
	}
}

// TestUntouched brings in what is needed and what is around it, no more.
func TestUntouched(t *testing.T) {
	c := new(content)
	m, p := start(t, Config{Content: c})
	touch(t, m, 256<<10)
	if n := c.reads.Load(); n != 1 {
		t.Errorf("%d reads for one page", n)
	}
	touch(t, m, 256<<10+8*pageSize) // beside it
	if err := m.ReadAt(make([]byte, 100), 256<<10+4000); err != nil {
		t.Fatal(err)
	}
	if n := c.reads.Load(); n != 1 {
		t.Errorf("%d reads for what was there", n)
	}
	got, err := m.Touched(10)
	if err != nil {
		t.Fatal(err)
	}
	want := []memory.Run{{From: 256 << 10, To: 256<<10 + 2*pageSize}} // what was there already, the kernel found by itself
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("touched: %x, want %x", got, want)
	}
	if p.there.has(512 << 10 / pageSize) {
		t.Error("a page is there that nobody asked for")
	}
}

// TestRelease gives pages back, of those that are there and of others, and finds
// zeroes.
func TestRelease(t *testing.T) {
	for name, c := range kinds() {
		t.Run(name, func(t *testing.T) {
			want := new(content)
			c.Content = want
			m, p := start(t, c)
			ram := m.Regions()[0].Bytes
			touch(t, m, 0)
			if err := m.Release(ram[pageSize : 5*pageSize]); err != nil {
				t.Fatal(err)
			}
			if err := m.Release(ram[1<<20 : 3<<20]); err != nil { // nobody has looked at it
				t.Fatal(err)
			}
			for _, at := range []uint64{pageSize, 4 * pageSize, 1 << 20, 2 << 20, 3<<20 - pageSize} {
				if got := touch(t, m, at); !bytes.Equal(got, make([]byte, pageSize)) {
					t.Errorf("page at %#x, given back, has %.16q", at, got)
				}
			}
			for _, at := range []uint64{0, 5 * pageSize, 1<<20 - pageSize, 3 << 20} {
				if got := touch(t, m, at); !bytes.Equal(got, want.page(at)) {
					t.Errorf("page at %#x, beside what was given back, has %.16q, want %.16q", at, got, want.page(at))
				}
			}
			if want := 2; p.holes.count < want {
				t.Errorf("%d pieces, want %d or more", p.holes.count, want)
			}
		})
	}
}

// TestReleaseWhileTouched has a guest that gives back what is being read.
func TestReleaseWhileTouched(t *testing.T) {
	want := new(content)
	m, _ := start(t, Config{Content: want})
	ram := m.Regions()[0].Bytes
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 2))
			for range 500 {
				at := random.Uint64N(64) * pageSize
				if i%2 == 0 {
					if err := m.Release(ram[at:][:2*pageSize]); err != nil {
						t.Error(err)
					}
					continue
				}
				if got := touch(t, m, at); !bytes.Equal(got, want.page(at)) && !bytes.Equal(got, make([]byte, pageSize)) {
					t.Errorf("page at %#x has %.16q", at, got)
				}
			}
		})
	}
	all.Wait()
}

// TestFragments has a guest give back every other page of a large memory: the host's
// mappings are bounded.
func TestFragments(t *testing.T) {
	const most = 1000
	m, p := start(t, Config{Content: new(content)})
	h := &p.holes
	h.most = most
	refused := 0
	for page := uint64(0); page < uint64(len(m.Regions()[0].Bytes)/pageSize); page += 2 {
		switch err := h.make(p, page*pageSize, (page+1)*pageSize); {
		case errors.Is(err, ErrFragmented):
			refused++
		case err != nil:
			t.Fatal(err)
		}
	}
	if h.count != most || h.count+refused != testSize/pageSize/2 {
		t.Errorf("%d pieces, and %d refused", h.count, refused)
	}
	before := h.count
	if err := h.make(p, 0, 64*pageSize); err != nil { // joins what there is
		t.Fatal(err)
	}
	if h.count != before-32 {
		t.Errorf("%d pieces after 33 became one, of %d", h.count, before)
	}
}

// TestBroken has content that can't be read: the owner hears of it, once, and nobody
// waits for ever.
func TestBroken(t *testing.T) {
	c := new(content)
	m, _ := start(t, Config{Content: c})
	heard := make(chan error, 10)
	m.OnFailure(func(err error) { heard <- err })
	c.broken.Store(true)
	var all sync.WaitGroup
	for i := range uint64(4) {
		all.Go(func() { touch(t, m, i*256<<10) })
		all.Go(func() {
			if err := m.ReadAt(make([]byte, 1), memory.GPA(i*256<<10+4<<20)); err != nil && !errors.Is(err, errBroken) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if err := <-heard; !errors.Is(err, errBroken) {
		t.Error(err)
	}
	late := make(chan error, 1)
	m.OnFailure(func(err error) { late <- err })
	if err := <-late; !errors.Is(err, errBroken) {
		t.Error(err)
	}
	if len(heard) != 0 {
		t.Error("it was told twice")
	}
}

// TestBrokenPrefetch has what nobody has asked for not be had: the machine goes on, and
// ends only where it needs that.
func TestBrokenPrefetch(t *testing.T) {
	c := new(content)
	m, p := start(t, Config{Content: c})
	heard := make(chan error, 1)
	m.OnFailure(func(err error) { heard <- err })
	c.broken.Store(true)
	if err := p.Prefetch(0, 1<<20); !errors.Is(err, errBroken) {
		t.Errorf("prefetched: %v", err)
	}
	select {
	case err := <-heard:
		t.Errorf("the machine is to end: %v", err)
	default:
	}
	c.broken.Store(false)
	if got := touch(t, m, pageSize); !bytes.Equal(got, c.page(pageSize)) {
		t.Errorf("then a page has %.16q", got)
	}
	c.broken.Store(true)
	if err := m.ReadAt(make([]byte, 1), 2<<20); !errors.Is(err, errBroken) {
		t.Errorf("read: %v", err)
	}
	if err := <-heard; !errors.Is(err, errBroken) {
		t.Error(err)
	}
}

// TestCloseWhilePaging closes memory that is being prefetched.
func TestCloseWhilePaging(t *testing.T) {
	c := &content{slow: time.Millisecond}
	m, _ := start(t, Config{Content: c, Around: pageSize})
	done := make(chan uint64, 1)
	m.Prefetch([]memory.Run{{From: 0, To: testSize}}, func(n uint64) { done <- n })
	for c.reads.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if n := <-done; n >= testSize {
		t.Errorf("%d bytes were read after the end", n)
	}
}

// TestHuge has a block be one page.
func TestHuge(t *testing.T) {
	m, _ := start(t, Config{Content: new(content), Huge: true})
	touch(t, m, 6<<20)
	resident := make([]byte, memory.HugePageSize/pageSize)
	if err := mincore(m.Regions()[0].Bytes[6<<20:][:memory.HugePageSize], resident); err != 0 {
		t.Fatal(err)
	}
	for i, r := range resident {
		if r&1 == 0 {
			t.Fatalf("page %d of the block isn't there", i)
		}
	}
}
