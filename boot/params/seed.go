package params

import (
	"encoding/binary"
)

// setupRNGSeed is SETUP_RNG_SEED of <asm/bootparam.h>.
const setupRNGSeed = 9

// RNGSeedSize is how many bytes RNGSeed takes in guest memory for a seed of 32.
const RNGSeedSize = 16 + 32

// RNGSeed returns the setup_data entry, last of its list, that credits the
// kernel's random number generator with the seed, so that nothing at boot
// waits for entropy. The kernel wipes it once read.
func RNGSeed(seed [32]byte) []byte {
	b := make([]byte, 0, RNGSeedSize)
	b = binary.LittleEndian.AppendUint64(b, 0) // next: none
	b = binary.LittleEndian.AppendUint32(b, setupRNGSeed)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(seed)))
	return append(b, seed[:]...)
}
