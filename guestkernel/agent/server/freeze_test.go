package server

import (
	"context"
	"errors"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/process"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/streams"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/transfer"

	agentv1 "github.com/bulkhead-vm/bulkhead/guestkernel/agentapi/v1"
)

// fakeFreezer freezes nothing.
type fakeFreezer struct {
	err, thawErr error
	frozen       bool
}

func (f *fakeFreezer) Freeze(context.Context) error {
	if f.err == nil {
		f.frozen = true
	}
	return f.err
}

func (f *fakeFreezer) Thaw() error {
	if f.thawErr == nil {
		f.frozen = false
	}
	return f.thawErr
}

func newService(f Freezer) *Service {
	hub := streams.NewHub()
	s := New(Config{Hub: hub, Table: process.NewTable(hub, process.Anywhere), Files: transfer.New(hub), Freezer: f})
	s.AssumeSetUp()
	return s
}

// open fails the test unless processes can be started.
func (s *Service) open(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := s.Start(ctx, &agentv1.StartRequest{Id: "p", Args: []string{"no-such-command"}}); status.Code(err) != codes.NotFound {
		t.Errorf("Start = %v", err)
	}
}

func wantCode(t *testing.T, err error, want codes.Code) {
	t.Helper()
	if got := status.Code(err); got != want {
		t.Errorf("error %v with code %v, want %v", err, got, want)
	}
}

// TestFreezeFails leaves nothing frozen.
func TestFreezeFails(t *testing.T) {
	f := &fakeFreezer{err: errors.New("it can't")}
	s := newService(f)
	_, err := s.Freeze(t.Context(), &agentv1.FreezeRequest{})
	wantCode(t, err, codes.Internal)
	s.open(t)

	f.err = nil
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = s.Freeze(ctx, &agentv1.FreezeRequest{})
	wantCode(t, err, codes.Canceled)
	if f.frozen || s.frozen.Load() {
		t.Error("it is frozen for a host that has gone")
	}
	s.open(t)
}

// TestThawFails leaves everything to be tried again.
func TestThawFails(t *testing.T) {
	f := &fakeFreezer{thawErr: errors.New("not yet")}
	s := newService(f)
	if _, err := s.Freeze(t.Context(), &agentv1.FreezeRequest{}); err != nil {
		t.Fatal(err)
	}
	_, err := s.Thaw(t.Context(), &agentv1.ThawRequest{})
	wantCode(t, err, codes.Internal)
	_, err = s.Renew(t.Context(), &agentv1.RenewRequest{})
	wantCode(t, err, codes.Internal)
	if !s.frozen.Load() {
		t.Error("it isn't frozen by its own account")
	}
	f.thawErr = nil
	if _, err := s.Thaw(t.Context(), &agentv1.ThawRequest{}); err != nil || s.frozen.Load() {
		t.Errorf("Thaw = %v", err)
	}
	s.open(t)
}

func TestWithoutFreezer(t *testing.T) {
	s := newService(nil)
	_, err := s.Freeze(t.Context(), &agentv1.FreezeRequest{})
	wantCode(t, err, codes.FailedPrecondition)
	if _, err := s.Thaw(t.Context(), &agentv1.ThawRequest{}); err != nil {
		t.Errorf("Thaw = %v", err)
	}
	if _, err := s.Renew(t.Context(), &agentv1.RenewRequest{}); err != nil {
		t.Errorf("Renew = %v", err)
	}
	s.open(t)
}
