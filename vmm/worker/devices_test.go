package worker

import (
	"slices"
	"testing"
	"time"

	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// breaker is a guest that maps the first device's registers and writes a status
// that there isn't.
var breaker = []byte{
	0x0f, 0x20, 0xd8, // mov rax, cr3
	0x48, 0x8b, 0x00, // mov rax, [rax]
	0x48, 0x25, 0x00, 0xf0, 0xff, 0xff, // and rax, -4096
	0x48, 0xc7, 0x40, 0x18, 0x03, 0x00, 0x20, 0x00, // mov qword [rax+3*8], 0x200003
	0xc7, 0x04, 0x25, 0x00, 0x04, 0x20, 0x00, 0x83, 0x00, 0x00, 0xd0, // mov dword [0x200400], 0xd0000083
	0xbb, 0x70, 0x00, 0x00, 0xd0, // mov ebx, 0xd0000070
	0xc7, 0x03, 0x00, 0x01, 0x00, 0x00, // mov dword [rbx], 0x100
	0xf4, // hlt
}

// TestDeviceStats names the devices in their order, and has one count a breach,
// while its machine runs and after.
func TestDeviceStats(t *testing.T) {
	disk := &vmmv1.Disk{Path: writeFile(t, "disk", make([]byte, 1<<20)), ReadOnly: true}
	w := createWith(t, breaker, &vmmv1.MachineConfig{Disks: []*vmmv1.Disk{disk, disk}, Vsock: &vmmv1.Vsock{}, Balloon: true})
	stats := func() (names []string, breaches uint64) {
		for _, d := range must(w.Stats(t.Context(), &vmmv1.StatsRequest{}))(t).GetDevices() {
			names = append(names, d.GetName())
			if d.GetBreaches() > 0 && d.GetName() != "blk0" {
				t.Errorf("%s has %d breaches", d.GetName(), d.GetBreaches())
			}
			breaches += d.GetBreaches()
		}
		return names, breaches
	}
	names, breaches := stats()
	if want := []string{"blk0", "blk1", "vsock", "rng", "balloon"}; !slices.Equal(names, want) || breaches != 0 {
		t.Errorf("devices %q with %d breaches, want %q", names, breaches, want)
	}
	must(w.Start(t.Context(), &vmmv1.StartRequest{}))(t)
	for deadline := time.Now().Add(10 * time.Second); breaches == 0 && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		_, breaches = stats()
	}
	must(w.Stop(t.Context(), &vmmv1.StopRequest{}))(t)
	must(w.Wait(t.Context(), &vmmv1.WaitRequest{}))(t)
	if _, after := stats(); breaches != 1 || after != 1 {
		t.Errorf("%d breaches, %d after the end, want 1", breaches, after)
	}
}
