package node

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/bulkhead-vm/bulkhead/hypervisor/clip"
	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/instance"
	"github.com/bulkhead-vm/bulkhead/hypervisor/store"
	"github.com/bulkhead-vm/bulkhead/hypervisor/supervise"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
)

// sandbox is one sandbox, or a pool's member: a goroutine, and what it knows.
type sandbox struct {
	node      *Node
	name      string
	host      string               // what it has on the host is called by
	requestID string               // of the call that created it
	fork      string               // which it is of; empty: none
	copyOf    *storev1.ForkRequest // of the call that forked it; nil: none did
	claimed   string               // from which pool it was, by the name; empty: from none, or it isn't known
	pool      string               // of which it is a member, by its UID; empty: it is a sandbox
	making    bool                 // a template is made of it
	log       *zap.Logger

	calls chan func()   // to be called by the goroutine
	gone  chan struct{} // closed when it has ended
	// seen is the sandbox as it was kept last.
	seen atomic.Pointer[bulkheadv1.Sandbox]
	// usable is the instance while it is running, for calls that don't change
	// the state.
	usable atomic.Pointer[instance.Instance]
	// doomed is whether it is to be deleted, as soon as it has stopped.
	doomed atomic.Bool
	usage  usage

	// The rest is the goroutine's.
	record   *storev1.Record
	unkept   bool               // the last change couldn't be kept
	failure  error              // why the last start failed, or the deletion; nil: neither
	againAt  time.Time          // when to keep it, or delete the sandbox, again; zero: neither failed
	instance *instance.Instance // nil: nothing runs, or work is at it
	work     *work              // nil: nothing is being done
	frozen   bool               // the guest may stand still for a snapshot
	thaws    thaws
	boots    bool              // this start goes on from no template: that failed
	timings  *instance.Timings // that its claim began; nil: none
	counts   *pool             // its claim, once it has started or not; nil: none does
	handed   bool              // its worker, and what else it had, is another's
	waiters  []*waiter
	deleted  bool
	timer    *time.Timer
}

// work is something that takes long, in a goroutine of its own. There is one at a
// time, and the states STARTING, STOPPING and DELETING stand for it; there may be some
// while it is RUNNING, too: a snapshot.
type work struct {
	cancel context.CancelCauseFunc
	done   chan func() // has what the sandbox's goroutine is to call then
	steady bool        // only the end of the node calls it off, or Kill
}

// waiter is a call that waits for a state.
type waiter struct {
	ctx  context.Context
	look func() (done bool, err error)
	told chan error
}

// add begins a sandbox's goroutine. The record is its own. begin is called by it
// first.
func (n *Node) add(r *storev1.Record, begin func(*sandbox)) (*sandbox, bool) {
	name := r.GetSandbox().GetName()
	s := &sandbox{
		node: n, name: name, host: hostName(r), requestID: r.GetRequestId(), fork: r.GetFork(), copyOf: r.GetForkRequest(), claimed: claimedFrom(r), pool: r.GetPool(), making: r.GetMaking(),
		record: r,
		log:    n.config.Log.With(zap.String("sandbox", name), zap.String("uid", r.GetSandbox().GetUid())),
		calls:  make(chan func()), gone: make(chan struct{}),
		timer: time.NewTimer(0),
	}
	s.seen.Store(proto.CloneOf(r.GetSandbox()))
	s.doomed.Store(r.GetDoomed())
	s.usage.changed = make(chan struct{}, 1)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil, false
	}
	if s.pool != "" {
		n.members[name] = s
	} else {
		n.sandboxes[name] = s
	}
	n.running.Go(func() { s.loop(begin) })
	return s, true
}

func (s *sandbox) loop(begin func(*sandbox)) {
	defer close(s.gone)
	begin(s)
	for !s.deleted && !s.handed {
		s.settle()
		var done chan func()
		if s.work != nil {
			done = s.work.done
		}
		select {
		case call := <-s.calls:
			call()
		case then := <-done:
			s.work = nil
			then()
		case <-s.machineEnd():
			s.machineEnded()
		case <-s.commandEnd():
			s.commandEnded()
		case <-s.usage.changed:
		case <-s.timer.C:
			s.onTime()
		case <-s.node.closing:
			s.letGo()
			return
		}
	}
	s.node.forget(s) // before anybody hears that its name is free
	s.settle()
}

// forget removes a sandbox that was deleted, or a member that is none any more.
func (n *Node) forget(s *sandbox) {
	if s.pool != "" {
		n.forgetMember(s)
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.sandboxes, s.name)
}

// letGo is the end of the node.
func (s *sandbox) letGo() {
	for s.work != nil { // what one leads to may be more
		w := s.work
		w.cancel(errNodeClosing)
		then := <-w.done
		s.work = nil
		then()
	}
	s.usable.Store(nil)
	if s.instance != nil {
		end := s.instance.Detach
		if s.node.config.Tied {
			end = s.instance.Close
		}
		if err := end(); err != nil {
			s.log.Warn("let go of the sandbox", zap.Error(err))
		}
	}
	if s.node.config.Tied {
		if err := s.removeRun(); err != nil {
			s.log.Warn("clear away the sandbox's run", zap.Error(err))
		}
	}
	for _, w := range s.waiters {
		w.told <- errNodeClosing
	}
}

var errNodeClosing = fault.New(fault.Unavailable, fault.ReasonClosing, "", "the node is being closed: try again when it is back")

// machineEnd and commandEnd are what to wait for while nothing is being done.
func (s *sandbox) machineEnd() <-chan struct{} {
	if s.instance == nil || s.work != nil {
		return nil
	}
	return s.instance.Ended()
}

func (s *sandbox) commandEnd() <-chan struct{} {
	if s.instance == nil || s.work != nil || s.spec().GetCommand() == nil {
		return nil
	}
	return s.instance.Exited()
}

func (s *sandbox) spec() *bulkheadv1.SandboxSpec     { return s.record.GetSandbox().GetSpec() }
func (s *sandbox) status() *bulkheadv1.SandboxStatus { return s.record.GetSandbox().GetStatus() }
func (s *sandbox) state() bulkheadv1.SandboxState    { return s.status().GetState() }
func (s *sandbox) is(states ...bulkheadv1.SandboxState) bool {
	for _, state := range states {
		if s.state() == state {
			return true
		}
	}
	return false
}

// keep makes the record as it is now durable, and watchers see it. If that fails, it
// is tried again.
func (s *sandbox) keep(message string) error {
	err := s.put(message, false)
	if err != nil {
		s.unkept, s.againAt = true, time.Now().Add(keepAgain)
		s.log.Error("the state could not be kept", zap.Error(err), zap.Stringer("state", s.state()))
		s.seen.Store(proto.CloneOf(s.record.GetSandbox()))
	}
	return err
}

// keepIf is keep for what is only done once it is kept, such as a start. If that
// fails, nobody sees the record as it is, and it is the caller's to undo it.
func (s *sandbox) keepIf(message string) error { return s.put(message, true) }

// put has the store keep the record. What wasn't kept before is in this one.
func (s *sandbox) put(message string, optional bool) error {
	clipStatus(s.status())
	message = clip.Text(message, maxMessage)
	r := proto.CloneOf(s.record)
	version, err := s.putIn(s.node.config.Store, r, store.Change{Type: bulkheadv1.EventType_EVENT_TYPE_MODIFIED, Message: message, Optional: optional})
	if err != nil {
		return err
	}
	if s.unkept {
		s.unkept, s.againAt = false, time.Time{}
	}
	s.record.Sandbox.ResourceVersion = version
	s.seen.Store(r.GetSandbox())
	s.log.Info(message, zap.Stringer("state", s.state()))
	return nil
}

// putIn has a store keep the record r, which it has for itself.
func (s *sandbox) putIn(to store.Store, r *storev1.Record, c store.Change) (version uint64, err error) {
	if s.pool != "" {
		return 0, to.PutMember(r, c.Optional)
	}
	return to.Put(r, c)
}

// do has the sandbox's goroutine call act, and waits until look is satisfied or
// has an error.
func (s *sandbox) do(ctx context.Context, act func() error, look func() (done bool, err error)) error {
	w := &waiter{ctx: ctx, look: look, told: make(chan error, 1)}
	call := func() {
		if err := act(); err != nil {
			w.told <- err
			return
		}
		s.waiters = append(s.waiters, w)
	}
	select {
	case s.calls <- call:
	case <-s.gone:
		return s.goneError()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case err := <-w.told:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// goneError is for who comes when the goroutine has ended.
func (s *sandbox) goneError() error {
	select {
	case <-s.node.closing:
		return errNodeClosing
	default:
		return noSandbox(s.name)
	}
}

func noSandbox(name string) error {
	if supervise.CheckName(name) != nil {
		name = fmt.Sprintf("%.64s", name) // nobody's, and as long as a message may be
	}
	return fault.New(fault.NotFound, fault.ReasonNoSandbox, name, "there is no sandbox %q", name)
}

// settle tells who waits for what has come, and sets the timer.
func (s *sandbox) settle() {
	left := s.waiters[:0]
	for _, w := range s.waiters {
		if w.ctx.Err() != nil {
			continue
		}
		if done, err := w.look(); done || err != nil {
			w.told <- err
			continue
		}
		left = append(left, w)
	}
	clear(s.waiters[len(left):])
	s.waiters = left
	s.timer.Stop()
	if at := s.nextTime(); !at.IsZero() {
		s.timer.Reset(time.Until(at))
	}
}

// callOff ends the work that is being done, or lets it end.
func (s *sandbox) callOff(cause error) {
	if s.work != nil && (!s.work.steady || s.record.GetKilled()) {
		s.work.cancel(cause)
	}
}

// start begins work. do runs in a goroutine of its own; what it returns is called
// by the sandbox's.
func (s *sandbox) start(do func(context.Context) func()) *work {
	ctx, cancel := context.WithCancelCause(context.Background())
	w := &work{cancel: cancel, done: make(chan func(), 1)}
	s.work = w
	go func() {
		then := do(ctx)
		cancel(nil)
		w.done <- then
	}()
	return w
}
