package protowire

import (
	"bytes"
	"errors"
	"testing"
)

func TestMalformed(t *testing.T) {
	for name, b := range map[string][]byte{
		"key cut short":          {0x80},
		"key too long":           bytes.Repeat([]byte{0xff}, 11),
		"field zero":             {0x00, 0x00},
		"field number too large": {0x80, 0x80, 0x80, 0x80, 0x10, 0x00},
		"no value":               {0x08},
		"varint too long":        append([]byte{0x08}, bytes.Repeat([]byte{0xff}, 11)...),
		"bytes cut short":        {0x0a, 0x02, 'x'},
		"length wraps":           {0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01},
		"fixed32 cut short":      {0x0d, 1, 2, 3},
		"fixed64 cut short":      {0x09, 1, 2, 3},
		"group":                  {0x0b},
		"no such type":           {0x0f},
	} {
		if err := Fields(b, func(Field) error { return nil }); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	b := AppendVarint(nil, 1, 300)
	b = AppendVarint(b, 2, 0) // the default is left out
	b = AppendBytes(b, 3, "text")
	b = append(b, 0x25, 1, 2, 3, 4) // fixed32, skipped
	b = AppendInt32(b, 5, -1)
	var got []Field
	if err := Fields(b, func(f Field) error { got = append(got, f); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(got) != 4 || got[0].Varint != 300 || got[1].Number != 3 || got[1].String() != "text" || int32(got[3].Varint) != -1 {
		t.Errorf("fields are %+v", got)
	}
	stop := errors.New("stop")
	if err := Fields(b, func(Field) error { return stop }); err != stop {
		t.Errorf("error %v", err)
	}
}

func FuzzFields(f *testing.F) {
	f.Add([]byte{0x08, 0x01, 0x12, 0x01, 'x'})
	f.Fuzz(func(t *testing.T, b []byte) {
		size := 0
		_ = Fields(b, func(f Field) error { size += len(f.Bytes); return nil })
		if size > len(b) {
			t.Errorf("%d bytes of fields in %d", size, len(b))
		}
	})
}
