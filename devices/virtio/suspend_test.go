package virtio_test

import (
	"errors"
	"testing"

	"github.com/bulkhead-vm/bulkhead/devices/virtio"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/rng"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtiotest"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// TestRestoreRefuses forges states that no driver can bring about, or only one of
// another device.
func TestRestoreRefuses(t *testing.T) {
	const foreign = 1 << 5 // a feature that the device doesn't have
	for name, forge := range map[string]func(s *statev1.Device){
		"another type":                    func(s *statev1.Device) { s.Type++ },
		"a queue less":                    func(s *statev1.Device) { s.Queues = nil },
		"a queue more":                    func(s *statev1.Device) { s.Queues = append(s.Queues, &statev1.Queue{}) },
		"a queue too large":               func(s *statev1.Device) { s.Queues[0].Size = 1 << 16 },
		"unknown status bits":             func(s *statev1.Device) { s.Status |= 16 },
		"status of 9 bits":                func(s *statev1.Device) { s.Status |= 0x100 },
		"DEVICE_NEEDS_RESET":              func(s *statev1.Device) { s.Status |= virtiotest.NeedsReset },
		"foreign features":                func(s *statev1.Device) { s.Features |= foreign },
		"a driver of the legacy":          func(s *statev1.Device) { s.Features &^= virtio.FeatureVersion1 },
		"DRIVER_OK alone":                 func(s *statev1.Device) { s.Status = virtiotest.DriverOK },
		"DRIVER_OK without FEATURES_OK":   func(s *statev1.Device) { s.Status &^= virtiotest.FeaturesOK; s.Features |= foreign },
		"FEATURES_OK without DRIVER":      func(s *statev1.Device) { s.Status &^= virtiotest.Driver },
		"everything without ACKNOWLEDGE":  func(s *statev1.Device) { s.Status &^= virtiotest.Acknowledge },
		"DRIVER_OK of features that fail": func(s *statev1.Device) { s.Features = 0 },
	} {
		t.Run(name, func(t *testing.T) {
			for _, transport := range virtiotest.Transports() {
				h := virtiotest.Start(t, rng.New(rng.Config{}), virtiotest.Options{Transport: transport})
				h.Suspend()
				s := h.Port().Save()
				forge(s)
				next := virtiotest.PlugBare(t, transport, rng.New(rng.Config{}), h.Heap.Mem, func(error) {})
				defer next.Close()
				var refusal *virtio.StateError
				if err := next.Restore(s); !errors.As(err, &refusal) {
					t.Errorf("%s: error %v, want a StateError", transport, err)
				}
			}
		})
	}
}
