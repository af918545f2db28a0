package blk_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/bulkhead-vm/bulkhead/devices/backend/file"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/blk"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/blk/blktest"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtiotest"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue/vqtest"
)

const (
	in, out, flush, getID      = 0, 1, 4, 8
	ok, ioErr, unsupported     = 0, 1, 2
	featureRO, featureFlush    = 1 << 5, 1 << 9
	diskSize                   = 1 << 20
	lastSector, sectorsPerPage = diskSize/512 - 1, 8
)

type fixture struct {
	*virtiotest.Harness
	t    *testing.T
	path string
}

func start(t *testing.T, readOnly bool, features uint64) *fixture {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk")
	pattern := make([]byte, diskSize)
	for i := range pattern {
		pattern[i] = byte(i / 512)
	}
	if err := os.WriteFile(path, pattern, 0o600); err != nil {
		t.Fatal(err)
	}
	backend, err := file.Open(path, file.Options{ReadOnly: readOnly})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { backend.Close() })
	dev, err := blk.New(blk.Config{Backend: backend, Serial: "hull-1"})
	if err != nil {
		t.Fatal(err)
	}
	return &fixture{virtiotest.Start(t, dev, virtiotest.Options{Features: features}), t, path}
}

func header(kind uint32, sector uint64) []byte {
	b := binary.LittleEndian.AppendUint32(nil, kind)
	b = binary.LittleEndian.AppendUint32(b, 0)
	return binary.LittleEndian.AppendUint64(b, sector)
}

// do makes a request with data buffers and returns its status.
func (f *fixture) do(kind uint32, sector uint64, data ...vqtest.Buffer) byte {
	f.t.Helper()
	d := f.Queues[0]
	status := d.In(1)
	d.Bytes(status)[0] = 0xee
	buffers := append([]vqtest.Buffer{d.Out(header(kind, sector))}, data...)
	f.Do(0, append(buffers, status)...)
	return d.Bytes(status)[0]
}

func TestReadSectors(t *testing.T) {
	f := start(t, false, featureFlush)
	d := f.Queues[0]
	a, b := d.In(512), d.In(1024)
	if s := f.do(in, 7, a, b); s != ok {
		t.Fatalf("status %d", s)
	}
	want := append(bytes.Repeat([]byte{8}, 512), bytes.Repeat([]byte{9}, 512)...)
	if d.Bytes(a)[0] != 7 || !bytes.Equal(d.Bytes(b), want) {
		t.Error("read the wrong sectors")
	}
}

func TestWriteReachesFile(t *testing.T) {
	f := start(t, false, featureFlush)
	data := bytes.Repeat([]byte("bulkhead"), 128)
	if s := f.do(out, 100, f.Queues[0].Out(data)); s != ok {
		t.Fatalf("write: status %d", s)
	}
	if s := f.do(flush, 0); s != ok {
		t.Fatalf("flush: status %d", s)
	}
	image, err := os.ReadFile(f.path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(image[100*512:][:1024], data) {
		t.Error("the image holds something else")
	}
}

// TestOddBuffers cuts a request where no driver would.
func TestOddBuffers(t *testing.T) {
	f := start(t, false, featureFlush)
	d := f.Queues[0]
	h := header(out, 3)
	data := bytes.Repeat([]byte{0xab}, 512)
	status := d.In(1)
	f.Do(0, d.Out(h[:5]), d.Out(append(h[5:], data[:100]...)), d.Out(data[100:]), status)
	if s := d.Bytes(status)[0]; s != ok {
		t.Fatalf("write: status %d", s)
	}
	whole := d.In(513) // data and status in one buffer
	f.Do(0, d.Out(header(in, 3)), whole)
	if b := d.Bytes(whole); !bytes.Equal(b[:512], data) || b[512] != ok {
		t.Error("read back something else")
	}
}

// TestUsedLength holds used.len to what was written without a gap; section
// 2.7.8.2.
func TestUsedLength(t *testing.T) {
	f := start(t, false, featureFlush)
	d := f.Queues[0]
	tests := []struct {
		name    string
		kind    uint32
		sector  uint64
		buffers []vqtest.Buffer
		want    uint32
	}{
		{"read", in, 0, []vqtest.Buffer{d.In(512), d.In(1)}, 513},
		{"read past the end", in, 1 << 40, []vqtest.Buffer{d.In(512), d.In(1)}, 0},
		{"write", out, 0, []vqtest.Buffer{d.Out(make([]byte, 512)), d.In(1)}, 1},
		{"write with more room than for a status", out, 0, []vqtest.Buffer{d.Out(make([]byte, 512)), d.In(8)}, 0},
		{"flush", flush, 0, []vqtest.Buffer{d.In(1)}, 1},
		{"identity", getID, 0, []vqtest.Buffer{d.In(30), d.In(1)}, 31},
		{"unknown", 99, 0, []vqtest.Buffer{d.In(30), d.In(1)}, 0},
	}
	for _, tt := range tests {
		n := f.Do(0, append([]vqtest.Buffer{d.Out(header(tt.kind, tt.sector))}, tt.buffers...)...)
		if n != tt.want {
			t.Errorf("%s: used.len %d, want %d", tt.name, n, tt.want)
		}
	}
}

func TestGetID(t *testing.T) {
	f := start(t, false, 0)
	id := f.Queues[0].In(20)
	if s := f.do(getID, 0, id); s != ok {
		t.Fatalf("status %d", s)
	}
	if got := string(bytes.TrimRight(f.Queues[0].Bytes(id), "\x00")); got != "hull-1" {
		t.Errorf("serial %q", got)
	}
}

func TestErrorsReachTheGuest(t *testing.T) {
	f := start(t, false, 0)
	d := f.Queues[0]
	tests := []struct {
		name   string
		kind   uint32
		sector uint64
		data   vqtest.Buffer
		want   byte
	}{
		{"read past the end", in, lastSector, d.In(1024), ioErr},
		{"read far past the end", in, 1 << 60, d.In(512), ioErr},
		{"sector times 512 overflows", in, 1 << 56, d.In(512), ioErr},
		{"half a sector", in, 0, d.In(100), ioErr},
		{"write past the end", out, lastSector + 1, d.Out(make([]byte, 512)), ioErr},
		{"last sector", in, lastSector, d.In(512), ok},
		{"nothing, behind the last sector", in, lastSector + 1, vqtest.Buffer{GPA: 0x1000, Writable: true}, ok},
		{"nothing, further behind", in, lastSector + 2, vqtest.Buffer{GPA: 0x1000, Writable: true}, ioErr},
		{"write nothing", out, 1, vqtest.Buffer{GPA: 0x1000}, ok},
		{"unknown type", 99, 0, d.In(512), unsupported},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if s := f.do(tt.kind, tt.sector, tt.data); s != tt.want {
				t.Errorf("status %d, want %d", s, tt.want)
			}
		})
	}
	if len(f.Failures()) > 0 {
		t.Errorf("device asked for a reset: %v", f.Failures())
	}
}

func TestImageBecomesShorter(t *testing.T) {
	f := start(t, true, featureRO)
	if err := os.Truncate(f.path, 512); err != nil {
		t.Fatal(err)
	}
	if s := f.do(in, 100, f.Queues[0].In(512)); s != ioErr {
		t.Errorf("status %d, want an I/O error", s)
	}
}

func TestReadOnly(t *testing.T) {
	f := start(t, true, featureRO)
	if f.Device.Features()&featureRO == 0 {
		t.Error("the read-only feature isn't offered")
	}
	if s := f.do(out, 0, f.Queues[0].Out(make([]byte, 512))); s != ioErr {
		t.Errorf("status %d, want an I/O error", s)
	}
}

func TestMalformed(t *testing.T) {
	tests := []struct {
		name  string
		chain func(d *vqtest.Driver) []vqtest.Buffer
	}{
		{"no header", func(d *vqtest.Driver) []vqtest.Buffer { return []vqtest.Buffer{d.In(513)} }},
		{"short header", func(d *vqtest.Driver) []vqtest.Buffer { return []vqtest.Buffer{d.Out(make([]byte, 15)), d.In(513)} }},
		{"no status", func(d *vqtest.Driver) []vqtest.Buffer { return []vqtest.Buffer{d.Out(header(out, 0))} }},
		{"empty buffers", func(d *vqtest.Driver) []vqtest.Buffer {
			return []vqtest.Buffer{d.Out(header(in, 0)), {GPA: 0x1000, Writable: true}}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := start(t, false, 0)
			f.Queues[0].Add(tt.chain(f.Queues[0])...)
			f.Kick(0)
			f.WaitFailure()
		})
	}
}

func TestCapacity(t *testing.T) {
	f := start(t, false, 0)
	var b [8]byte
	f.Device.ReadConfig(0, b[:])
	if n := binary.LittleEndian.Uint64(b[:]); n != diskSize/512 {
		t.Errorf("capacity is %d sectors", n)
	}
	f.Device.ReadConfig(1<<40, b[:])
	if b != [8]byte{} {
		t.Error("read something beyond the configuration space")
	}
}

func TestWriteThrough(t *testing.T) {
	disk := blktest.New(1 << 20)
	disk.Err = func(operation string) error {
		if operation == "flush" {
			return errors.New("no more spare sectors")
		}
		return nil
	}
	dev, err := blk.New(blk.Config{Backend: disk})
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{Harness: virtiotest.Start(t, dev, virtiotest.Options{}), t: t} // FLUSH not accepted
	for kind, data := range map[uint32][]byte{out: make([]byte, 512), writeZeroes: segment(8, 8, 0)} {
		if s := f.do(kind, 0, f.Queues[0].Out(data)); s != ioErr {
			t.Errorf("type %d: status %d though the flush failed, want an I/O error", kind, s)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	odd := blktest.New(1 << 20)
	odd.Block = 3000
	for name, c := range map[string]blk.Config{
		"serial number of 21 bytes": {Backend: blktest.New(1 << 20), Serial: "123456789012345678901"},
		"empty disk":                {Backend: blktest.New(0)},
		"odd block size":            {Backend: odd},
		"33 queues":                 {Backend: blktest.New(1 << 20), Queues: 33},
	} {
		if _, err := blk.New(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
