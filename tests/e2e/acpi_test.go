package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/vmm/machine"
)

// TestACPIEvents changes a guest's generation ID, after which it has new random
// numbers, and presses its power button.
func TestACPIEvents(t *testing.T) {
	t.Parallel()
	requireKVM(t)
	var console lockedBuffer
	m := bootHere(t, machine.Config{
		Cmdline: "acpi=force loglevel=7 bulkhead.ready=console", GenerationID: [16]byte{1}, Console: &console,
	})
	console.waitFor(t, "bulkhead-agent: ready")

	const reseeded = "crng reseeded due to virtual machine fork"
	for _, id := range [][16]byte{{1}, {2}} { // the first is what it has
		if err := m.SetGenerationID(id); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
	}
	console.waitFor(t, reseeded)
	if n := strings.Count(console.String(), reseeded); n != 1 {
		t.Errorf("reseeded %d times for one new ID", n)
	}

	if err := m.PressPowerButton(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-m.Done():
	case <-time.After(2 * time.Minute):
		t.Fatalf("still running 2 minutes after its power button was pressed; console:\n%s", console.String())
	}
	if end := m.End(); end.Reason != machine.PowerOff {
		t.Errorf("it ended by %v", end)
	}
	console.waitFor(t, "Preparing to enter system sleep state S5")
}
