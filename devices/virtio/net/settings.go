package net

import (
	"errors"
	"fmt"
	"time"

	"github.com/bulkhead-vm/bulkhead/devices/ratelimit"
)

// settings is what a port was told last: telling it again what it knows would
// cost the host its one lock for the network's configuration. Activate and the
// control queue use it in turn.
type settings struct {
	port     Port
	known    bool
	offloads uint64
	wires    int
}

func (s *settings) setOffloads(features uint64) error {
	if s.known && s.offloads == features {
		return nil
	}
	s.known = false
	if err := s.port.SetOffloads(features); err != nil {
		return err
	}
	s.known, s.offloads = true, features
	return nil
}

func (s *settings) use(wires int) error {
	if s.wires == wires {
		return nil
	}
	s.wires = 0
	if err := s.port.Use(wires); err != nil {
		return err
	}
	s.wires = wires
	return nil
}

// start tells the port what a driver begins with. One that begins again and
// again, each time with something else, is made to wait as for its commands.
func (s *settings) start(features uint64, commands *ratelimit.Limiter) error {
	if s.known && s.offloads == features && s.wires == 1 {
		return nil
	}
	for wait := commands.Take(1, 0); wait > 0; wait = commands.Take(1, 0) {
		time.Sleep(wait)
	}
	if err := errors.Join(s.setOffloads(features), s.use(1)); err != nil {
		return fmt.Errorf("network port: %w", err)
	}
	return nil
}
