package mounts

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"golang.org/x/sys/unix"
)

const testSize = 1 << 20

// mbr returns a disk with entries of type, first sector and sectors.
func mbr(entries ...[3]uint32) []byte {
	disk := make([]byte, testSize)
	for i, e := range entries {
		b := disk[446+16*i:]
		b[4] = byte(e[0])
		binary.LittleEndian.PutUint32(b[8:], e[1])
		binary.LittleEndian.PutUint32(b[12:], e[2])
	}
	disk[510], disk[511] = 0x55, 0xaa
	return disk
}

// gpt returns a disk with entries of first and last sector.
func gpt(sector int, entries ...[2]uint64) []byte {
	disk := mbr([3]uint32{mbrProtective, 1, 2047})
	h := disk[sector:]
	copy(h, gptSignature)
	binary.LittleEndian.PutUint64(h[72:], 2)
	binary.LittleEndian.PutUint32(h[80:], uint32(len(entries)))
	binary.LittleEndian.PutUint32(h[84:], 128)
	for i, e := range entries {
		b := disk[2*sector+128*i:]
		if e[1] != 0 {
			b[0] = 1
		}
		binary.LittleEndian.PutUint64(b[32:], e[0])
		binary.LittleEndian.PutUint64(b[40:], e[1])
	}
	return disk
}

func patched(disk []byte, offset int, value uint64) []byte {
	binary.LittleEndian.PutUint64(disk[offset:], value)
	return disk
}

func TestReadTable(t *testing.T) {
	tests := []struct {
		name   string
		disk   []byte
		sector int64
		want   []partition
		fail   bool
	}{
		{"blank", make([]byte, testSize), 512, nil, false},
		{"too small", make([]byte, 100), 512, nil, false},
		{"mbr", mbr([3]uint32{0x83, 8, 16}, [3]uint32{0, 1, 1}, [3]uint32{0x05, 1, 1}, [3]uint32{0x83, 32, 8}), 512,
			[]partition{{1, 4096, 8192}, {4, 16384, 4096}}, false},
		{"mbr beyond the end", mbr([3]uint32{0x83, 8, 1 << 20}, [3]uint32{0x83, 1 << 31, 1 << 31}, [3]uint32{0x83, 0, 8}), 512, nil, false},
		{"gpt", gpt(512, [2]uint64{34, 35}, [2]uint64{0, 0}, [2]uint64{40, 40}), 512,
			[]partition{{1, 34 * 512, 1024}, {3, 40 * 512, 512}}, false},
		{"gpt of large sectors", gpt(4096, [2]uint64{6, 7}), 4096, []partition{{1, 6 * 4096, 8192}}, false},
		{"gpt beyond the end", gpt(512, [2]uint64{40, 1 << 40}, [2]uint64{50, 49}, [2]uint64{1 << 63, 1<<64 - 1}), 512, nil, false},
		{"no gpt signature", patched(gpt(512), 512, 0), 512, nil, true},
		{"gpt entries beyond the end", patched(gpt(512), 512+72, 1<<62), 512, nil, true},
		{"gpt entries of no size", patched(gpt(512), 512+80, 1), 512, nil, true},
		{"gpt entries of great size", patched(gpt(512), 512+80, 0xffffffff_ffffffff), 512, nil, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := readTable(bytes.NewReader(tt.disk), tt.sector, int64(len(tt.disk)))
			if (err != nil) != tt.fail || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("readTable = %v, %v; want %v", got, err, tt.want)
			}
		})
	}
}

func FuzzReadTable(f *testing.F) {
	f.Add(gpt(512, [2]uint64{34, 35})[:4096])
	f.Add(mbr([3]uint32{0x83, 8, 16})[:4096])
	f.Fuzz(func(t *testing.T, disk []byte) {
		list, _ := readTable(bytes.NewReader(disk), 512, int64(len(disk)))
		for _, p := range list {
			if p.start < 0 || p.length <= 0 || p.start+p.length > int64(len(disk)) {
				t.Errorf("partition %+v of a disk of %d bytes", p, len(disk))
			}
		}
	})
}

// TestPartitionedDisk has the root on the third partition. The kernel learns
// of the table by itself, or from the agent.
func TestPartitionedDisk(t *testing.T) {
	const unit = 2 << 20 // bytes
	const sectors = unit / 512
	table := mbr([3]uint32{0x83, sectors, sectors}, [3]uint32{0x83, 2 * sectors, sectors}, [3]uint32{0x83, 3 * sectors, sectors})[:512]
	disk := filepath.Join(t.TempDir(), "disk")
	f, err := os.Create(disk)
	must(t, err, f.Truncate(4*unit))
	for i, dir := range []string{"", t.TempDir(), tree(t)} { // blank, empty, a root
		if dir != "" {
			b, err := os.ReadFile(image(t, "erofs", dir))
			must(t, err)
			_, err = f.WriteAt(b, int64(i+1)*unit)
			must(t, err)
		}
	}
	check := func(t *testing.T, device string) {
		work := t.TempDir()
		isolated(t, func() {
			root, err := Root{Device: device, Kind: Memory}.Assemble(work)
			must(t, err)
			wantFile(t, filepath.Join(root, "etc/marker"), "base")
			must(t, unix.Unmount(root, 0), unix.Unmount(filepath.Join(work, upperDir), 0), unix.Unmount(filepath.Join(work, baseDir), 0))
		})
	}
	device := loop(t, disk, "-P")
	_, err = f.WriteAt(table, 0) // the kernel has looked already
	must(t, err, f.Sync())
	t.Run("the agent's partitions", func(t *testing.T) {
		if names, err := knownPartitions(device); err != nil || len(names) != 0 {
			t.Fatalf("the kernel knows %q, %v", names, err)
		}
		check(t, device)
	})
	t.Run("the kernel's partitions", func(t *testing.T) { check(t, loop(t, disk, "-P")) })
}
