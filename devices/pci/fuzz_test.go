package pci_test

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/bulkhead-vm/bulkhead/devices/pci/pcitest"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// FuzzConfig throws port accesses at a bus of three devices. Whatever they do,
// each device's memory is where the bus told it, and nowhere else.
func FuzzConfig(f *testing.F) {
	f.Add([]byte{1, 4, 2, 6, 0, 0, 0, 1, 0x10, 4, 0, 0x10, 0, 0xe0})
	f.Add([]byte{1, 0x10, 4, 0xff, 0xff, 0xff, 0xff, 1, 4, 1, 2, 0, 0, 0, 2, 4, 1, 2, 0, 0, 0})
	f.Add([]byte{2, 0x3e, 3, 1, 2, 3, 4, 1, 0x41, 2, 1, 2, 3, 4, 3, 0x5f, 1, 1, 2, 3, 4, 0x21, 0, 4, 1, 1, 1, 1})
	f.Fuzz(func(t *testing.T, ops []byte) {
		x := newFixture(t, 3)
		for ; len(ops) >= 7; ops = ops[7:] {
			device, reg := int(ops[0]), int(ops[1])
			x.Select(device, reg)
			port := 0xcf8 + uint64(ops[0]>>5^4)
			n := 1 + int(ops[2])%4
			x.IO.Write(port, ops[3:3+n])
			x.IO.Read(port, make([]byte, n))
			x.SetConfig(device&31, reg, min(n, 4-reg&3), uint32(ops[3])|uint32(ops[4])<<8|uint32(ops[5])<<16|uint32(ops[6])<<24)
			x.check(t)
		}
		for device := range x.regions {
			x.decode(device+1, windowStart+uint32(device)*regionSize)
		}
		x.check(t)
		if got := x.Read(windowStart+2*regionSize, 1); got != 3 {
			t.Errorf("the last device reads %#x in the end", got)
		}
	})
}

// FuzzRestore has a bus of three devices go on where a state file says. It refuses
// and stays as it is, or is as the file has it. Either way all of it can be used.
func FuzzRestore(f *testing.F) {
	for _, do := range []func(*fixture){
		func(*fixture) {},
		func(x *fixture) {
			x.decode(1, windowStart+regionSize)
			x.decode(2, windowStart)
			x.decode(3, windowStart)
		},
		func(x *fixture) { x.decode(1, 0x10_0000); x.SetConfig(0, 0x3c, 1, 9); x.Select(3, 0x3c) },
	} {
		x := newFixture(f, 3)
		do(x)
		b, err := proto.Marshal(x.root.Save())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		s := &statev1.PCIRoot{}
		if (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(file, s) != nil {
			return
		}
		x := newFixture(t, 3)
		if x.root.Restore(s) != nil {
			s = newFixture(t, 3).root.Save()
		}
		if is := x.root.Save(); !proto.Equal(is, s) {
			t.Errorf("%v, want %v", is, s)
		}
		x.check(t)
		for device := range x.regions {
			x.decode(device+1, windowStart+uint32(device)*regionSize)
		}
		x.check(t)
		if got := x.Read(windowStart+2*regionSize, 1); got != 3 {
			t.Errorf("the last device reads %#x in the end", got)
		}
	})
}

// check compares what answers with what the devices were told.
func (f *fixture) check(t *testing.T) {
	t.Helper()
	for i, r := range f.regions {
		bar := f.Config(i+1, pcitest.BAR0, 4)
		if on := f.Config(i+1, pcitest.Command, 2)&pcitest.CommandMemory != 0; !on && r.at != 0 || r.at != 0 && r.at != uint64(bar) {
			t.Fatalf("device %d is at %#x, its BAR says %#x, enabled: %v", i+1, r.at, bar, on)
		}
		if r.at == 0 {
			continue
		}
		for _, at := range []uint64{r.at, r.at + regionSize - 1} {
			if got := f.Read(at, 1); got != uint64(r.number) {
				t.Fatalf("%#x answers at %#x, which is device %d's", got, at, r.number)
			}
		}
	}
}
