package virtio_test

import (
	"errors"
	"testing"

	"github.com/bulkhead-vm/bulkhead/devices/virtio/rng"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtiotest"
	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// TestEvidenceFirst breaks a rule: whoever sees that the device needs a reset
// finds the evidence.
func TestEvidenceFirst(t *testing.T) {
	for _, transport := range virtiotest.Transports() {
		reporting, reported := make(chan struct{}), make(chan struct{})
		p := virtiotest.Plug(t, transport, rng.New(rng.Config{}), memory.NewHeap(memory.Range{Size: 1 << 20}),
			func(error) { close(reporting); <-reported })
		broken := make(chan struct{})
		go func() { p.Fail(errors.New("a breach")); close(broken) }()
		<-reporting
		if s := p.Get(virtiotest.Status); s&virtiotest.NeedsReset != 0 {
			t.Errorf("%s: status %#x before the evidence was reported", transport, s)
		}
		close(reported)
		<-broken
		if s := p.Get(virtiotest.Status); s&virtiotest.NeedsReset == 0 {
			t.Errorf("%s: status %#x after the evidence was reported", transport, s)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}
