package tinyguest

import (
	"testing"

	"github.com/bulkhead-vm/bulkhead/devices/virtio/rng"
	"github.com/bulkhead-vm/bulkhead/vmm/machine"
	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// TestOrders has each kind of step done, by both processors, in RAM.
func TestOrders(t *testing.T) {
	g := New(t, Options{CPUs: 2})
	for i, c := range []*CPU{g.CPU, g.Second()} {
		at := FreeGPA + memory.GPA(i)*pageSize
		gpa := uint64(at)
		for j, width := range []int{1, 2, 4, 8} {
			c.Write(gpa+8*uint64(j), width, 0xf1f2f3f4f5f6f7f8)
		}
		for j, want := range []uint64{0xf8, 0xf7f8, 0xf5f6f7f8, 0xf1f2f3f4f5f6f7f8} {
			if got := c.Read(gpa+8*uint64(j), 8).Wait(); got != want {
				t.Errorf("CPU %d, write %d: %#x, want %#x", i, j, got, want)
			}
			if got := c.Read(gpa+24, 1<<j).Wait(); got != want {
				t.Errorf("CPU %d, read %d: %#x, want %#x", i, j, got, want)
			}
		}
		c.Fill(gpa+64, 7, 3)
		if old := c.Exchange(gpa+68, 5).Wait(); old != 7 {
			t.Errorf("CPU %d: exchange returned %d", i, old)
		}
		b, err := g.Memory.Slice(at+64, 16)
		if err != nil {
			t.Fatal(err)
		}
		for j, want := range []byte{7, 12, 7, 0} {
			if b[4*j] != want {
				t.Errorf("CPU %d: word %d is %d, want %d", i, j, b[4*j], want)
			}
		}
	}
}

// TestManySteps goes around the ring of steps.
func TestManySteps(t *testing.T) {
	g := New(t, Options{})
	const n = stepsSize/stepSize + 100
	for range n {
		g.Exchange(uint64(FreeGPA), 1)
	}
	if got := g.Read(uint64(FreeGPA), 4).Wait(); got != n {
		t.Errorf("%d steps were done, want %d", got, n)
	}
}

// TestForeverAndUntil has one processor count until the other has seen enough,
// twice.
func TestForeverAndUntil(t *testing.T) {
	g := New(t, Options{CPUs: 2})
	second := g.Second()
	for range 2 {
		end := second.Forever(func() { second.Exchange(uint64(FreeGPA), 1) })
		g.Until(uint64(FreeGPA), 0xf0, 0x30).Wait()
		end()
		second.Write(uint64(FreeGPA), 4, 0).Wait()
	}
}

func TestSlots(t *testing.T) {
	g := New(t, Options{Devices: []machine.Device{{Name: "a", Device: rng.New(rng.Config{})}, {Name: "b", Device: rng.New(rng.Config{})}}})
	slots := g.Slots()
	if len(slots) != 2 {
		t.Fatalf("%d devices on the command line, want 2", len(slots))
	}
	for _, gpa := range slots {
		if magic, id := g.Read(gpa, 4).Wait(), g.Read(gpa+8, 4).Wait(); magic != 0x74726976 || id != 4 {
			t.Errorf("at %#x: magic %#x, device type %d", gpa, magic, id)
		}
	}
}
