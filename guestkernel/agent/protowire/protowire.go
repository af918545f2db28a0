// Package protowire reads and writes protocol buffers' wire format
// (protobuf.dev/programming-guides/encoding), as much of it as the agent's
// messages need: varints, bytes, and skipping what isn't known.
//
// The library that does everything costs each guest 2 MiB and about 150 page
// faults before its first call, which is most of what the agent takes to
// start.
package protowire

import (
	"encoding/binary"
	"errors"
)

// Types of fields.
const (
	typeVarint  = 0
	typeFixed64 = 1
	typeBytes   = 2
	typeFixed32 = 5
)

// ErrMalformed says that bytes are no message.
var ErrMalformed = errors.New("malformed message")

// Field is a field of a message: Varint or Bytes has its value, the other is
// zero. Bytes are those of the message, not a copy.
type Field struct {
	Number int
	Varint uint64
	Bytes  []byte
}

// String returns the value of a string field.
func (f Field) String() string { return string(f.Bytes) }

// Bool returns the value of a bool field.
func (f Field) Bool() bool { return f.Varint != 0 }

// Fields calls do for each field of a message, in its order, until it fails.
func Fields(b []byte, do func(Field) error) error {
	for len(b) > 0 {
		key, n := binary.Uvarint(b)
		if n <= 0 || key>>3 == 0 || key>>3 > 1<<29-1 {
			return ErrMalformed
		}
		b = b[n:]
		f := Field{Number: int(key >> 3)}
		size, err := f.parse(int(key&7), b)
		if err != nil {
			return err
		}
		b = b[size:]
		if err := do(f); err != nil {
			return err
		}
	}
	return nil
}

// parse reads the value at the head of b and returns its size.
func (f *Field) parse(kind int, b []byte) (size int, err error) {
	switch kind {
	case typeVarint:
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return 0, ErrMalformed
		}
		f.Varint = v
		return n, nil
	case typeBytes:
		length, n := binary.Uvarint(b)
		if n <= 0 || length > uint64(len(b)-n) {
			return 0, ErrMalformed
		}
		f.Bytes = b[n : n+int(length)]
		return n + int(length), nil
	case typeFixed32, typeFixed64: // of no message here: skipped
		size = 4
		if kind == typeFixed64 {
			size = 8
		}
		if len(b) < size {
			return 0, ErrMalformed
		}
		return size, nil
	}
	return 0, ErrMalformed
}

// AppendVarint appends a number, unless it is the default 0.
func AppendVarint(b []byte, number int, v uint64) []byte {
	if v == 0 {
		return b
	}
	b = binary.AppendUvarint(b, uint64(number)<<3|typeVarint)
	return binary.AppendUvarint(b, v)
}

// AppendInt32 appends a number of type int32, which takes ten bytes if it is
// negative.
func AppendInt32(b []byte, number int, v int32) []byte {
	return AppendVarint(b, number, uint64(int64(v)))
}

// AppendBytes appends bytes or a string, unless empty.
func AppendBytes[T []byte | string](b []byte, number int, v T) []byte {
	if len(v) == 0 {
		return b
	}
	b = binary.AppendUvarint(b, uint64(number)<<3|typeBytes)
	b = binary.AppendUvarint(b, uint64(len(v)))
	return append(b, v...)
}
