package hostile

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/devices/backend/file"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/blk"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/blk/blktest"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue/vqtest"
)

// TestKVMEveryRegister writes and reads a device that runs at every offset, in
// every width, with string and locked instructions. Whatever the device makes of
// it, it works after a reset.
func TestKVMEveryRegister(t *testing.T) {
	for device, create := range devices {
		t.Run(device, func(t *testing.T) {
			s := newScene(t, create(t), 1)
			d := s.victim
			for _, value := range []uint64{1, ^uint64(0)} {
				for offset := uint64(0); offset < 0x180; offset++ {
					for _, width := range []int{1, 2, 4, 8} {
						d.cpu.Write(d.base+offset, width, value)
						d.cpu.Read(d.base+offset, width)
					}
				}
				d.cpu.Write(d.base+0xff8, 8, value)
				for offset := uint64(0); offset < 0x180; offset += 4 {
					d.cpu.Exchange(d.base+offset, uint32(value))
				}
				d.cpu.Fill(d.base, uint32(value), 0x400)
				d.cpu.Read(d.base, 4).Wait()
				if len(s.Evidence("victim")) == 0 {
					t.Error("nothing was reported")
				}
				d.start()
			}
			s.mustWork(0)
		})
	}
}

// TestKVMConfigWrites writes to all of the configuration space, which breaks no
// rule.
func TestKVMConfigWrites(t *testing.T) {
	for device, create := range devices {
		t.Run(device, func(t *testing.T) {
			s := newScene(t, create(t), 1)
			d := s.victim
			for offset := uint64(regConfig); offset < 0x200; offset++ {
				for _, width := range []int{1, 2, 4, 8} {
					d.cpu.Write(d.base+offset, width, 0xfefdfcfbfaf9f8f7)
				}
			}
			d.cpu.Fill(d.base+regConfig, 0xffffffff, (0x1000-regConfig)/4)
			d.serve()
			s.mustWork(0)
		})
	}
}

// TestKVMNotifyFlood has one processor ring one device's doorbells, those there
// are and others, while another processor uses the other device.
func TestKVMNotifyFlood(t *testing.T) {
	for device, create := range devices {
		t.Run(device, func(t *testing.T) {
			s := newScene(t, create(t), 2)
			s.bystander.cpu = s.Second()
			end := s.victim.cpu.Forever(func() {
				for _, q := range []int{0, 1, 2, 3, 4, 5, 1 << 16, -1} {
					s.victim.kick(q)
				}
			})
			for range 200 {
				s.bystander.serve()
			}
			end()
			s.mustWork(0)
		})
	}
}

// TestKVMResetDuringIO resets a disk with requests in flight: the write to the
// status register returns when the disk is at rest, while the other processor
// and the other device go on.
func TestKVMResetDuringIO(t *testing.T) {
	disk := blktest.New(1 << 20)
	disk.Gate = make(chan struct{})
	s := newScene(t, must(blk.New(blk.Config{Backend: disk, Queues: 2}))(t), 2)
	s.bystander.cpu = s.Second()
	d := s.victim
	var data []vqtest.Buffer
	for i, q := range []int{0, 0, 1, 1} {
		data = append(data, d.queues[q].In(512))
		d.queues[q].Add(d.queues[q].Out(make([]byte, 16)), data[i], d.queues[q].In(1))
		d.kick(q)
	}
	for start := time.Now(); disk.Waiting() < len(data); time.Sleep(time.Millisecond) {
		if time.Since(start) > 10*time.Second {
			t.Fatalf("%d requests in flight, want %d", disk.Waiting(), len(data))
		}
	}
	reset := d.cpu.Write(d.base+regStatus, 4, 0)
	for range 20 {
		s.bystander.serve()
	}
	if disk.Waiting() != len(data) {
		t.Error("the disk was not waited for")
	}
	close(disk.Gate)
	reset.Wait()
	for _, b := range data { // the guest's own again: nobody else may write there
		copy(s.heap.Bytes(b.GPA, 512), bytes.Repeat([]byte{0xee}, 512))
	}
	time.Sleep(20 * time.Millisecond)
	for _, b := range data {
		if !bytes.Equal(s.heap.Bytes(b.GPA, 512), bytes.Repeat([]byte{0xee}, 512)) {
			t.Error("the disk wrote to the guest's memory after the reset")
		}
	}
	s.mustWork(0)
}

// TestKVMResetStorm resets a disk again and again in the middle of its work, on
// files with and without the host's page cache.
func TestKVMResetStorm(t *testing.T) {
	for name, direct := range map[string]bool{"page cache": false, "direct": true} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "disk")
			if err := os.WriteFile(path, make([]byte, 1<<20), 0o600); err != nil {
				t.Fatal(err)
			}
			f, err := file.Open(path, file.Options{Direct: direct})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { f.Close() })
			s := newScene(t, must(blk.New(blk.Config{Backend: f, Queues: 2}))(t), 1)
			d := s.victim
			page := vqtest.Buffer{GPA: s.heap.Alloc(4096, 4096), Len: 4096}
			for i := range 100 {
				for j := range uint32(4) {
					q := d.queues[j%2]
					buffer := page
					buffer.Writable = j < 2
					header := q.Out(make([]byte, 16))
					if !buffer.Writable {
						q.Bytes(header)[0] = 1 // VIRTIO_BLK_T_OUT
					}
					q.Add(header, buffer, q.In(1))
					d.kick(int(j % 2))
				}
				if i%2 == 0 {
					time.Sleep(time.Duration(i) * 5 * time.Microsecond)
				}
				d.start()
			}
			s.mustWork(0)
		})
	}
}
