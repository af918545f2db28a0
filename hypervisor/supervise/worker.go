package supervise

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/containerd/ttrpc"

	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// Names in a bundle.
const (
	controlName = "worker.sock"
	logName     = "worker.log"
)

// describeTime is how long a worker may take to say who it is. Its calls don't
// wait for its guest.
const describeTime = 10 * time.Second

// Worker is a worker process and the connection to it. It has one owner, who ends
// with Shutdown, Detach or HandOver.
type Worker struct {
	// API controls its machine. Calls fail with ttrpc.ErrClosed once the
	// process is gone.
	API vmmv1.WorkerService

	bundle   *Bundle
	client   *ttrpc.Client
	process  *process
	lifeline *os.File // nil if not tied
}

// ErrGone is wrapped when a bundle's worker has ended.
var ErrGone = errors.New("the worker is gone")

// ErrImpostor is wrapped when who answers says that it is another process than the
// worker. It isn't to be trusted, and that other process may be anybody's.
var ErrImpostor = errors.New("who answers isn't the worker")

// Attach connects to the worker of a bundle that somebody else started, which is to
// be the process who. If that isn't known, the zero Identity, it is the one that the
// bundle names, or, where its owner was killed before it had written that down, the
// one that answers. Attach fails with ErrGone if there is none, and with ErrImpostor;
// with any other error there may be one that doesn't answer.
func Attach(ctx context.Context, b *Bundle, who Identity) (*Worker, error) {
	held, err := b.held()
	if err != nil {
		return nil, fmt.Errorf("reach the worker: %w", err)
	}
	if !held {
		return nil, ErrGone
	}
	if who == (Identity{}) {
		named, known, err := b.Worker()
		if err != nil {
			return nil, fmt.Errorf("reach the worker: %w", err)
		}
		if known {
			who = named
		}
	}
	w := &Worker{bundle: b}
	if err := w.connect(); err != nil {
		return nil, fmt.Errorf("reach the worker: %w", err)
	}
	if err := w.meet(ctx, who); err != nil {
		return nil, errors.Join(fmt.Errorf("reach the worker: %w", err), w.client.Close())
	}
	go w.process.watch()
	return w, nil
}

// connect opens the connection for calls.
func (w *Worker) connect() error {
	conn, err := net.Dial("unix", w.bundle.Path(controlName))
	if err != nil {
		return err
	}
	w.client = ttrpc.NewClient(conn)
	w.API = vmmv1.NewWorkerClient(w.client)
	return nil
}

// meet asks who answers, and gets hold of that process. It is to be who, unless that
// is the zero Identity: a guest that has taken its worker over may name any.
func (w *Worker) meet(ctx context.Context, who Identity) error {
	ctx, cancel := context.WithTimeout(ctx, describeTime)
	defer cancel()
	r, err := w.API.Describe(ctx, &vmmv1.DescribeRequest{})
	if err != nil {
		return err
	}
	known := who != (Identity{})
	if known && (int(r.GetPid()) != who.PID || r.GetStartTicks() != who.StartTicks) {
		return fmt.Errorf("%w: it says that it is process %d, and the worker is %d", ErrImpostor, r.GetPid(), who.PID)
	}
	p, err := openProcess(int(r.GetPid()))
	if err != nil {
		return err
	}
	if known && p.Identity != who {
		return errors.Join(fmt.Errorf("%w: process %d, which was it, is gone", ErrImpostor, who.PID), p.fd.Close())
	}
	if p.StartTicks != r.GetStartTicks() {
		return errors.Join(fmt.Errorf("process %d isn't the one that answered", p.PID), p.fd.Close())
	}
	w.process = p
	return nil
}

// Identity returns the process's.
func (w *Worker) Identity() Identity { return w.process.Identity }

// Exited is closed when the process is gone.
func (w *Worker) Exited() <-chan struct{} { return w.process.exited }

// Explain turns an error of an API call into what happened: if the worker is
// gone, how it went and what it said last.
func (w *Worker) Explain(err error) error {
	if !errors.Is(err, ttrpc.ErrClosed) {
		return err
	}
	select {
	case <-w.process.exited:
	case <-time.After(time.Second):
		return fmt.Errorf("the worker closed its control socket: %w", err)
	}
	how, signaled := w.process.how()
	if last := lastWords(w.bundle.Path(logName)); last != "" && !signaled {
		return fmt.Errorf("the worker is %s: %s", how, last)
	}
	return fmt.Errorf("the worker is %s: somebody killed it, or the host ran out of memory (see dmesg)", how)
}

// Shutdown ends the machine and the worker: politely until ctx is done, then
// by SIGKILL. The process is gone on return.
func (w *Worker) Shutdown(ctx context.Context) error {
	_, err := w.API.Shutdown(ctx, &vmmv1.ShutdownRequest{})
	if err == nil {
		select {
		case <-w.process.exited:
		case <-ctx.Done():
		}
	}
	err = w.process.kill()
	return errors.Join(err, w.Detach())
}

// Detach lets go of the worker, which goes on unless it is tied.
func (w *Worker) Detach() error {
	w.lifeline.Close() // nil is fine
	return errors.Join(w.client.Close(), w.process.close())
}

// HandOver lets go of the worker, and returns it for another owner, who has a
// connection of its own and hears nothing of calls to this one's. Unlike who attaches
// it needn't ask which process that is, and learns how it ends if it is this one's
// child. On failure the worker stays the caller's.
func (w *Worker) HandOver() (*Worker, error) {
	next := &Worker{bundle: w.bundle, process: w.process, lifeline: w.lifeline}
	if err := next.connect(); err != nil {
		return nil, fmt.Errorf("reach the worker: %w", err)
	}
	w.client.Close() // never fails
	return next, nil
}
