package acpi

import "encoding/binary"

const (
	headerSize = 36
	oemID      = "BULKHD"
	oemTableID = "BULKHEAD"
	creatorID  = "BULK"
	version    = 1 // of what we make
)

// table puts a header before a table's body; ACPI 6.4, section 5.2.6.
func table(signature string, revision byte, body []byte) []byte {
	le := binary.LittleEndian
	b := make([]byte, headerSize, headerSize+len(body))
	copy(b, signature)
	le.PutUint32(b[4:], uint32(headerSize+len(body)))
	b[8] = revision
	copy(b[10:], oemID)
	copy(b[16:], oemTableID)
	le.PutUint32(b[24:], version)
	copy(b[28:], creatorID)
	le.PutUint32(b[32:], version)
	b = append(b, body...)
	b[9] = checksum(b)
	return b
}

// checksum returns the byte that makes b add up to zero.
func checksum(b []byte) (sum byte) {
	for _, v := range b {
		sum -= v
	}
	return sum
}
