package e2e

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/vmm/hostprofile"
	"github.com/bulkhead-vm/bulkhead/vmm/kvm"
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

// bootHere starts a guest without devices in this process.
func bootHere(t *testing.T, c machine.Config) *machine.Machine {
	t.Helper()
	files := map[string]*os.File{}
	for _, name := range []string{"vmlinux", "initramfs.cpio"} {
		f, err := os.Open(filepath.Join(bin, "guest", name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files[name] = f
	}
	info, err := files["initramfs.cpio"].Stat()
	if err != nil {
		t.Fatal(err)
	}
	sys, err := kvm.Open("")
	if err != nil {
		t.Fatal(err)
	}
	defer sys.Close()
	c.Kernel, c.Initrd = files["vmlinux"], io.NewSectionReader(files["initramfs.cpio"], 0, info.Size())
	c.Profile = hostprofile.Detect()
	m, err := machine.New(sys, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	m.Start()
	return m
}
