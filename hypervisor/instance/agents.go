package instance

import (
	"context"
	"errors"
	"sync"

	"golang.org/x/sync/singleflight"

	"github.com/bulkhead-vm/bulkhead/hypervisor/guest"
)

// agents is the connection to a guest's agent, made again when it was lost.
type agents struct {
	path string          // of the machine's vsock
	life context.Context // the instance's: it ends what is under way

	dialing singleflight.Group // all who wait share an attempt, and its end

	mu      sync.Mutex // the rest
	current *guest.Agent
	closed  bool
}

var errClosed = errors.New("the sandbox is being ended")

// get returns the agent. Who is in a hurry doesn't wait for a guest that is silent:
// the attempt goes on for the others.
func (a *agents) get(ctx context.Context) (*guest.Agent, error) {
	if agent := a.live(); agent != nil {
		return agent, nil
	}
	select {
	case r := <-a.dialing.DoChan("", a.dial):
		agent, _ := r.Val.(*guest.Agent)
		return agent, r.Err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// dial connects, within the time that guests have for that.
func (a *agents) dial() (any, error) {
	if agent := a.live(); agent != nil {
		return agent, nil
	}
	agent, err := guest.Connect(a.life, a.path)
	switch {
	case a.life.Err() != nil && err != nil: // whichever step was under way
		return nil, context.Cause(a.life)
	case err != nil:
		return nil, err
	}
	if err := a.set(agent); err != nil {
		return nil, err
	}
	return agent, nil
}

func (a *agents) live() *guest.Agent {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.current == nil || a.current.Closed() {
		return nil
	}
	return a.current
}

// set replaces the connection.
func (a *agents) set(agent *guest.Agent) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return errors.Join(errClosed, agent.Close())
	}
	if a.current != nil {
		a.current.Close() // lost: it has nothing to say any more
	}
	a.current = agent
	return nil
}

func (a *agents) close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	if a.current == nil {
		return nil
	}
	return a.current.Close()
}
