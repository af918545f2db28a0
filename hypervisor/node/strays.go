package node

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"github.com/bulkhead-vm/bulkhead/hypervisor/supervise"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
)

// removeStrays removes what belongs to no sandbox, of which hosts has the names on the
// host: workers and their bundles, taps, cgroups and files.
func (n *Node) removeStrays(hosts map[string]bool) error {
	if err := supervise.SweepEmpty(n.config.RuntimeDir); err != nil {
		return err
	}
	bundles, err := supervise.Bundles(n.config.RuntimeDir)
	if err != nil {
		return err
	}
	for _, name := range bundles {
		if !hosts[name] {
			n.stray("worker", name, n.endStray(name))
		}
	}
	kept, err := os.ReadDir(filepath.Join(n.config.StateDir, keptName))
	if err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	for _, e := range kept {
		if !hosts[e.Name()] {
			n.stray("directory", e.Name(), os.RemoveAll(n.kept(e.Name())))
		}
	}
	return n.removeStraysOfHost(hosts)
}

func (n *Node) removeStraysOfHost(hosts map[string]bool) error {
	if n.config.Taps != nil {
		taps, err := n.config.Taps.Names()
		if err != nil {
			return err
		}
		for name, all := range taps {
			for _, tap := range all {
				if !hosts[name] {
					n.stray("tap "+tap, name, n.config.Taps.Remove(tap))
				}
			}
		}
	}
	if n.config.Cgroups != nil {
		names, err := n.config.Cgroups.Names()
		if err != nil {
			return err
		}
		for _, name := range names {
			if !hosts[name] {
				n.stray("cgroup", name, n.config.Cgroups.Remove(name))
			}
		}
	}
	return nil
}

// strayTime is how long a worker that is no sandbox's has to end.
const strayTime = 10 * time.Second

// endStray ends a worker that is no sandbox's, if it lives, and removes its
// bundle.
func (n *Node) endStray(name string) error {
	b, err := supervise.OpenBundle(n.config.RuntimeDir, name)
	if err != nil {
		return err
	}
	if err := n.shutDown(b, supervise.Identity{}); err != nil {
		return err
	}
	return n.removeRun(&storev1.Record{Sandbox: &bulkheadv1.Sandbox{Name: name}})
}

// shutDown ends a bundle's worker, if one answers. Which process it is it may be the
// only one to know, who being the zero value: its node was killed as it began.
func (n *Node) shutDown(b *supervise.Bundle, who supervise.Identity) error {
	ctx, cancel := context.WithTimeout(context.Background(), min(strayTime, n.config.Patience))
	defer cancel()
	w, err := supervise.Attach(ctx, b, who)
	if err != nil {
		return nil // that it lives is noticed by who removes its bundle
	}
	return w.Shutdown(ctx)
}

// stray reports that something was removed.
func (n *Node) stray(what, name string, err error) {
	if err != nil {
		n.config.Log.Error("remove what belongs to no sandbox", zap.String("what", what), zap.String("sandbox", name), zap.Error(err))
		return
	}
	n.config.Log.Info("removed what belongs to no sandbox", zap.String("what", what), zap.String("sandbox", name))
}
