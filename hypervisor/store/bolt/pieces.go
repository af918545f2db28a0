package bolt

import (
	"encoding/binary"

	"go.etcd.io/bbolt"
)

// Values are kept in pieces of which several fit into a page. A larger value takes
// pages that follow each other, and so do its neighbours: there may be none on a
// disk that is full, whatever is unused.
const (
	pieceSize = 1000
	indexSize = 4
)

// pieceKey is a value's key and the piece's index. No key of one value begins that
// of another: sandboxes' names have no zero byte, versions one length.
func pieceKey(key []byte, index int) []byte {
	return binary.BigEndian.AppendUint32(append([]byte(nil), key...), uint32(index))
}

// put keeps a value, in place of what was kept under its key.
func put(b *bbolt.Bucket, key, value []byte) error {
	n := 0
	for rest := value; n == 0 || len(rest) > 0; n++ {
		size := min(len(rest), pieceSize)
		if err := b.Put(pieceKey(key, n), rest[:size]); err != nil {
			return err
		}
		rest = rest[size:]
	}
	_, err := removeFrom(b, key, n)
	return err
}

// remove forgets a value, if there is one, and returns how many bytes it had.
func remove(b *bbolt.Bucket, key []byte) (size int, err error) { return removeFrom(b, key, 0) }

func removeFrom(b *bbolt.Bucket, key []byte, index int) (size int, err error) {
	for ; ; index++ {
		k := pieceKey(key, index)
		piece := b.Get(k)
		if piece == nil {
			return size, nil
		}
		size += len(piece)
		if err := b.Delete(k); err != nil {
			return size, err
		}
	}
}

// each calls do for every value from a key on, in the keys' order, until it returns
// false or an error.
func each(b *bbolt.Bucket, from []byte, do func(key, value []byte) (more bool, err error)) error {
	c := b.Cursor()
	for k, piece := c.Seek(from); k != nil; {
		key := k[:len(k)-indexSize]
		var value []byte
		for first := true; k != nil && (first || index(k) > 0); first = false {
			value = append(value, piece...)
			k, piece = c.Next()
		}
		if more, err := do(key, value); !more || err != nil {
			return err
		}
	}
	return nil
}

func index(k []byte) uint32 { return binary.BigEndian.Uint32(k[len(k)-indexSize:]) }
