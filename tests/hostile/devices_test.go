package hostile

import (
	"testing"

	"github.com/bulkhead-vm/bulkhead/devices/virtio"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/balloon"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/blk"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/blk/blktest"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/net"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/net/nettest"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/rng"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtiotest"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/vsock"
)

// devices are all there are, each with something behind it.
var devices = map[string]func(testing.TB) virtio.Device{
	"blk": func(t testing.TB) virtio.Device {
		return must(blk.New(blk.Config{Backend: blktest.New(1 << 20), Queues: 2}))(t)
	},
	"net": func(t testing.TB) virtio.Device {
		return must(net.New(net.Config{Port: drain(t, nettest.New(2))}))(t)
	},
	"balloon": func(testing.TB) virtio.Device { return balloon.New() },
	"rng":     func(testing.TB) virtio.Device { return rng.New(rng.Config{}) },
	"vsock": func(t testing.TB) virtio.Device {
		return must(vsock.New(vsock.Config{CID: 3}))(t)
	},
}

// everywhere calls do for every device behind every transport.
func everywhere(t *testing.T, do func(t *testing.T, start func(*testing.T) *guest)) {
	for _, transport := range virtiotest.Transports() {
		for device, create := range devices {
			t.Run(string(transport)+"/"+device, func(t *testing.T) {
				do(t, func(t *testing.T) *guest {
					g := newGuest(t, transport, create(t))
					g.create = create
					return g
				})
			})
		}
	}
}

func must[D virtio.Device](d D, err error) func(testing.TB) virtio.Device {
	return func(t testing.TB) virtio.Device {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
}

// drain takes what the guest sends and drops it.
func drain(t testing.TB, p *nettest.Port) *nettest.Port {
	done := make(chan struct{})
	t.Cleanup(func() { close(done) })
	for wire := range p.Wires() {
		go func() {
			for {
				select {
				case <-p.FromGuest(wire):
				case <-done:
					return
				}
			}
		}()
	}
	return p
}

// target is a queue that its device takes chains from as they come.
type target struct {
	device string
	queue  int
	// readable says which kind of buffer a chain must have at least.
	readable bool
}

func (x target) flags() uint16 {
	if x.readable {
		return 0
	}
	return write
}

var targets = map[string]target{
	"balloon inflate": {"balloon", 0, true},
	"blk":             {"blk", 0, true},
	"blk, second":     {"blk", 1, true},
	"net receive":     {"net", 0, false},
	"net transmit":    {"net", 1, true},
	"net control":     {"net", 4, true},
	"rng":             {"rng", 0, false},
	"vsock":           {"vsock", 1, true},
}
