package workertest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/server"

	agentv1 "github.com/bulkhead-vm/bulkhead/guestkernel/agentapi/v1"
)

// Files of the guest's directory.
const (
	// mainName has the request by which its command was started: what is saved of
	// a guest, and started again where it is restored.
	mainName = "main.json"
	// renewedName has the last Renew.
	renewedName = "renewed.json"
	// thawName lets a guest go on that WordNoThaw keeps from it.
	thawName = "thaw"
)

// mainID is the process's that a guest is for.
const mainID = "main"

// fakeAgent is a guest's that needs no set-up. All of its processes are frozen by
// SIGSTOP, from which none of them is safe in their namespace.
type fakeAgent struct {
	*server.Service
	dir   string
	stuck bool // until there is thawName

	mu       sync.Mutex // the next two
	frozen   bool
	restored bool // and not renewed yet
}

// Setup implements agentv1.AgentService.
func (a *fakeAgent) Setup(context.Context, *agentv1.SetupRequest) (*agentv1.SetupResponse, error) {
	a.AssumeSetUp()
	return &agentv1.SetupResponse{KernelRelease: "fake"}, nil
}

// Start implements agentv1.AgentService.
func (a *fakeAgent) Start(ctx context.Context, r *agentv1.StartRequest) (*agentv1.StartResponse, error) {
	answer, err := a.Service.Start(ctx, r)
	if err == nil && r.GetId() == mainID {
		writeMessage(filepath.Join(a.dir, mainName), r) // or, on a full disk, it isn't saved
	}
	return answer, err
}

// Health implements agentv1.AgentService.
func (a *fakeAgent) Health(ctx context.Context, r *agentv1.HealthRequest) (*agentv1.HealthResponse, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.restored {
		return nil, status.Error(codes.FailedPrecondition, "Renew comes first")
	}
	h, err := a.Service.Health(ctx, r)
	if h != nil {
		h.Frozen = a.frozen
	}
	return h, err
}

// freezeTime is how long it takes at least, as with a real one.
const freezeTime = 10 * time.Millisecond

// Freeze implements agentv1.AgentService. As a real one it undoes itself for a host
// that has gone meanwhile: another one may have been there with Thaw.
func (a *fakeAgent) Freeze(ctx context.Context, _ *agentv1.FreezeRequest) (*agentv1.FreezeResponse, error) {
	if err := a.turn(true, unix.SIGSTOP); err != nil {
		return nil, err
	}
	select {
	case <-time.After(freezeTime):
		return &agentv1.FreezeResponse{}, nil
	case <-ctx.Done():
		return nil, errors.Join(context.Cause(ctx), a.turn(false, unix.SIGCONT))
	}
}

// Thaw implements agentv1.AgentService.
func (a *fakeAgent) Thaw(context.Context, *agentv1.ThawRequest) (*agentv1.ThawResponse, error) {
	if _, err := os.Stat(filepath.Join(a.dir, thawName)); a.stuck && err != nil {
		return nil, status.Error(codes.Internal, "the guest's processes don't go on: "+WordNoThaw)
	}
	return &agentv1.ThawResponse{}, a.turn(false, unix.SIGCONT)
}

// Renew implements agentv1.AgentService.
func (a *fakeAgent) Renew(_ context.Context, r *agentv1.RenewRequest) (*agentv1.RenewResponse, error) {
	if len(r.GetEntropy()) < 32 || len(r.GetMachineId()) != 32 {
		return nil, status.Error(codes.InvalidArgument, "too little entropy, or no machine ID")
	}
	if err := writeMessage(filepath.Join(a.dir, renewedName), r); err != nil {
		return nil, err
	}
	a.mu.Lock()
	a.restored = false
	a.mu.Unlock()
	return &agentv1.RenewResponse{}, a.turn(false, unix.SIGCONT)
}

func (a *fakeAgent) turn(frozen bool, signal unix.Signal) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := unix.Kill(-1, signal); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	a.frozen = frozen
	return nil
}

// goOn is what a guest is that was restored: its command runs, from its begin, but
// under its name.
func (a *fakeAgent) goOn(state string) error {
	a.AssumeSetUp()
	a.restored = true
	text, err := os.ReadFile(state)
	if err != nil || len(text) == 0 {
		return err
	}
	r := new(agentv1.StartRequest)
	if err := protojson.Unmarshal(text, r); err != nil {
		return err
	}
	go a.Start(context.Background(), r) // which waits for its streams
	return nil
}
