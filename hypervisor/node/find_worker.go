package node

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/bulkhead-vm/bulkhead/hypervisor/instance"
	"github.com/bulkhead-vm/bulkhead/hypervisor/supervise"

	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// finders is how many workers a node looks for at a time: it may have thousands
// when it comes back.
const finders = 16

// findAgain is after how long a worker that doesn't answer is asked again.
const findAgain = 100 * time.Millisecond

// Why a sandbox's worker is lost.
var (
	errLost   = errors.New("its worker was gone when the node came back")
	errSilent = errors.New("its worker did not answer when the node came back, and was ended")
	errLying  = errors.New("its worker did not say the truth about which process it is, and was ended")
)

// findWorker attaches to the worker of a sandbox and asks how far it is. If it
// fails there is no worker any more, or the node is being closed. One that lives and
// is silent for too long, or until ctx is done, or isn't who it says, is ended.
func (n *Node) findWorker(ctx context.Context, r *storev1.Record) (*instance.Instance, vmmv1.MachineState, error) {
	for {
		i, state, err := n.attachPatiently(ctx, r)
		switch {
		case err == nil:
			return i, state, nil
		case errors.Is(err, supervise.ErrGone):
			return nil, 0, errLost
		case n.isClosing():
			return nil, 0, errNodeClosing
		}
		why := errSilent
		if errors.Is(err, supervise.ErrImpostor) {
			why = errLying
		}
		log := n.config.Log.With(zap.String("sandbox", r.GetSandbox().GetName()))
		log.Error("end a worker that doesn't answer, or can't be trusted", zap.Error(err))
		if err = n.end(r); err == nil {
			return nil, 0, why
		}
		log.Error("it can't be ended: end it, and the sandbox goes on", zap.Error(err))
		select {
		case <-time.After(findAgain):
		case <-n.closing:
			return nil, 0, errNodeClosing
		}
	}
}

// end ends a worker by force, or else by asking it.
func (n *Node) end(r *storev1.Record) error {
	err := n.removeRun(r)
	if err == nil {
		return nil
	}
	b, opened := supervise.OpenBundle(n.config.RuntimeDir, hostName(r))
	if opened != nil {
		return err
	}
	who, _ := workerOf(r)
	if err := n.shutDown(b, who); err != nil {
		return err
	}
	return n.removeRun(r)
}

// attachPatiently tries again and again, until the worker answers or is gone, another
// process answers, or patience is over.
func (n *Node) attachPatiently(ctx context.Context, r *storev1.Record) (*instance.Instance, vmmv1.MachineState, error) {
	ctx, cancel := context.WithTimeout(ctx, n.config.Patience)
	defer cancel()
	plan := n.describe(r)
	for {
		i, state, err := n.attachTo(ctx, r, plan)
		if err == nil || errors.Is(err, supervise.ErrGone) || errors.Is(err, supervise.ErrImpostor) || ctx.Err() != nil {
			return i, state, err
		}
		select {
		case <-time.After(findAgain):
		case <-ctx.Done():
			return nil, 0, err
		}
	}
}

func (n *Node) isClosing() bool {
	select {
	case <-n.closing:
		return true
	default:
		return false
	}
}

// attachTo tries once.
func (n *Node) attachTo(ctx context.Context, r *storev1.Record, plan instance.Plan) (*instance.Instance, vmmv1.MachineState, error) {
	select {
	case n.finding <- struct{}{}:
		defer func() { <-n.finding }()
	case <-ctx.Done():
		return nil, 0, context.Cause(ctx)
	}
	who, _ := workerOf(r)
	i, err := instance.Attach(ctx, n.host(r), plan, who)
	if err != nil {
		return nil, 0, err
	}
	state, err := i.Describe(ctx)
	if err != nil {
		return nil, 0, errors.Join(err, i.Detach())
	}
	return i, state, nil
}
