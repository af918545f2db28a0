package node_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/node"
	"github.com/bulkhead-vm/bulkhead/hypervisor/workertest"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
)

// namesOfHost is cgroups and taps of which only the names matter.
type namesOfHost struct {
	mu      sync.Mutex // the rest
	cgroups map[string]bool
	taps    map[string]string // whose, by their own names
}

type (
	cgroupNames struct{ *namesOfHost }
	tapNames    struct{ *namesOfHost }
)

func (n cgroupNames) Add(name string, _ int, _ uint64, _ int) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cgroups[name] = true
	return nil
}

func (n cgroupNames) Remove(name string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.cgroups, name)
	return nil
}

func (n cgroupNames) Names() (all []string, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for name := range n.cgroups {
		all = append(all, name)
	}
	return all, nil
}

func (n tapNames) Add(name, sandbox, _ string, _ int, _ uint32) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.taps[name] = sandbox
	return nil
}

func (n tapNames) Remove(name string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.taps, name)
	return nil
}

func (n tapNames) Names() (map[string][]string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := map[string][]string{}
	for name, sandbox := range n.taps {
		all[sandbox] = append(all[sandbox], name)
	}
	return all, nil
}

func (n *namesOfHost) use(c *node.Config) {
	n.cgroups, n.taps = map[string]bool{}, map[string]string{}
	c.Cgroups, c.Taps = cgroupNames{n}, tapNames{n}
}

// TestNamesOnTheHost has a sandbox that is called otherwise on the host be found, logged,
// started again, saved and deleted as others are, beside one of which it has the name.
func TestNamesOnTheHost(t *testing.T) {
	host := new(namesOfHost)
	f := open(t, host.use)
	image := filepath.Join(f.config.Limits.Spec.Images[0], "image")
	f.must(os.WriteFile(image, make([]byte, 4096), 0o600))
	spec := func() *bulkheadv1.SandboxSpec {
		return &bulkheadv1.SandboxSpec{
			Networks: []*bulkheadv1.Network{{Host: &bulkheadv1.Network_Bridge{Bridge: "br0"}}}, Disks: []*bulkheadv1.Disk{{Path: image, Overlay: true}},
		}
	}
	f.create("box", spec(), "sh", "-c", "echo said; sleep 1000")
	f.restart(func() { f.rewrite("box", func(r *storev1.Record) { r.HostName = "+claimed" }) })
	_, err := f.Start(t.Context(), "box")
	f.must(err)
	holds := func() {
		t.Helper()
		f.untilLogged("box", "said")
		_, console, err := f.Logs("box")
		f.must(err)
		for _, path := range []string{console, filepath.Join(f.config.StateDir, "sandboxes", "+claimed", "disk0.overlay"), filepath.Join(f.config.RuntimeDir, "+claimed", "worker.sock")} {
			if _, err := os.Stat(path); err != nil {
				t.Error(err)
			}
		}
		for _, path := range []string{filepath.Join(f.config.StateDir, "sandboxes", "box"), filepath.Join(f.config.RuntimeDir, "box")} {
			if _, err := os.Stat(path); !os.IsNotExist(err) {
				t.Errorf("%s is there: %v", path, err)
			}
		}
		if !host.cgroups["+claimed"] || host.cgroups["box"] {
			t.Errorf("cgroups are %v", host.cgroups)
		}
		if taps, _ := f.config.Taps.Names(); len(taps["+claimed"]) != 1 || len(taps["box"]) != 0 {
			t.Errorf("taps are %v", taps)
		}
	}
	holds()
	before := f.workerOf("box")
	f.restart(nil)
	f.settled("box")
	if after := f.workerOf("box"); after != before {
		t.Errorf("worker %v, was %v", after, before)
	}
	holds()
	_, err = f.Stop(t.Context(), "box", 0)
	f.must(err)
	_, err = f.Start(t.Context(), "box")
	f.must(err)
	holds()
	f.save("box", "saved")
	f.nothingUnderWay()
	// What a record that is gone has left.
	f.must(f.Close())
	record := f.recordOf("box")
	_, err = f.config.Store.Delete(record, "")
	f.must(err)
	f.reopen()
	f.emptyHost(host)
	// Deleted while it runs.
	f.create("box", spec(), "sh", "-c", "echo said; sleep 1000")
	f.restart(func() { f.rewrite("box", func(r *storev1.Record) { r.HostName = "+claimed" }) })
	_, err = f.Start(t.Context(), "box")
	f.must(err)
	holds()
	f.must(f.Delete(t.Context(), "box", "", true))
	f.emptyHost(host)
	_, err = f.Create(&bulkheadv1.CreateSandboxRequest{Name: "+claimed"}, "tester")
	f.kindIs(err, fault.Invalid, fault.ReasonInvalid)
}

// emptyHost fails the test if the host has anything of a sandbox.
func (f *fixture) emptyHost(host *namesOfHost) {
	f.t.Helper()
	host.mu.Lock()
	defer host.mu.Unlock()
	for _, dir := range []string{f.config.RuntimeDir, filepath.Join(f.config.StateDir, "sandboxes")} {
		entries, err := os.ReadDir(dir)
		f.must(err)
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), ".") {
				f.t.Errorf("left in %s: %s", dir, e.Name())
			}
		}
	}
	if len(host.cgroups)+len(host.taps) > 0 {
		f.t.Errorf("left: cgroups %v, taps %v", host.cgroups, host.taps)
	}
}

// TestShareOfTheClaimed is given back under the name that it was given by.
func TestShareOfTheClaimed(t *testing.T) {
	f := open(t)
	f.create("box", &bulkheadv1.SandboxSpec{Kernel: &bulkheadv1.Kernel{Cmdline: workertest.WordSlow}})
	f.restart(func() { f.rewrite("box", func(r *storev1.Record) { r.HostName = "+claimed" }) })
	for range 2 {
		_, err := f.Start(t.Context(), "box")
		f.must(err)
		if _, given, _, _ := f.Share(); given.GetCpus() != 1 {
			t.Errorf("%v are given of one CPU", given)
		}
		_, err = f.Stop(t.Context(), "box", 0)
		f.must(err)
		if _, given, _, _ := f.Share(); given.GetCpus() != 0 {
			t.Errorf("%v are given of none", given)
		}
	}
}
