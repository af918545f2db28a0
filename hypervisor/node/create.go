package node

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bulkhead-vm/bulkhead/hypervisor/capacity"
	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/spec"
	"github.com/bulkhead-vm/bulkhead/hypervisor/store"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
)

// Create admits a sandbox for a client, who may do so again and again.
func (n *Node) Create(r *bulkheadv1.CreateSandboxRequest, client string) (*bulkheadv1.Sandbox, error) {
	limits := n.limits.Load()
	if err := fault.InvalidRequest(spec.Check(r, limits.Spec)); err != nil {
		return nil, err
	}
	s := spec.WithDefaults(r.GetSpec())
	n.admission.Lock()
	defer n.admission.Unlock()
	same := func(box *sandbox) bool { return box.claimed == "" && sameRequest(box.seen.Load().GetSpec(), s) }
	if before, err := n.repeated(r, client, same); before != nil || err != nil {
		return before.shown(), err
	}
	if n.draining.Load() {
		return nil, errDraining
	}
	if err := n.checkCount(client, 1, limits.PerClient); err != nil {
		return nil, err
	}
	if err := n.checkVsockPath(s.GetVsockPath()); err != nil {
		return nil, err
	}
	s, origin, err := n.inherit(s)
	if err != nil {
		return nil, err
	}
	record := newRecord(r, s, client)
	record.Sandbox.Status.Origin = origin
	return n.admit(record)
}

// admit makes a sandbox of a record, and returns it as it is then. The caller holds
// n.admission.
func (n *Node) admit(record *storev1.Record) (*bulkheadv1.Sandbox, error) {
	if _, err := n.admitTo(record, "created", func(*sandbox) {}); err != nil {
		return nil, err
	}
	return proto.CloneOf(record.GetSandbox()), nil
}

// admitTo is admit for what the sandbox's goroutine begins with. Watchers read the message.
func (n *Node) admitTo(record *storev1.Record, message string, begin func(*sandbox)) (*sandbox, error) {
	name, host := record.GetSandbox().GetName(), hostName(record)
	if err := n.reserve(host, record.GetSandbox().GetSpec()); err != nil {
		return nil, err
	}
	change := store.Change{Type: bulkheadv1.EventType_EVENT_TYPE_ADDED, Message: message, Optional: true}
	if _, err := n.config.Store.Put(record, change); err != nil {
		n.ledger.Release(host)
		return nil, noSpace(name, "the sandbox is not created", err)
	}
	box, ok := n.add(cloneRecord(record), begin)
	if !ok {
		return nil, errNodeClosing
	}
	return box, nil
}

// errDraining is for who wants something to run on a node that is to be empty.
var errDraining = fault.New(fault.Unavailable, fault.ReasonDraining, "", "the node is being drained: go to another one")

// repeated returns the sandbox that an earlier call of the same kind made, or
// the error if it was of another. same says whether a sandbox is what is asked for.
func (n *Node) repeated(r *bulkheadv1.CreateSandboxRequest, client string, same func(*sandbox) bool) (*sandbox, error) {
	if box := n.lookup(r.GetName()); box != nil {
		before := box.seen.Load()
		if err := box.leaving(); err != nil {
			return nil, err
		}
		if box.fork == "" && before.GetClient() == client && same(box) && box.requestID == r.GetRequestId() {
			return box, nil
		}
		return nil, fault.New(fault.Exists, fault.ReasonNameTaken, r.GetName(),
			"sandbox %q: its name is in use: choose another name, or delete that sandbox first", r.GetName())
	}
	if r.GetRequestId() == "" {
		return nil, nil
	}
	for _, box := range n.all() {
		before := box.seen.Load()
		if box.requestID != r.GetRequestId() || before.GetClient() != client {
			continue
		}
		if err := box.leaving(); err != nil {
			return nil, err
		}
		if same(box) && r.GetName() == "" {
			return box, nil
		}
		return nil, fault.New(fault.Exists, fault.ReasonRequestIDUsed, before.GetName(),
			"request ID %q made sandbox %q, which is another one: use each ID for one request", r.GetRequestId(), before.GetName())
	}
	return nil, nil
}

// shown returns a sandbox as it was kept last, or nil of none.
func (s *sandbox) shown() *bulkheadv1.Sandbox {
	if s == nil {
		return nil
	}
	return s.seen.Load()
}

// leaving is the error of who asks for a sandbox like one that is being deleted,
// whose name and request ID are free soon.
func (s *sandbox) leaving() error {
	if !s.doomed.Load() && s.seen.Load().GetStatus().GetState() != bulkheadv1.SandboxState_SANDBOX_STATE_DELETING {
		return nil
	}
	return &fault.Error{Kind: fault.Unavailable, Reason: fault.ReasonState, Subject: s.name,
		Message: fmt.Sprintf("sandbox %q is being deleted: try again when it is gone", s.name), RetryAfter: time.Second}
}

// checkCount fails if the client may not have so many more sandboxes.
func (n *Node) checkCount(client string, more, most int) error {
	if most == 0 {
		return nil
	}
	count := 0
	for _, box := range n.all() {
		if box.seen.Load().GetClient() == client {
			count++
		}
	}
	if count+more > most {
		return fault.New(fault.Exhausted, fault.ReasonTooMany, client,
			"client %s has %d sandboxes, %d are the most that it may have: delete one first", client, count, most)
	}
	return nil
}

// checkVsockPath fails if another sandbox has its socket there: only one of them
// could run, and neither would be told from the other.
func (n *Node) checkVsockPath(path string) error {
	if path == "" {
		return nil
	}
	for _, box := range n.all() {
		if other := box.seen.Load().GetSpec().GetVsockPath(); other != "" && filepath.Clean(other) == filepath.Clean(path) {
			return fault.New(fault.Precondition, fault.ReasonVsockPathTaken, box.name,
				"sandbox %q has its socket at %s: choose another vsock_path, or delete that sandbox first", box.name, other)
		}
	}
	return nil
}

// reserve gives a sandbox its share of the node, if need be of what pools' members have.
func (n *Node) reserve(host string, s *bulkheadv1.SandboxSpec) error {
	err := n.reserveFree(host, s)
	if err != nil && n.giveWay(host, needs(s)) {
		return nil
	}
	return err
}

// reserveFree gives it of what nobody has.
func (n *Node) reserveFree(host string, s *bulkheadv1.SandboxSpec) error {
	if n.limits.Load().Capacity == nil {
		n.ledger.Take(host, needs(s))
		return nil
	}
	err := n.ledger.Reserve(host, needs(s))
	var short *capacity.ShortageError
	if errors.As(err, &short) {
		return &fault.Error{Kind: fault.Exhausted, Reason: fault.ReasonNoRoom, Subject: n.config.Name, Message: "the node has no room for the sandbox", Err: err}
	}
	return err
}

func newRecord(r *bulkheadv1.CreateSandboxRequest, s *bulkheadv1.SandboxSpec, client string) *storev1.Record {
	name := r.GetName()
	if name == "" {
		name = newID()
	}
	return &storev1.Record{
		Sandbox: &bulkheadv1.Sandbox{
			Name:       name,
			Uid:        rand.Text(),
			Spec:       s,
			Status:     &bulkheadv1.SandboxStatus{State: bulkheadv1.SandboxState_SANDBOX_STATE_CREATED},
			CreateTime: timestamppb.Now(),
			Client:     client,
		},
		RequestId: r.GetRequestId(),
		Links:     newLinks(s),
	}
}

// newID returns twelve characters that nobody else has.
func newID() string {
	var b [6]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// bootTimeout is how long a guest may take to come up.
func (n *Node) bootTimeout(s *bulkheadv1.SandboxSpec) time.Duration {
	if t := s.GetBootTimeout(); t != nil {
		return t.AsDuration()
	}
	if t := n.limits.Load().BootTimeout; t != 0 {
		return t
	}
	return defaultBootTimeout
}
