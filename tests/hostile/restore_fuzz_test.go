package hostile

import (
	"maps"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtiotest"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// FuzzRestore has each device go on from any file: it refuses, or goes on so well
// that it can be saved and moved again, and serves the next driver.
func FuzzRestore(f *testing.F) {
	names := slices.Sorted(maps.Keys(devices))
	for i, name := range names {
		for _, boot := range []bool{false, true} {
			g := newGuest(f, virtiotest.MMIO, devices[name](f))
			if boot {
				g.boot(allFeatures)
				g.mustServe()
			}
			g.Suspend()
			b, err := proto.Marshal(g.Save())
			if err != nil {
				f.Fatal(err)
			}
			f.Add(byte(i), b)
		}
	}
	f.Fuzz(func(t *testing.T, which byte, file []byte) {
		s := new(statev1.Device)
		if proto.Unmarshal(file, s) != nil {
			return
		}
		create := devices[names[int(which)%len(names)]]
		g := newGuest(t, virtiotest.MMIO, create(t))
		g.create = create
		if g.Restore(s) != nil || g.Resume() != nil {
			return
		}
		time.Sleep(50 * time.Microsecond)
		g.move()
		g.mustWork()
	})
}
