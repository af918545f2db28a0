package rng_test

import (
	"crypto/rand"
	"fmt"
	"testing"

	"github.com/bulkhead-vm/bulkhead/devices/virtio/rng"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtiotest"
)

// BenchmarkFill fills requests with entropy, beside the host's own source
// alone.
func BenchmarkFill(b *testing.B) {
	for _, n := range []int{64, 4096} {
		h := virtiotest.Start(b, rng.New(rng.Config{}), virtiotest.Options{})
		d := h.Queues[0]
		var heads []uint16
		for range d.Config.Size {
			heads = append(heads, d.Prepare(d.In(n)))
		}
		b.Run(fmt.Sprintf("%dB/device", n), func(b *testing.B) {
			virtiotest.Bench(b, len(heads), n, func() { h.Round(0, heads) })
		})
		buf := make([]byte, n)
		b.Run(fmt.Sprintf("%dB/source", n), func(b *testing.B) {
			virtiotest.Bench(b, 1, n, func() { rand.Read(buf) })
		})
	}
}
