package instance

import (
	"context"
	"errors"
	"sync"

	"github.com/bulkhead-vm/bulkhead/hypervisor/guest"
)

// agents is the connection to a guest's agent, made again when it was lost.
type agents struct {
	path string // of the machine's vsock

	dialing sync.Mutex // one at a time; taken before mu
	mu      sync.Mutex // the rest
	current *guest.Agent
	closed  bool
}

var errClosed = errors.New("the sandbox is being ended")

// get returns the agent.
func (a *agents) get(ctx context.Context) (*guest.Agent, error) {
	if agent := a.live(); agent != nil {
		return agent, nil
	}
	a.dialing.Lock()
	defer a.dialing.Unlock()
	if agent := a.live(); agent != nil {
		return agent, nil
	}
	agent, err := guest.Connect(ctx, a.path)
	if err != nil {
		return nil, err
	}
	return agent, a.set(agent)
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
