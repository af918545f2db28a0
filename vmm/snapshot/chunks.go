package snapshot

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
)

// chunkSize is how much of memory one sum is of.
const chunkSize = 1 << 20

// pageSize is the unit of what is stored.
const pageSize = 4096

// chunks are the sums of a memory file: four bytes each, least significant first.
type chunks []byte

func newChunks(memoryBytes uint64) chunks { return make(chunks, 4*countChunks(memoryBytes)) }

func countChunks(memoryBytes uint64) uint64 { return (memoryBytes + chunkSize - 1) / chunkSize }

func (c chunks) set(i uint64, sum uint32) { binary.LittleEndian.PutUint32(c[4*i:], sum) }

func (c chunks) get(i uint64) uint32 { return binary.LittleEndian.Uint32(c[4*i:]) }

// summer makes sums, for which chunks of zeroes, which are most, take no time.
type summer struct {
	table *crc32.Table
	zeros []byte
}

func newSummer() *summer {
	return &summer{table: crc32.MakeTable(crc32.Castagnoli), zeros: make([]byte, chunkSize)}
}

func (s *summer) sum(b []byte) uint32 { return crc32.Checksum(b, s.table) }

// isZero reports whether b, of at most a chunk, has nothing but zeroes.
func (s *summer) isZero(b []byte) bool { return bytes.Equal(b, s.zeros[:len(b)]) }
