package hostile

import (
	"encoding/binary"
	"runtime"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtiotest"
)

// script is a fuzzer's bytes, read as the operations of a driver.
type script struct{ b []byte }

func (s *script) u8() (v byte) {
	if len(s.b) > 0 {
		v, s.b = s.b[0], s.b[1:]
	}
	return v
}

func (s *script) u16() uint16 { return uint16(s.u8()) | uint16(s.u8())<<8 }
func (s *script) u32() uint32 { return uint32(s.u16()) | uint32(s.u16())<<16 }

// address favours what is near something.
func (s *script) address(g *guest, q int) uint64 {
	near := []uint64{g.buffer(q), g.table(q), 0, lowEnd - 64, lowEnd, highBase, highEnd - 64, ^uint64(0) - 63, 1 << 32}
	return near[int(s.u8())%len(near)] + uint64(s.u8())
}

// size favours small numbers.
func (s *script) size() uint32 {
	switch v := s.u8(); {
	case v < 200:
		return uint32(v)
	case v < 230:
		return uint32(s.u16())
	default:
		return s.u32()
	}
}

// play has a driver do what the script says, in a device that runs.
func (s *script) play(flags byte, g *guest) {
	features := allFeatures
	if flags&1 != 0 {
		features = ^uint64(s.u32()) // with EVENT_IDX at times
	}
	g.boot(features)
	for len(s.b) > 0 {
		q := int(s.u8()) % g.queues
		switch s.u8() % 13 {
		case 0, 1, 2:
			g.descriptor(q, int(s.u8())%queueSize, s.address(g, q), s.size(), s.u16()&7, s.u16()%(queueSize+1))
		case 3:
			g.entry(q, int(s.u8())%queueSize, s.address(g, q), s.size(), s.u16()&7, s.u16()%(queueSize+1))
		case 4, 5:
			g.publish(q, uint16(s.u8())%(queueSize+1))
		case 6:
			n := min(int(s.u8())%64, len(s.b))
			copy(g.bytes(g.buffer(q), 64), s.b[:n])
			s.b = s.b[n:]
		case 7:
			g.Notify(uint32(s.u8()))
		case 8:
			g.Set(virtiotest.Register(s.u8())%virtiotest.Registers, s.size())
		case 9:
			b := binary.LittleEndian.AppendUint32(nil, s.u32())
			g.Write(g.Config+uint64(s.u8()), b[:1+s.u8()%4])
			g.Read(uint64(s.u16()), b)
			g.Write(uint64(s.u16())&0x7fff, b)
		case 12:
			if g.Board != nil {
				g.Board.SetConfig(device, int(s.u8()), 1+int(s.u8())%4, s.u32())
			}
		case 10:
			g.index(q, s.u16())
		case 11:
			switch s.u8() % 8 {
			case 0, 4:
				g.boot(features)
			case 1, 5:
				time.Sleep(50 * time.Microsecond)
			case 2:
				g.Suspend()
				if err := g.Resume(); err != nil {
					g.t.Fatal(err)
				}
			case 6:
				g.move()
			default:
				runtime.Gosched()
			}
		}
	}
	g.mustWork()
}

func fuzz(f *testing.F, name string) {
	// A request as drivers make them: header, data, status. The first byte's
	// second bit is the transport.
	for _, transport := range []byte{0, 2} {
		seed(f, transport)
	}
	f.Fuzz(func(t *testing.T, ops []byte) {
		if len(ops) > 1<<12 {
			return
		}
		if raceEnabled {
			t.Skip("NOT TESTED: here both sides write guest memory at once, as guests do")
		}
		s := &script{ops}
		flags := s.u8()
		transport := virtiotest.Transports()[flags>>1&1]
		g := newGuest(t, transport, devices[name](t))
		g.create = devices[name]
		s.play(flags, g)
	})
}

// seed adds what is like a driver's work, and what isn't.
func seed(f *testing.F, transport byte) {
	f.Add([]byte{transport, 0, 0, 0, 0, 0, 16, 1, 0, 1, 0, 0, 0, 1, 0, 64, 100, 3, 0, 2, 0, 0, 0, 2, 0, 200, 1, 2, 0, 0, 0, 0, 4, 0, 0, 11, 1})
	f.Add([]byte{transport, 1, 0, 0, 0, 0, 100, 0, 0, 0, 0, 1, 4, 0, 1, 11, 1, 1, 11, 0})
	f.Add([]byte{transport, 4, 6, 3, 4, 0, 2, 0, 4, 0, 0, 0, 0, 4, 1, 0, 4, 0, 1, 0, 8, 1, 2, 0, 0, 0, 4, 4, 0})
	f.Add([]byte{transport | 1, 0, 0, 0, 0, 0, 10, 9, 0, 0, 8, 28, 0, 1, 8, 28, 3})
	// And one that rests and goes on, also elsewhere, at any moment.
	f.Add([]byte{transport, 0, 0, 0, 0, 0, 16, 3, 0, 0, 0, 0, 4, 0, 0, 11, 2, 1, 0, 0, 1, 0, 200, 2, 0, 0, 0, 1, 4, 0, 1, 11, 6, 0, 4, 0, 0, 11, 6, 0, 10, 9, 0, 0, 11, 6, 0, 11, 2})
}

func FuzzBalloon(f *testing.F) { fuzz(f, "balloon") }
func FuzzBlk(f *testing.F)     { fuzz(f, "blk") }
func FuzzNet(f *testing.F)     { fuzz(f, "net") }
func FuzzRNG(f *testing.F)     { fuzz(f, "rng") }
func FuzzVsock(f *testing.F)   { fuzz(f, "vsock") }
