package blk_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/devices/ratelimit"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/blk"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/blk/blktest"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtiotest"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue/vqtest"
)

func attach(t testing.TB, b blk.Backend, queues int) *virtiotest.Harness {
	t.Helper()
	dev, err := blk.New(blk.Config{Backend: b, Queues: queues})
	if err != nil {
		t.Fatal(err)
	}
	return virtiotest.Start(t, dev, virtiotest.Options{Features: featureFlush, MaxQueueSize: 64})
}

// held is a disk that answers nobody, yet.
func held() *blktest.Disk {
	d := blktest.New(1 << 20)
	d.Gate = make(chan struct{})
	return d
}

func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	for start := time.Now(); !is(); time.Sleep(time.Millisecond) {
		if time.Since(start) > 10*time.Second {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

func TestSeveralInFlight(t *testing.T) {
	disk := held()
	h := attach(t, disk, 1)
	d := h.Queues[0]
	var data []vqtest.Buffer
	const requests, lanes = 20, 16
	for i := range requests {
		data = append(data, d.In(512))
		d.Add(d.Out(header(in, uint64(i))), data[i], d.In(1))
	}
	h.Kick(0)
	await(t, "all lanes wait for the disk", func() bool { return disk.Waiting() == lanes })
	close(disk.Gate)
	for range requests {
		h.WaitUsed(0)
	}
	for i, b := range data {
		if !bytes.Equal(d.Bytes(b), bytes.Repeat([]byte{byte(i)}, 512)) {
			t.Errorf("sector %d reads %x…", i, d.Bytes(b)[:4])
		}
	}
}

// TestQueuesDontWaitForEachOther has one queue's disk at a standstill.
func TestQueuesDontWaitForEachOther(t *testing.T) {
	disk := held()
	h := attach(t, blktest.Prompt{Disk: disk}, 2)
	slow, quick := h.Queues[0], h.Queues[1]
	slow.Add(slow.Out(header(flush, 0)), slow.In(1))
	h.Kick(0)
	await(t, "the flush waits", func() bool { return disk.Waiting() == 1 })
	id := quick.In(20)
	h.Do(1, quick.Out(header(getID, 0)), id, quick.In(1))
	close(disk.Gate)
	h.WaitUsed(0)
}

func TestResetWaitsForTheDisk(t *testing.T) {
	disk := held()
	h := attach(t, disk, 1)
	d := h.Queues[0]
	d.Add(d.Out(header(in, 0)), d.In(512), d.In(1))
	h.Kick(0)
	await(t, "the read waits", func() bool { return disk.Waiting() == 1 })
	done := make(chan struct{})
	go func() { h.Reset(); close(done) }()
	select {
	case <-done:
		t.Fatal("the device was reset with a request in flight")
	case <-time.After(50 * time.Millisecond):
	}
	close(disk.Gate)
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("the device is not reset")
	}
}

func TestResize(t *testing.T) {
	disk := blktest.New(1 << 20)
	dev, err := blk.New(blk.Config{Backend: disk})
	if err != nil {
		t.Fatal(err)
	}
	h := virtiotest.Start(t, dev, virtiotest.Options{})
	f := &fixture{Harness: h, t: t}
	disk.Bytes = append(disk.Bytes, make([]byte, 1<<20)...)
	if s := f.do(in, 2048, h.Queues[0].In(512)); s != ioErr {
		t.Errorf("read behind the end: status %d", s)
	}
	dev.Resized()
	if h.ConfigChanges() != 1 {
		t.Errorf("the driver was told of %d changes, want 1", h.ConfigChanges())
	}
	var capacity [8]byte
	dev.ReadConfig(0, capacity[:])
	if capacity != [8]byte{0x00, 0x10} {
		t.Errorf("capacity %x", capacity)
	}
	if s := f.do(in, 2048, h.Queues[0].In(512)); s != ok {
		t.Errorf("read of the new part: status %d", s)
	}
}

func TestLimit(t *testing.T) {
	limit := ratelimit.New(ratelimit.Config{Operations: ratelimit.Rate{PerSecond: 1}})
	dev, err := blk.New(blk.Config{Backend: blktest.New(1 << 20), Limit: limit})
	if err != nil {
		t.Fatal(err)
	}
	h := virtiotest.Start(t, dev, virtiotest.Options{Features: featureFlush})
	d := h.Queues[0]
	get := func() { d.Add(d.Out(header(getID, 0)), d.In(20), d.In(1)); h.Kick(0) }
	get()
	h.WaitUsed(0) // while the second, a second later, is still to come
	get()
	limit.Set(ratelimit.Config{})
	h.WaitUsed(0)

	limit.Set(ratelimit.Config{Operations: ratelimit.Rate{PerSecond: 1}})
	for range 10 {
		get()
	}
	start := time.Now()
	h.Reset()
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("reset waited %v for the limit", took)
	}
}

// TestResetWaitsForOneLongRequest resets a device with many requests in flight
// that take a disk long: it waits for one of them, not for all.
func TestResetWaitsForOneLongRequest(t *testing.T) {
	disk := held()
	h := attach(t, disk, 1)
	d := h.Queues[0]
	for range 10 {
		d.Add(d.Out(append(header(writeZeroes, 0), segment(0, 8, 0)...)), d.In(1))
	}
	h.Kick(0)
	await(t, "the first one waits for the disk", func() bool { return disk.Waiting() == 1 })
	done := make(chan struct{})
	go func() { h.Reset(); close(done) }()
	time.Sleep(20 * time.Millisecond) // for the reset to begin
	disk.Gate <- struct{}{}
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("the reset waits for more than one")
	}
}
