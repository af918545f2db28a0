package acpi

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
)

// namespace is what a table's AML defines, by path: numbers as uint64, strings,
// packages as []any, buffers as []byte, and for methods their arguments' count.
// What a method does isn't decoded but for the events it notifies of.
type namespace struct {
	t       testing.TB
	objects map[string]any
	devices []string
	// notifies has for each value of the first argument of _EVT what is
	// notified, and of what.
	notifies map[uint64]notification
}

type notification struct {
	path  string
	event uint64
}

func decode(t testing.TB, code []byte) *namespace {
	t.Helper()
	n := &namespace{t: t, objects: map[string]any{}, notifies: map[uint64]notification{}}
	n.list(&reader{t, code}, "")
	return n
}

// list decodes objects up to the end of r.
func (n *namespace) list(r *reader, scope string) {
	for len(r.b) > 0 {
		switch op := r.u8(); op {
		case 0x10: // scope
			body := r.sized()
			n.list(body, n.define(scope, body, true))
		case 0x5b: // extended
			if ext := r.u8(); ext != 0x82 {
				n.t.Fatalf("unknown opcode 5b %02x", ext)
			}
			body := r.sized()
			path := n.define(scope, body, nil)
			n.devices = append(n.devices, path)
			n.list(body, path)
		case 0x08: // name
			path := n.define(scope, r, nil)
			n.objects[path] = r.value()
		case 0x14: // method
			body := r.sized()
			path := n.define(scope, body, nil)
			n.objects[path] = uint64(body.u8() & 7)
			n.conditions(body)
		default:
			n.t.Fatalf("unknown opcode %02x before % x", op, r.b)
		}
	}
}

// define reads a name that, but for an existing scope's, must be new.
func (n *namespace) define(scope string, r *reader, value any) string {
	path := r.name()
	if !strings.HasPrefix(path, `\`) {
		path = strings.TrimSuffix(scope+"."+path, ".")
	}
	if _, twice := n.objects[path]; twice && value == nil {
		n.t.Fatalf("%s is defined twice", path)
	}
	n.objects[path] = value
	return path
}

// conditions decodes If (Arg0 == number) { Notify (path, number) }.
func (n *namespace) conditions(r *reader) {
	for len(r.b) > 0 {
		r.expect(0xa0)
		body := r.sized()
		body.expect(0x93, 0x68)
		gsi := body.value().(uint64)
		body.expect(0x86)
		n.notifies[gsi] = notification{body.name(), body.value().(uint64)}
		if len(body.b) > 0 {
			n.t.Fatalf("after Notify: % x", body.b)
		}
	}
}

// reader takes bytes off the front.
type reader struct {
	t testing.TB
	b []byte
}

func (r *reader) take(n int) []byte {
	r.t.Helper()
	if n < 0 || n > len(r.b) {
		r.t.Fatalf("%d bytes of % x", n, r.b)
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) u8() byte { return r.take(1)[0] }

func (r *reader) expect(want ...byte) {
	r.t.Helper()
	if got := r.take(len(want)); !bytes.Equal(got, want) {
		r.t.Fatalf("% x, want % x", got, want)
	}
}

// sized reads a length and returns what it is the length of.
func (r *reader) sized() *reader {
	before := len(r.b)
	lead := r.u8()
	n := int(lead & 0x3f)
	for i, b := range r.take(int(lead >> 6)) {
		n |= int(b) << (4 + 8*i)
	}
	return &reader{r.t, r.take(n - (before - len(r.b)))}
}

func (r *reader) name() string {
	path, names := "", 1
	if r.b[0] == '\\' {
		path = string(r.take(1))
	}
	switch r.b[0] {
	case 0x2e:
		r.take(1)
		names = 2
	case 0x2f:
		names = int(r.take(2)[1])
	}
	for i := range names {
		if i > 0 {
			path += "."
		}
		path += strings.TrimRight(string(r.take(4)), "_")
	}
	return path
}

func (r *reader) value() any {
	switch op := r.u8(); op {
	case 0, 1:
		return uint64(op)
	case 0x0a, 0x0b, 0x0c, 0x0e:
		size := map[byte]int{0x0a: 1, 0x0b: 2, 0x0c: 4, 0x0e: 8}[op]
		return binary.LittleEndian.Uint64(append(bytes.Clone(r.take(size)), make([]byte, 8)...))
	case 0x0d:
		end := bytes.IndexByte(r.b, 0)
		return strings.TrimRight(string(r.take(end+1)), "\x00")
	case 0x11:
		body := r.sized()
		if size := body.value(); size != uint64(len(body.b)) {
			r.t.Fatalf("buffer of %v has %d bytes", size, len(body.b))
		}
		return body.b
	case 0x12:
		body := r.sized()
		list := make([]any, body.u8())
		for i := range list {
			list[i] = body.value()
		}
		return list
	default:
		r.t.Fatalf("unknown value %02x", op)
		return nil
	}
}
