package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/bulkhead-vm/bulkhead/hypervisor/instance"
	"github.com/bulkhead-vm/bulkhead/hypervisor/supervise"

	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
)

// removeRun removes what a run has on the host when its instance is gone.
func (s *sandbox) removeRun() error { return s.node.removeRun(s.record) }

// removeAll removes what the host has of a sandbox beside its record.
func (n *Node) removeAll(r *storev1.Record) error {
	if err := n.removeRun(r); err != nil { // who lives has its files
		return err
	}
	return os.RemoveAll(n.kept(hostName(r)))
}

// leftovers reports whether a run has left a worker, or could have.
func (n *Node) leftovers(r *storev1.Record) bool {
	_, err := supervise.OpenBundle(n.config.RuntimeDir, hostName(r))
	return r.GetWorker() != nil || !errors.Is(err, fs.ErrNotExist)
}

// workerOf returns which process a run's worker is, if the record is sure of that: then
// nobody else is believed, neither the worker nor its bundle, to which it can write. Until
// it has come up a run may have another worker than the record, which has that of an
// earlier try until the next one is kept; unless it goes on from a pool's member, whose
// worker that is.
func workerOf(r *storev1.Record) (who supervise.Identity, known bool) {
	status := r.GetSandbox().GetStatus()
	if r.GetWorker() == nil || status.GetReadyTime() == nil && status.GetOrigin().GetPool() == "" {
		return who, false
	}
	return identity(r.GetWorker()), true
}

// removeRun ends what is left of a run and removes what it has on the host: its
// worker, bundle, cgroup, vsock's socket and taps. It fails, with the bundle still
// there, as long as a worker lives: while it does, there must be no other.
func (n *Node) removeRun(r *storev1.Record) error {
	name := hostName(r)
	var errs []error
	if w := r.GetWorker(); w != nil {
		errs = append(errs, supervise.Kill(identity(w)))
	}
	b, err := supervise.OpenBundle(n.config.RuntimeDir, name)
	there := err == nil
	switch {
	case there:
		if _, known := workerOf(r); !known {
			errs = append(errs, b.Kill())
		}
	case !errors.Is(err, fs.ErrNotExist):
		errs = append(errs, err)
	}
	if n.config.Cgroups != nil { // also if nobody knows which process it is
		errs = append(errs, n.config.Cgroups.Remove(name))
	}
	if there {
		if err := b.Remove(); err != nil {
			return errors.Join(append(errs, fmt.Errorf("a worker of sandbox %q is still there: %w", r.GetSandbox().GetName(), err))...)
		}
	}
	if path := r.GetSandbox().GetSpec().GetVsockPath(); path != "" {
		errs = append(errs, instance.RemoveAbandoned(path))
	}
	for _, link := range r.GetLinks() {
		if tap := link.GetOwnTap(); tap != "" && n.config.Taps != nil {
			errs = append(errs, n.config.Taps.Remove(tap))
		}
	}
	return errors.Join(errs...)
}
