package hostile

import (
	"encoding/binary"
	"testing"

	"github.com/bulkhead-vm/bulkhead/devices/bus"
	"github.com/bulkhead-vm/bulkhead/devices/power"
)

// TestPowerRegisters writes every value to every register of the power switch,
// in every width and from beside it as well. Nothing but the two commands ends
// the machine: a guest's owner trusts the reason that is told.
func TestPowerRegisters(t *testing.T) {
	type access struct {
		port  uint64
		width int
		value byte
	}
	var now access
	ends := map[string][]access{}
	end := func(how string) func() { return func() { ends[how] = append(ends[how], now) } }
	b, err := bus.New(bus.Range{
		Start: power.PortControl, Size: power.PortCount, Name: "power", Handler: power.New(end("off"), end("reset")),
	})
	if err != nil {
		t.Fatal(err)
	}
	for port := uint64(power.PortControl - 8); port < power.PortControl+power.PortCount+8; port++ {
		for _, width := range []int{1, 2, 4, 8} {
			for value := range 256 {
				now = access{port, width, byte(value)}
				data := binary.LittleEndian.AppendUint64(nil, uint64(value)*0x0101010101010101)[:width]
				b.Write(port, data)
				b.Read(port, data)
			}
		}
	}
	for _, a := range ends["off"] {
		if a.port != power.PortControl || a.width != 1 || a.value&0x3c != power.Off {
			t.Errorf("turned off by %+v", a)
		}
	}
	for _, a := range ends["reset"] {
		if a != (access{power.PortReset, 1, power.Reset}) {
			t.Errorf("reset by %+v", a)
		}
	}
	if len(ends["off"]) != 16 || len(ends["reset"]) != 1 { // 16 by the four bits that mean nothing
		t.Errorf("turned off %d times, reset %d times", len(ends["off"]), len(ends["reset"]))
	}
}
