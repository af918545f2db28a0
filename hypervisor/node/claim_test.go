package node_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/node"
	"github.com/bulkhead-vm/bulkhead/hypervisor/workertest"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
)

// claim claims a sandbox, with a command if args are given.
func (f *fixture) claim(pool, name string, args ...string) (*bulkheadv1.Sandbox, bool) {
	f.t.Helper()
	r := &bulkheadv1.ClaimSandboxRequest{Pool: pool, Name: name}
	if len(args) > 0 {
		r.Spec = &bulkheadv1.SandboxSpec{Command: &bulkheadv1.Command{Args: args}}
	}
	box, warm, err := f.Claim(f.t.Context(), r, "tester")
	f.must(err)
	return box, warm
}

// renewedAs returns how the guest of a sandbox was renewed last.
func (f *fixture) renewedAs(name string) string {
	f.t.Helper()
	host := f.recordOf(name).GetHostName()
	if host == "" {
		host = name
	}
	b, err := os.ReadFile(filepath.Join(f.config.RuntimeDir, host, "guest", "renewed.json"))
	f.must(err)
	return string(b)
}

func TestClaim(t *testing.T) {
	f := open(t)
	made := f.template(nil)
	p := f.pool("p", 2, made)
	members := f.membersOf(p)
	_, given, _, err := f.Share()
	f.must(err)
	if given.GetCpus() != 2 {
		t.Errorf("%v are given to two members", given)
	}
	next, stop := f.watch(&bulkheadv1.WatchSandboxesRequest{})
	began := time.Now()
	box, warm := f.claim("p", "box_1", "sh", "-c", "echo said; read line; echo got; sleep 1000")
	t.Logf("claimed in %v: %v", time.Since(began), box.GetStatus().GetPhases())
	if s := box.GetStatus(); !warm || s.GetState() != running || s.GetOrigin().GetPool() != "p" || s.GetOrigin().GetTemplate() != made.GetId() || s.GetKernelRelease() == "" {
		t.Errorf("warm: %v, %v", warm, box)
	}
	if box.GetSpec().GetTemplate() != made.GetId() || box.GetSpec().GetCpus() != 1 || box.GetClient() != "tester" {
		t.Errorf("specification %v of %s", box.GetSpec(), box.GetClient())
	}
	phases := ""
	for _, p := range box.GetStatus().GetPhases() {
		phases += p.GetName() + ","
	}
	if phases != "start,machine resumed,agent ready,identity renewed,command started," {
		t.Errorf("phases %s", phases)
	}
	for _, want := range []string{"ADDED claimed from pool \"p\" STARTING", "MODIFIED running RUNNING"} {
		e := next()
		for e.GetSandbox() == nil {
			e = next()
		}
		got := strings.TrimPrefix(e.GetType().String(), "EVENT_TYPE_") + " " + e.GetMessage() + " " + strings.TrimPrefix(e.GetSandbox().GetStatus().GetState().String(), "SANDBOX_STATE_")
		if got != want {
			t.Errorf("event %s, not %s", got, want)
		}
	}
	stop()
	if r := f.renewedAs("box_1"); !strings.Contains(r, `"box-1"`) {
		t.Errorf("renewed as %s", r)
	}
	f.untilLogged("box_1", "said")
	if out, _ := f.exec("box_1", "echo", "hi"); out != "hi\n" {
		t.Errorf("exec: %q", out)
	}
	record := f.recordOf("box_1")
	if was := memberCalled(members, record.GetHostName()); was == nil || was.GetSandbox().GetUid() == box.GetUid() {
		t.Errorf("%v was none of %v", record, members)
	}
	full := f.untilFull("p")
	if full.GetStatus().GetWarmClaims() != 1 || full.GetStatus().GetColdClaims() != 0 {
		t.Errorf("pool %v", full)
	}
	if _, given, _, _ := f.Share(); given.GetCpus() != 3 {
		t.Errorf("%v are given to two members and a sandbox", given)
	}
	// It goes on as any other.
	_, err = f.Stop(t.Context(), "box_1", 0)
	f.must(err)
	box, err = f.Node.Start(t.Context(), "box_1")
	f.must(err)
	if o := box.GetStatus().GetOrigin(); o.GetPool() != "" || o.GetTemplate() != made.GetId() {
		t.Errorf("started again from %v", o)
	}
	f.untilLogged("box_1", "said")
	f.must(f.DeletePool(t.Context(), "p", ""))
	f.exec("box_1", "true")
	f.must(f.Delete(t.Context(), "box_1", "", true))
	if _, given, _, _ := f.Share(); given.GetCpus() != 0 || given.GetMemoryBytes() != 0 {
		t.Errorf("%v are given to nobody", given)
	}
}

func memberCalled(members []*storev1.Record, name string) *storev1.Record {
	for _, m := range members {
		if m.GetSandbox().GetName() == name {
			return m
		}
	}
	return nil
}

// TestClaimCold claims what isn't ready.
func TestClaimCold(t *testing.T) {
	f := open(t)
	made := f.template(nil)
	f.pool("p", 0, made)
	_, _, err := f.Claim(t.Context(), &bulkheadv1.ClaimSandboxRequest{Pool: "p", MustBeWarm: true}, "tester")
	f.kindIs(err, fault.Unavailable, fault.ReasonPoolEmpty)
	box, warm := f.claim("p", "cold", "sleep", "1000")
	if warm || f.restored(box) != made.GetId() || box.GetStatus().GetOrigin().GetPool() != "" {
		t.Errorf("warm: %v, %v", warm, box)
	}
	if box, warm = f.claim("p", ""); warm || box.GetName() == "" || box.GetStatus().GetState() != running {
		t.Errorf("warm: %v, %v", warm, box)
	}
	if s := f.untilFull("p").GetStatus(); s.GetColdClaims() != 2 || s.GetWarmClaims() != 0 {
		t.Errorf("status %v", s)
	}
	// What can't be run is said, and isn't tried again by a start.
	for _, size := range []uint32{0, 1} {
		f.update("p", size)
		name := fmt.Sprint("wrong", size)
		r := &bulkheadv1.ClaimSandboxRequest{Pool: "p", Name: name, Spec: &bulkheadv1.SandboxSpec{Command: &bulkheadv1.Command{Args: []string{"no-such-command"}}}}
		for range 2 {
			_, _, err = f.Claim(t.Context(), r, "tester")
			f.kindIs(err, fault.Aborted, fault.ReasonStartFailed)
		}
		if e := f.until(name, stopped).GetStatus().GetExit(); e.GetExitCode() != 127 {
			t.Errorf("exit %v", e)
		}
	}
}

// TestClaimTogether: each claim has a machine of its own.
func TestClaimTogether(t *testing.T) {
	f := open(t)
	made := f.template(nil)
	p := f.pool("p", 5, made)
	members := f.membersOf(p)
	var (
		all  sync.WaitGroup
		mu   sync.Mutex
		warm []string
	)
	for i := range 20 {
		all.Go(func() {
			name := fmt.Sprint("box", i)
			box, was, err := f.Claim(context.Background(), &bulkheadv1.ClaimSandboxRequest{Pool: "p", Name: name}, "tester")
			if err != nil || box.GetStatus().GetState() != running {
				t.Errorf("%v, %v", box, err)
			}
			if was {
				mu.Lock()
				warm = append(warm, name)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	hosts, workers := map[string]bool{}, map[int]bool{}
	for i := range 20 {
		name := fmt.Sprint("box", i)
		r := f.recordOf(name)
		if h := r.GetHostName(); h != "" && hosts[h] {
			t.Errorf("%s is somebody else's, too", h)
		}
		hosts[r.GetHostName()] = true
		if pid := f.workerOf(name).PID; workers[pid] {
			t.Errorf("worker %d is somebody else's, too", pid)
		} else {
			workers[pid] = true
		}
		if !strings.Contains(f.renewedAs(name), `"`+name+`"`) {
			t.Errorf("%s is renewed as %s", name, f.renewedAs(name))
		}
	}
	for _, m := range members {
		if !hosts[m.GetSandbox().GetName()] {
			t.Errorf("nobody has %s", m.GetSandbox().GetName())
		}
	}
	s := f.untilFull("p").GetStatus()
	if len(warm) < 5 || s.GetWarmClaims() != uint64(len(warm)) || s.GetColdClaims() != uint64(20-len(warm)) {
		t.Errorf("%d of 20 were warm; status %v", len(warm), s)
	}
	t.Logf("%d of 20 were warm", len(warm))
}

func TestClaimAgain(t *testing.T) {
	f := open(t)
	f.pool("p", 2, f.template(nil))
	request := func(name string) *bulkheadv1.ClaimSandboxRequest {
		return &bulkheadv1.ClaimSandboxRequest{Pool: "p", Name: name, RequestId: "r" + name, Spec: &bulkheadv1.SandboxSpec{Labels: map[string]string{"a": "b"}, Command: &bulkheadv1.Command{Args: []string{"sleep", "1000"}}}}
	}
	for _, name := range []string{"", "box"} {
		first, warm, err := f.Claim(t.Context(), request(name), "tester")
		f.must(err)
		for i := range 3 {
			again, warmAgain, err := f.Claim(t.Context(), request(name), "tester")
			f.must(err)
			if again.GetUid() != first.GetUid() || !warm || !warmAgain {
				t.Errorf("%v and then %v; warm: %v, %v", first, again, warm, warmAgain)
			}
			switch i {
			case 0:
				f.restart(nil)
				f.settled(first.GetName())
			case 1: // what has ended isn't begun again
				_, err := f.Stop(t.Context(), first.GetName(), 0)
				f.must(err)
			case 2:
				if again.GetStatus().GetState() != stopped {
					t.Errorf("%v is as new", again)
				}
			}
		}
		r := request(name)
		r.Spec.Labels = nil
		_, _, err = f.Claim(t.Context(), r, "tester")
		if fault.KindOf(err) != fault.Exists {
			t.Errorf("another specification: %v", err)
		}
	}
	_, _, err := f.Claim(t.Context(), request("box"), "other")
	f.kindIs(err, fault.Exists, fault.ReasonNameTaken)
	f.must(f.DeletePool(t.Context(), "p", ""))
	again, _, err := f.Claim(t.Context(), request("box"), "tester")
	f.must(err)
	if again.GetName() != "box" {
		t.Errorf("%v", again)
	}
	_, _, err = f.Claim(t.Context(), request("new"), "tester")
	f.kindIs(err, fault.NotFound, fault.ReasonNoPool)
}

func TestClaimRefused(t *testing.T) {
	host := new(namesOfHost)
	f := open(t, host.use, func(c *node.Config) { c.PerClient = 2 })
	image := filepath.Join(f.config.Limits.Spec.Images[0], "image")
	f.must(os.WriteFile(image, make([]byte, 4096), 0o600))
	network := func(change func(*bulkheadv1.Network)) []*bulkheadv1.Network {
		n := &bulkheadv1.Network{Host: &bulkheadv1.Network_Bridge{Bridge: "br0"}}
		change(n)
		return []*bulkheadv1.Network{n}
	}
	disk := &bulkheadv1.Disk{Path: image, ReadOnly: true}
	f.pool("p", 1, f.template(&bulkheadv1.SandboxSpec{Networks: network(func(*bulkheadv1.Network) {}), Disks: []*bulkheadv1.Disk{disk}}))
	for field, s := range map[string]*bulkheadv1.SandboxSpec{
		"spec.template":    {Template: strings.Repeat("0", 12)},
		"spec.snapshot":    {Snapshot: "golden"},
		"spec.vsock_path":  {VsockPath: "/tmp/x"},
		"spec.memory":      {Memory: &bulkheadv1.MemoryOptions{}},
		"spec.cpus":        {Cpus: 2},
		"spec.disks[0]":    {Disks: []*bulkheadv1.Disk{{Path: image, ReadOnly: true, Direct: true}}},
		"spec.disks":       {Disks: []*bulkheadv1.Disk{{Path: image + "2", ReadOnly: true}}},
		"spec.networks":    {Networks: append(network(func(*bulkheadv1.Network) {}), network(func(*bulkheadv1.Network) {})...)},
		"spec.networks[0]": {Networks: network(func(n *bulkheadv1.Network) { n.Mac = "02:00:00:00:00:01" })},
		"spec.command":     {Command: &bulkheadv1.Command{}},
	} {
		_, _, err := f.Claim(t.Context(), &bulkheadv1.ClaimSandboxRequest{Pool: "p", Spec: s}, "tester")
		f.kindIs(err, fault.Invalid, fault.ReasonInvalid)
		if err == nil || !strings.HasPrefix(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	_, _, err := f.Claim(t.Context(), &bulkheadv1.ClaimSandboxRequest{Pool: "none"}, "tester")
	f.kindIs(err, fault.NotFound, fault.ReasonNoPool)
	box, warm, err := f.Claim(t.Context(), &bulkheadv1.ClaimSandboxRequest{Pool: "p", Name: "box", Spec: &bulkheadv1.SandboxSpec{
		Networks: network(func(n *bulkheadv1.Network) { n.Addresses, n.Gateways = []string{"10.0.0.2/24"}, []string{"10.0.0.1"} }), Nameservers: []string{"10.0.0.1"},
	}}, "tester")
	f.must(err)
	if r := f.renewedAs("box"); !warm || !strings.Contains(r, "10.0.0.2/24") || !strings.Contains(r, f.recordOf("box").GetLinks()[0].GetMac()) {
		t.Errorf("warm: %v, %v is renewed as %s", warm, box, r)
	}
	f.claim("p", "")
	_, _, err = f.Claim(t.Context(), &bulkheadv1.ClaimSandboxRequest{Pool: "p"}, "tester")
	f.kindIs(err, fault.Exhausted, fault.ReasonTooMany)
}

// TestClaimDead claims a member whose worker is gone, has gone silent, or whose guest
// ends as it is to go on.
func TestClaimDead(t *testing.T) {
	f := open(t, impatient)
	made := f.template(nil)
	p := f.pool("p", 2, made)
	for _, m := range f.membersOf(p) {
		f.halt(int(m.GetWorker().GetPid()))
	}
	box, warm := f.claim("p", "silent", "sleep", "1000")
	if warm || f.restored(box) != made.GetId() {
		t.Errorf("warm: %v, %v", warm, box)
	}
	p = f.untilFull("p")
	before := map[string]bool{}
	for _, m := range f.membersOf(p) {
		id := m.GetWorker()
		before[m.GetSandbox().GetName()] = true
		proc, err := os.FindProcess(int(id.GetPid()))
		f.must(err)
		f.must(proc.Kill())
	}
	if box, _ := f.claim("p", "dead", "sleep", "1000"); box.GetStatus().GetState() != running {
		t.Errorf("%v", box)
	}
	f.exec("dead", "true")
	for _, m := range f.membersOf(f.untilFull("p")) {
		if before[m.GetSandbox().GetName()] {
			t.Errorf("%v is there still", m)
		}
	}
}

// TestClaimKilled kills the worker of what was claimed: it is known how it ended, and
// nothing is left of it, not even a zombie.
func TestClaimKilled(t *testing.T) {
	f := open(t)
	f.pool("p", 1, f.template(nil))
	_, warm := f.claim("p", "box", "sleep", "1000")
	id := f.workerOf("box")
	f.must(unix.Kill(id.PID, unix.SIGKILL))
	e := f.until("box", stopped).GetStatus().GetExit()
	if !warm || e.GetReason() != bulkheadv1.ExitReason_EXIT_REASON_WORKER_LOST || !strings.Contains(e.GetMessage(), "signal: killed") {
		t.Errorf("warm: %v, exit %v", warm, e)
	}
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", id.PID))
		if os.IsNotExist(err) {
			break
		}
		if time.Since(began) > 10*time.Second {
			t.Fatalf("left of the worker: %s", stat)
		}
	}
}

// TestClaimFromSlowTemplate claims what takes its time to come up.
func TestClaimFromSlowTemplate(t *testing.T) {
	f := open(t)
	made := f.template(&bulkheadv1.SandboxSpec{Kernel: &bulkheadv1.Kernel{Cmdline: workertest.WordSlow}})
	f.pool("p", 1, made)
	box, warm := f.claim("p", "box")
	if phases := box.GetStatus().GetPhases(); !warm || len(phases) < 2 || phases[1].GetName() != "machine resumed" {
		t.Errorf("warm: %v, by %v", warm, phases)
	}
}
