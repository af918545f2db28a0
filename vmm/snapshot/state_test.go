package snapshot

import (
	"bytes"
	"strings"
	"testing"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// TestHugeStates has files of a few bytes for each of very many things.
func TestHugeStates(t *testing.T) {
	cpu, queue := []byte{1<<3 | 2, 0}, append([]byte{4<<3 | 2, 128, 4}, bytes.Repeat([]byte{7<<3 | 2, 0}, 256)...)
	for name, content := range map[string][]byte{
		"vCPUs":             bytes.Repeat(cpu, maxMessages+1),
		"queues of devices": bytes.Repeat(queue, maxMessages/256),
		"bytes":             make([]byte, maxMachine+1),
	} {
		s, err := decodeState(append([]byte(stateMagic), content...))
		if err == nil || !strings.Contains(err.Error(), "more than any machine's") {
			t.Errorf("%s: a machine of %d vCPUs and %d devices, %v", name, len(s.GetCpus()), len(s.GetDevices()), err)
		}
	}
}

// TestLargestState has all that a machine may have.
func TestLargestState(t *testing.T) {
	m := new(statev1.Machine)
	for range 32 {
		m.Cpus = append(m.Cpus, &statev1.CPU{Cpuid: make([]*statev1.CPUID, 256), Msrs: make([]*statev1.MSR, 512), Xsave: make([]byte, 16<<10)})
	}
	for range 32 {
		m.Devices = append(m.Devices, &statev1.Device{
			Queues:    make([]*statev1.Queue, 65),
			Transport: &statev1.Device_Pci{Pci: &statev1.PCI{Msix: &statev1.MSIX{Table: make([]*statev1.MSIXEntry, 2048)}}},
		})
	}
	b, err := encodeState(m)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := decodeState(b); err != nil {
		t.Errorf("%d bytes: %v", len(b), err)
	}
}

// TestManyDevices has a manifest of a few bytes for each of very many devices.
func TestManyDevices(t *testing.T) {
	of := func(n int) []byte {
		return []byte(`{"version":1,"memoryBytes":33554432,"devices":[{"name":"blk0"}` + strings.Repeat(`,{}`, n-1) + `]}`)
	}
	if m, err := decodeManifest(of(1 << 20)); err == nil || !strings.Contains(err.Error(), "devices") {
		t.Errorf("%+.100v, %v", m, err)
	}
	if m, err := decodeManifest(of(28)); err != nil || len(m.Devices) != 28 || m.Devices[0].Name != "blk0" {
		t.Errorf("%+v, %v", m, err)
	}
	if m, err := decodeManifest([]byte(`{"version":1,"memoryBytes":33554432,"devices":null}`)); err != nil || m.Devices != nil {
		t.Errorf("%+v, %v", m, err)
	}
	for _, bad := range []string{`{}`, `[{]`, `[1]`, `"x"`, `7`} {
		if m, err := decodeManifest([]byte(`{"version":1,"memoryBytes":33554432,"devices":` + bad + `}`)); err == nil {
			t.Errorf("%s: %+v", bad, m)
		}
	}
}
