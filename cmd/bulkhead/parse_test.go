package main

import (
	"testing"

	"google.golang.org/protobuf/proto"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

func TestParseNet(t *testing.T) {
	tap, bridge := &bulkheadv1.Network_Tap{Tap: "t"}, &bulkheadv1.Network_Bridge{Bridge: "b"}
	for arg, want := range map[string]*bulkheadv1.Network{
		"tap=t":            {Host: tap},
		"bridge=b":         {Host: bridge},
		"any-mac,bridge=b": {Host: bridge, AnyMac: true},
		"bridge=b,mac=02:00:00:00:00:01,ip=10.0.0.2/24,gw=10.0.0.1,mtu=1400,any-mac": {
			Host: bridge, Mac: "02:00:00:00:00:01", Addresses: []string{"10.0.0.2/24"}, Gateways: []string{"10.0.0.1"}, Mtu: 1400, AnyMac: true,
		},
		"any-mac":         nil,
		"bridge=":         nil,
		"bridge=b,mtu=x":  nil,
		"bridge=b,mac":    nil,
		"bridge=b,vlan=3": nil,
	} {
		got, err := parseNet(arg)
		if (err == nil) != (want != nil) || err == nil && !proto.Equal(got, want) {
			t.Errorf("parseNet(%q) = %v, %v", arg, got, err)
		}
	}
}
