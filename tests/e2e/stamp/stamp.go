// Package stamp is what the test of killed workers has a guest write, and looks
// for afterwards.
package stamp

import "encoding/binary"

// Size is the bytes of a block. Block n is the n-th of a disk, and holds n in
// each of its words.
const Size = 4096

// Block returns block n.
func Block(n int) []byte {
	b := make([]byte, 0, Size)
	for len(b) < Size {
		b = binary.LittleEndian.AppendUint64(b, uint64(n))
	}
	return b
}
