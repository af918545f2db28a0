package blk_test

import (
	"strings"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/devices/ratelimit"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/blk"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/blk/blktest"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtiotest"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue/vqtest"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

func device(t *testing.T, c blk.Config) *blk.Device {
	t.Helper()
	d, err := blk.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestSuspendFinishesWhatIsInFlight has requests wait for the disk: a suspension
// waits for them, and their driver gets each back once.
func TestSuspendFinishesWhatIsInFlight(t *testing.T) {
	disk := blktest.New(diskSize)
	disk.Gate = make(chan struct{})
	h := virtiotest.Start(t, device(t, blk.Config{Backend: disk}), virtiotest.Options{Transport: virtiotest.MMIO, Features: featureFlush})
	const n = 5
	for i := range uint64(n) {
		d := h.Queues[0]
		d.Add(d.Out(header(in, i)), d.In(512), d.In(1))
	}
	h.Kick(0)
	for disk.Waiting() < n {
		time.Sleep(time.Millisecond)
	}
	suspended := make(chan struct{})
	go func() { h.Suspend(); close(suspended) }()
	select {
	case <-suspended:
		t.Fatal("suspended with requests in flight")
	case <-time.After(20 * time.Millisecond):
	}
	close(disk.Gate)
	<-suspended
	for range n {
		if _, _, ok := h.Queues[0].Used(); !ok {
			t.Fatal("a request isn't back")
		}
	}
	h.Resume()
	d := h.Queues[0]
	h.Do(0, d.Out(header(in, 0)), d.In(512), d.In(1))
}

// TestSuspendedRequestWaits has requests that the rate limiter holds, and one that
// comes while the device rests: all are served by the device that goes on.
func TestSuspendedRequestWaits(t *testing.T) {
	slow := ratelimit.New(ratelimit.Config{Operations: ratelimit.Rate{PerSecond: 1, Burst: 1}})
	h := virtiotest.Start(t, device(t, blk.Config{Backend: blktest.New(diskSize), Limit: slow}), virtiotest.Options{Transport: virtiotest.MMIO})
	d := h.Queues[0]
	var data []vqtest.Buffer
	add := func() {
		data = append(data, d.In(512))
		d.Add(d.Out(header(in, uint64(len(data)))), data[len(data)-1], d.In(1))
	}
	for range 4 {
		add()
	}
	h.Kick(0)
	time.Sleep(20 * time.Millisecond)
	h.Suspend()
	add()
	left := len(data)
	for _, _, ok := d.Used(); ok; _, _, ok = d.Used() {
		left--
	}
	if left < 2 {
		t.Fatal("no request was held back")
	}
	h.Restore(device(t, blk.Config{Backend: blktest.New(diskSize)}), h.Save())
	for range left {
		h.WaitUsed(0)
	}
	for i, b := range data {
		if got := d.Bytes(b)[0]; got != byte(1+i) {
			t.Errorf("request %d read %d", i, got)
		}
	}
}

// TestRestoreRefuses says which disk a driver can't go on with.
func TestRestoreRefuses(t *testing.T) {
	was := &statev1.Block{Capacity: 2048, BlockSize: 512}
	kind := func(b *statev1.Block) *statev1.Device {
		return &statev1.Device{Kind: &statev1.Device_Block{Block: b}}
	}
	for name, tt := range map[string]struct {
		state *statev1.Device
		disk  *blktest.Disk
		want  string
	}{
		"the same":         {kind(was), blktest.New(diskSize), ""},
		"larger":           {kind(was), blktest.New(2 * diskSize), ""},
		"smaller":          {kind(was), blktest.New(diskSize / 2), "as large"},
		"larger blocks":    {kind(was), &blktest.Disk{Bytes: make([]byte, diskSize), Block: 4096}, "blocks"},
		"read-only":        {kind(was), &blktest.Disk{Bytes: make([]byte, diskSize), Fixed: true}, "written"},
		"read-only before": {kind(&statev1.Block{Capacity: 2048, BlockSize: 512, ReadOnly: true}), &blktest.Disk{Bytes: make([]byte, diskSize), Fixed: true}, ""},
		"no disk":          {new(statev1.Device), blktest.New(diskSize), "no disk"},
	} {
		err := device(t, blk.Config{Backend: tt.disk}).Restore(tt.state)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

// TestMoveUnderLoad moves a disk from device to device while its driver works, and
// loses nothing.
func TestMoveUnderLoad(t *testing.T) {
	disk := blktest.New(diskSize)
	h := virtiotest.Start(t, device(t, blk.Config{Backend: disk}), virtiotest.Options{Transport: virtiotest.MMIO, Features: featureFlush})
	d := h.Queues[0]
	for round := range 50 {
		data := make([]byte, 512)
		data[0] = byte(round)
		heads := map[uint16]bool{}
		for i := range uint64(8) {
			heads[d.Add(d.Out(header(out, i)), d.Out(data), d.In(1))] = true
		}
		h.Kick(0)
		if round%2 == 0 {
			h.Suspend()
			h.Restore(device(t, blk.Config{Backend: disk}), h.Save())
		} else {
			h.Suspend()
			h.Resume()
		}
		for range 8 {
			head, _ := h.WaitUsed(0)
			if !heads[head] {
				t.Fatalf("round %d: chain %d came back twice or was never made", round, head)
			}
			delete(heads, head)
		}
	}
	if disk.Bytes[0] != 49 || disk.Bytes[7*512] != 49 {
		t.Errorf("the disk has %d and %d", disk.Bytes[0], disk.Bytes[7*512])
	}
}
