package node_test

import (
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/bulkhead-vm/bulkhead/hypervisor/node"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// noTaps says that it makes taps. Fake workers need none.
type noTaps struct{}

func (noTaps) Add(string, string, string, int, uint32) error { return nil }
func (noTaps) Remove(string) error                           { return nil }
func (noTaps) Names() (map[string][]string, error)           { return nil, nil }

// TestForeignAddresses are kept from bridges, unless somebody wants them there, and never
// from taps that are the user's.
func TestForeignAddresses(t *testing.T) {
	f := open(t, func(c *node.Config) { c.Taps = noTaps{} })
	f.start("box", &bulkheadv1.SandboxSpec{Networks: []*bulkheadv1.Network{
		{Host: &bulkheadv1.Network_Bridge{Bridge: "br0"}}, {Host: &bulkheadv1.Network_Bridge{Bridge: "br0"}, AnyMac: true}, {Host: &bulkheadv1.Network_Tap{Tap: "t0"}},
	}})
	b, err := os.ReadFile(filepath.Join(f.config.RuntimeDir, "box", "machine.json"))
	f.must(err)
	m := new(vmmv1.MachineConfig)
	f.must(protojson.Unmarshal(b, m))
	if len(m.GetNetworks()) != 3 {
		t.Fatalf("networks %v", m.GetNetworks())
	}
	for i, want := range []bool{true, false, false} {
		if n := m.GetNetworks()[i]; n.GetOwnMacOnly() != want {
			t.Errorf("network %d: %v", i, n)
		}
	}
}
