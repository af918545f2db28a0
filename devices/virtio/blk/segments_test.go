package blk_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"github.com/bulkhead-vm/bulkhead/devices/ratelimit"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/blk"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/blk/blktest"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtiotest"
)

const discard, writeZeroes = 11, 13

func segment(sector uint64, sectors, flags uint32) []byte {
	b := binary.LittleEndian.AppendUint64(nil, sector)
	b = binary.LittleEndian.AppendUint32(b, sectors)
	return binary.LittleEndian.AppendUint32(b, flags)
}

func TestSegments(t *testing.T) {
	join := func(b ...[]byte) []byte { return bytes.Join(b, nil) }
	tests := []struct {
		name string
		kind uint32
		data []byte
		want byte
	}{
		{"discard", discard, segment(8, 8, 0), ok},
		{"discard two", discard, join(segment(8, 8, 0), segment(16, 1, 0)), ok},
		{"discard nothing of the disk", discard, segment(8, 0, 0), ok},
		{"discard to the last sector", discard, segment(lastSector, 1, 0), ok},
		{"discard past the end", discard, segment(lastSector, 2, 0), ioErr},
		{"discard far past the end", discard, segment(1<<63, 1, 0), ioErr},
		{"the second is past the end", discard, join(segment(8, 8, 0), segment(lastSector, 2, 0)), ioErr},
		{"discard with unmap", discard, segment(8, 8, 1), unsupported},
		{"discard with an unknown flag", discard, segment(8, 8, 2), unsupported},
		{"33 segments", discard, bytes.Repeat(segment(8, 8, 0), 33), ioErr},
		{"32 segments", discard, bytes.Repeat(segment(8, 8, 0), 32), ok},
		{"no segment", discard, nil, ioErr},
		{"half a segment", discard, segment(8, 8, 0)[:8], ioErr},
		{"zero", writeZeroes, segment(8, 8, 0), ok},
		{"zero and unmap", writeZeroes, segment(8, 8, 1), ok},
		{"zero with an unknown flag", writeZeroes, segment(8, 8, 3), unsupported},
		{"zero two", writeZeroes, join(segment(8, 8, 0), segment(16, 1, 0)), ioErr},
		{"zero too much", writeZeroes, segment(0, 1<<18+1, 0), ioErr},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			disk := blktest.New(diskSize)
			before := bytes.Clone(disk.Bytes)
			f := &fixture{Harness: attach(t, disk, 1), t: t}
			d := f.Queues[0]
			status := d.In(1)
			f.Do(0, d.Out(append(header(tt.kind, 0), tt.data...)), status)
			if s := d.Bytes(status)[0]; s != tt.want {
				t.Fatalf("status %d, want %d", s, tt.want)
			}
			if tt.want != ok && !bytes.Equal(disk.Bytes, before) {
				t.Error("refused, and yet the disk changed")
			}
			if len(f.Failures()) > 0 {
				t.Errorf("device asked for a reset: %v", f.Failures())
			}
		})
	}
}

func TestSegmentsReachTheDisk(t *testing.T) {
	disk := blktest.New(diskSize)
	f := &fixture{Harness: attach(t, disk, 1), t: t}
	for kind, fill := range map[uint32]byte{discard: 0xff, writeZeroes: 0} {
		if s := f.do(kind, 0, f.Queues[0].Out(segment(64, 8, 0))); s != ok {
			t.Fatalf("type %d: status %d", kind, s)
		}
		want := append(bytes.Repeat([]byte{63}, 512), bytes.Repeat([]byte{fill}, 4096)...)
		want = append(want, bytes.Repeat([]byte{72}, 512)...)
		if !bytes.Equal(disk.Bytes[63*512:73*512], want) {
			t.Errorf("type %d changed something else", kind)
		}
	}
	disk.Err = func(string) error { return errors.New("full") }
	if s := f.do(writeZeroes, 0, f.Queues[0].Out(segment(64, 2, 0))); s != ioErr {
		t.Errorf("status %d, want an I/O error", s)
	}
}

func TestBlocksOf4K(t *testing.T) {
	disk := blktest.New(diskSize)
	disk.Block = 4096
	f := &fixture{Harness: attach(t, disk, 1), t: t}
	d := f.Queues[0]
	for _, tt := range []struct {
		sector uint64
		n      int
		want   byte
	}{{8, 4096, ok}, {8, 512, ioErr}, {1, 4096, ioErr}} {
		if s := f.do(in, tt.sector, d.In(tt.n)); s != tt.want {
			t.Errorf("read of %d bytes at sector %d: status %d, want %d", tt.n, tt.sector, s, tt.want)
		}
	}
	var size [4]byte
	f.Device.ReadConfig(20, size[:])
	if binary.LittleEndian.Uint32(size[:]) != 4096 {
		t.Errorf("blk_size %x", size)
	}
}

// TestZeroesCount limits bytes: zeroes count as if they were written, which the
// host may have to do. What comes next waits.
func TestZeroesCount(t *testing.T) {
	limit := ratelimit.New(ratelimit.Config{Bytes: ratelimit.Rate{PerSecond: 1 << 10}})
	dev, err := blk.New(blk.Config{Backend: blktest.New(diskSize), Limit: limit})
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{Harness: virtiotest.Start(t, dev, virtiotest.Options{}), t: t}
	d := f.Queues[0]
	if s := f.do(writeZeroes, 0, d.Out(segment(0, 128, 0))); s != ok {
		t.Fatalf("status %d", s)
	}
	if wait := limit.Take(1, 1); wait != ratelimit.Nap {
		t.Errorf("after 64 KiB of zeroes at 1 KiB a second the next waits %v, want %v", wait, ratelimit.Nap)
	}
}

// TestDiscardOfParts discards parts of blocks: they stay as they are, for which
// no host needs to read or write, and whole blocks between them go.
func TestDiscardOfParts(t *testing.T) {
	disk := blktest.New(diskSize)
	f := &fixture{Harness: attach(t, disk, 1), t: t}
	before := bytes.Clone(disk.Bytes)
	list := slices.Concat(segment(1, 6, 0), segment(31, 2, 0), segment(41, 15, 0))
	if s := f.do(discard, 0, f.Queues[0].Out(list)); s != ok {
		t.Fatalf("status %d", s)
	}
	for i := range 8 * 512 { // sectors 48 to 55: the one whole block
		before[48*512+i] = 0xff
	}
	if !bytes.Equal(disk.Bytes, before) {
		t.Error("something else changed")
	}
}

// TestDiscardsCount limits operations: each part of a discard is one.
func TestDiscardsCount(t *testing.T) {
	limit := ratelimit.New(ratelimit.Config{Operations: ratelimit.Rate{PerSecond: 1}})
	dev, err := blk.New(blk.Config{Backend: blktest.New(diskSize), Limit: limit})
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{Harness: virtiotest.Start(t, dev, virtiotest.Options{}), t: t}
	if s := f.do(discard, 0, f.Queues[0].Out(bytes.Repeat(segment(8, 8, 0), 32))); s != ok {
		t.Fatalf("status %d", s)
	}
	limit.Set(ratelimit.Config{Operations: ratelimit.Rate{PerSecond: 100}})
	if wait := limit.Take(1, 0); wait != ratelimit.Nap { // of the 310 ms that 31 take
		t.Errorf("after 32 parts the next waits %v, want %v", wait, ratelimit.Nap)
	}
}
