package mounts

import (
	"encoding/binary"
	"errors"
	"io"
)

// partition is a piece of a disk, in bytes.
type partition struct {
	number        int
	start, length int64
}

const (
	maxPartitions = 128
	mbrProtective = 0xee // the real table is a GPT
	gptSignature  = "EFI PART"
)

var errTable = errors.New("it makes no sense")

// readTable returns the partitions of an MBR (the primary ones) or a GPT, and
// none if the disk has neither.
func readTable(r io.ReaderAt, sector, size int64) ([]partition, error) {
	mbr := make([]byte, 512)
	if _, err := r.ReadAt(mbr, 0); err != nil {
		return nil, ignoreEOF(err)
	}
	if mbr[510] != 0x55 || mbr[511] != 0xaa {
		return nil, nil
	}
	var list []partition
	for i := range 4 {
		e := mbr[446+16*i:][:16]
		switch kind := e[4]; kind {
		case mbrProtective:
			return readGPT(r, sector, size)
		case 0, 0x05, 0x0f, 0x85: // unused, or a chain of further tables
			continue
		}
		p := partition{
			number: i + 1,
			start:  int64(binary.LittleEndian.Uint32(e[8:])) * sector,
			length: int64(binary.LittleEndian.Uint32(e[12:])) * sector,
		}
		if p.fits(size) {
			list = append(list, p)
		}
	}
	return list, nil
}

func readGPT(r io.ReaderAt, sector, size int64) ([]partition, error) {
	h := make([]byte, 92)
	if _, err := r.ReadAt(h, sector); err != nil {
		return nil, ignoreEOF(err)
	}
	count := binary.LittleEndian.Uint32(h[80:])
	entry := binary.LittleEndian.Uint32(h[84:])
	first := binary.LittleEndian.Uint64(h[72:])
	if string(h[:8]) != gptSignature || entry < 128 || entry > 4096 || first > uint64(size/sector) {
		return nil, errTable
	}
	b := make([]byte, entry*min(count, maxPartitions))
	if _, err := r.ReadAt(b, int64(first)*sector); err != nil {
		return nil, err
	}
	var list []partition
	for i := range len(b) / int(entry) {
		if p, ok := gptPartition(b[i*int(entry):], sector, size); ok {
			p.number = i + 1
			list = append(list, p)
		}
	}
	return list, nil
}

func gptPartition(e []byte, sector, size int64) (p partition, ok bool) {
	if [16]byte(e) == ([16]byte{}) {
		return p, false // unused
	}
	first, last := binary.LittleEndian.Uint64(e[32:]), binary.LittleEndian.Uint64(e[40:])
	if sectors := uint64(size / sector); first > last || last >= sectors {
		return p, false
	}
	p.start, p.length = int64(first)*sector, int64(last-first+1)*sector
	return p, true
}

func (p partition) fits(size int64) bool {
	return p.start > 0 && p.length > 0 && p.start <= size && p.length <= size-p.start
}

// ignoreEOF takes a disk that is too small for a table for one without.
func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
