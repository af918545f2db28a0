package net

import (
	"errors"
	"fmt"
	"time"

	"github.com/bulkhead-vm/bulkhead/devices/ratelimit"
)

// terms is what a driver may have changed of its port.
type terms struct {
	wires    int
	offloads uint64 // of guestOffloads
}

// settings is what a port was told last: telling it again what it knows would
// cost the host its one lock for the network's configuration. Activate, the
// control queue and Save use it in turn.
type settings struct {
	port Port
	// agreed is what the driver knows. The port may have something else, or half
	// of it, where it failed.
	agreed                    terms
	knowsWires, knowsOffloads bool
}

func (s *settings) setOffloads(features uint64) error {
	if s.knowsOffloads && s.agreed.offloads == features {
		return nil
	}
	s.knowsOffloads = false
	if err := s.port.SetOffloads(features); err != nil {
		return err
	}
	s.knowsOffloads, s.agreed.offloads = true, features
	return nil
}

func (s *settings) use(wires int) error {
	if s.knowsWires && s.agreed.wires == wires {
		return nil
	}
	s.knowsWires = false
	if err := s.port.Use(wires); err != nil {
		return err
	}
	s.knowsWires, s.agreed.wires = true, wires
	return nil
}

// start tells the port what a driver begins with, or goes on with. One that begins
// again and again, each time with something else, is made to wait as for its
// commands.
func (s *settings) start(t terms, commands *ratelimit.Limiter) error {
	if s.knowsWires && s.knowsOffloads && s.agreed == t {
		return nil
	}
	for wait := commands.Take(1, 0); wait > 0; wait = commands.Take(1, 0) {
		time.Sleep(wait)
	}
	if err := errors.Join(s.setOffloads(t.offloads), s.use(t.wires)); err != nil {
		return fmt.Errorf("network port: %w", err)
	}
	return nil
}
