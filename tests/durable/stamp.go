// Package durable tells whether a disk may hold what it holds after the process
// that wrote it was killed. Every unit of the disk carries a stamp, from which
// each of its bytes follows: half a write is seen, and so is an old one.
package durable

import (
	"bytes"
	"encoding/binary"
)

// Stamp is what a unit holds: the number of the write it comes from. Zero is a
// unit of zeroes. No two writes to a unit may have the same.
type Stamp uint64

// Fill makes unit, a multiple of 16 bytes, what the write s leaves in the disk's
// unit of the given number.
func Fill(unit []byte, number int, s Stamp) {
	if s == 0 {
		clear(unit)
		return
	}
	binary.LittleEndian.PutUint64(unit, uint64(s))
	word := uint64(s)*0x9e3779b97f4a7c15 ^ uint64(number)
	for b := unit[8:]; len(b) > 0; b = b[8:] {
		// One step of xorshift64*: neighbours have nothing in common.
		word ^= word >> 12
		word ^= word << 25
		word ^= word >> 27
		binary.LittleEndian.PutUint64(b, word*0x2545f4914f6cdd1d)
	}
}

// Read returns what unit, the disk's unit of the given number, was filled with.
// It reports false for one that is torn, belongs elsewhere or was never filled.
func Read(unit []byte, number int) (Stamp, bool) {
	s := Stamp(binary.LittleEndian.Uint64(unit))
	want := make([]byte, len(unit))
	Fill(want, number, s)
	return s, bytes.Equal(unit, want)
}
