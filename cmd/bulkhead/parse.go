package main

import (
	"fmt"
	"strconv"
	"strings"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// parseNets reads the values of --net.
func parseNets(args []string) (networks []*bulkheadv1.Network, err error) {
	for _, arg := range args {
		if arg == "none" {
			continue
		}
		n, err := parseNet(arg)
		if err != nil {
			return nil, fmt.Errorf("--net %q: %w", arg, err)
		}
		networks = append(networks, n)
	}
	return networks, nil
}

func parseNet(arg string) (*bulkheadv1.Network, error) {
	n := &bulkheadv1.Network{}
	for option := range strings.SplitSeq(arg, ",") {
		key, value, _ := strings.Cut(option, "=")
		if option == "any-mac" {
			n.AnyMac = true
			continue
		}
		if value == "" {
			return nil, fmt.Errorf("give none, tap=NAME or bridge=NAME, and options such as ip=10.0.0.2/24")
		}
		switch key {
		case "tap":
			n.Host = &bulkheadv1.Network_Tap{Tap: value}
		case "bridge":
			n.Host = &bulkheadv1.Network_Bridge{Bridge: value}
		case "ip":
			n.Addresses = append(n.Addresses, value)
		case "gw":
			n.Gateways = append(n.Gateways, value)
		case "mac":
			n.Mac = value
		case "mtu":
			mtu, err := strconv.ParseUint(value, 10, 16)
			if err != nil {
				return nil, fmt.Errorf("mtu %q is no number of bytes", value)
			}
			n.Mtu = uint32(mtu)
		default:
			return nil, fmt.Errorf("unknown option %q: there are ip, gw, mac, mtu and any-mac", key)
		}
	}
	if n.Host == nil {
		return nil, fmt.Errorf("give tap=NAME or bridge=NAME as well")
	}
	return n, nil
}

// parseRestart reads the value of --restart, as docker has it.
func parseRestart(arg string) (*bulkheadv1.RestartPolicy, error) {
	mode, most, counted := strings.Cut(arg, ":")
	switch {
	case arg == "" || arg == "no":
		return nil, nil
	case mode != "on-failure":
		return nil, fmt.Errorf("--restart %q: give no, or on-failure[:MAX]", arg)
	}
	p := &bulkheadv1.RestartPolicy{Mode: bulkheadv1.RestartMode_RESTART_MODE_ON_FAILURE}
	if counted {
		n, err := strconv.ParseUint(most, 10, 20)
		if err != nil {
			return nil, fmt.Errorf("--restart %q: %q is no number of restarts", arg, most)
		}
		p.MaxRestarts = uint32(n)
	}
	return p, nil
}
