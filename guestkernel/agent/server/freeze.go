package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"

	agentv1 "github.com/bulkhead-vm/bulkhead/guestkernel/agentapi/v1"
)

// How long the steps of Freeze may take. Its caller waits longer than all of them.
const (
	freezeTime = 10 * time.Second // for processes to stand still
	flushTime  = 2 * time.Second  // for their output; a host that doesn't read gets it later
	syncTime   = 30 * time.Second // for the disks
)

// Freeze has all processes stand still, with nothing of theirs on its way.
func (s *Service) Freeze(ctx context.Context, _ *agentv1.FreezeRequest) (*agentv1.FreezeResponse, error) {
	return answer(s, func() (*agentv1.FreezeResponse, error) {
		return &agentv1.FreezeResponse{}, s.freeze(ctx)
	})
}

func (s *Service) freeze(ctx context.Context) error {
	s.still.Lock()
	defer s.still.Unlock()
	switch {
	case s.frozen.Load():
		return nil
	case s.Freezer == nil:
		return fail.Errorf(fail.Untimely, "this guest can't be frozen")
	}
	if err := s.stop(ctx); err != nil {
		return errors.Join(err, s.goOn())
	}
	// The host of a connection that broke until now has gone, for the machine can't
	// have been saved.
	s.Hub.Hold()
	s.frozen.Store(true)
	return nil
}

func (s *Service) stop(ctx context.Context) error {
	if err := within(ctx, freezeTime, s.Table.Shut); err != nil {
		return err
	}
	if err := within(ctx, freezeTime, s.Freezer.Freeze); err != nil {
		return err
	}
	_ = within(ctx, flushTime, s.Table.Flush)
	if err := within(ctx, syncTime, writeDisks); err != nil {
		return err
	}
	return context.Cause(ctx) // a host that has gone won't thaw what it froze
}

func within(ctx context.Context, d time.Duration, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return do(ctx)
}

// writeDisks writes what file systems have in memory.
func writeDisks(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		unix.Sync()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fail.Errorf(fail.Late, "write file systems to their disks: %w", context.Cause(ctx))
	}
}

// Thaw has all go on.
func (s *Service) Thaw(context.Context, *agentv1.ThawRequest) (*agentv1.ThawResponse, error) {
	return answer(s, func() (*agentv1.ThawResponse, error) {
		return &agentv1.ThawResponse{}, s.thaw()
	})
}

func (s *Service) thaw() error {
	s.still.Lock()
	defer s.still.Unlock()
	return s.goOn()
}

// goOn undoes whatever freeze has done. The caller holds s.still.
func (s *Service) goOn() error {
	if err := s.thawProcesses(); err != nil {
		return err
	}
	s.Hub.Release()
	s.Table.Open(false)
	s.frozen.Store(false)
	return nil
}

func (s *Service) thawProcesses() error {
	if s.Freezer == nil {
		return nil
	}
	if err := s.Freezer.Thaw(); err != nil {
		return fmt.Errorf("have processes go on: %w", err)
	}
	return nil
}
