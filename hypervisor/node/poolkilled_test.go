package node_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/node"
	"github.com/bulkhead-vm/bulkhead/hypervisor/nodetest"
	"github.com/bulkhead-vm/bulkhead/hypervisor/store"
	"github.com/bulkhead-vm/bulkhead/hypervisor/store/bolt"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
)

// envPoolVictim has the directory, the template and the moment of a victim's death:
// TestPoolKilled's program is one then.
const envPoolVictim = "BULKHEAD_TEST_POOL_VICTIM"

// deadly is a store that kills its process at a change: before it is kept, or some time
// after.
type deadly struct {
	store.Store
	left   atomic.Int64 // changes until then
	before bool
	after  time.Duration
}

func (d *deadly) at(change func() error) error {
	last := d.left.Add(-1) == 0
	if last && d.before {
		die()
	}
	err := change()
	if last {
		time.Sleep(d.after)
		die()
	}
	return err
}

func die() {
	syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

func (d *deadly) Put(r *storev1.Record, c store.Change) (v uint64, err error) {
	err = d.at(func() (err error) { v, err = d.Store.Put(r, c); return err })
	return v, err
}

func (d *deadly) Delete(r *storev1.Record, message string) (v uint64, err error) {
	err = d.at(func() (err error) { v, err = d.Store.Delete(r, message); return err })
	return v, err
}

func (d *deadly) Claim(r *storev1.Record, c store.Change) (v uint64, err error) {
	err = d.at(func() (err error) { v, err = d.Store.Claim(r, c); return err })
	return v, err
}

func (d *deadly) PutPool(p *storev1.Pool) error {
	return d.at(func() error { return d.Store.PutPool(p) })
}

func (d *deadly) DeletePool(name string) error {
	return d.at(func() error { return d.Store.DeletePool(name) })
}

func (d *deadly) PutMember(r *storev1.Record, optional bool) error {
	return d.at(func() error { return d.Store.PutMember(r, optional) })
}

func (d *deadly) DeleteMember(name string) error {
	return d.at(func() error { return d.Store.DeleteMember(name) })
}

// configIn is a node's with its state in dir, and the rest as c has it.
func configIn(c node.Config, dir string, s store.Store) node.Config {
	c.RuntimeDir, c.StateDir, c.Store = filepath.Join(dir, "run"), filepath.Join(dir, "state"), s
	return c
}

var claimed = []string{"box1", "box2", "box3"}

// claimRequest has a command that writes down that it ran.
func claimRequest(dir, name string) *bulkheadv1.ClaimSandboxRequest {
	return &bulkheadv1.ClaimSandboxRequest{Pool: "p", Name: name, RequestId: name, Spec: &bulkheadv1.SandboxSpec{
		Command: &bulkheadv1.Command{Args: []string{"sh", "-c", "echo x >> " + filepath.Join(dir, name+".ran") + "; exec sleep 1000"}},
	}}
}

// poolVictim makes a pool, claims its members, makes it smaller and deletes it.
func poolVictim(words []string) {
	dir, template, guestDir := words[0], words[1], words[2]
	moment, _ := strconv.Atoi(words[3])
	after, _ := time.ParseDuration(words[4])
	file, err := bolt.Open(filepath.Join(dir, "store"))
	if err != nil {
		panic(err)
	}
	s := &deadly{Store: file, before: after < 0, after: after}
	s.left.Store(int64(moment))
	n, err := node.Open(configIn(node.Config{
		WorkerPath: os.Args[0], GuestDir: guestDir, CacheDir: filepath.Join(guestDir, "..", "cache"), TemplateDir: filepath.Join(guestDir, "..", "templates"),
	}, dir, s))
	if err != nil {
		panic(err)
	}
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	_, err = n.CreatePool(&bulkheadv1.CreatePoolRequest{Name: "p", Template: template, Size: 2, RequestId: "r"}, "tester")
	must(err)
	for ready := uint32(0); ready < 2; time.Sleep(time.Millisecond) {
		p, err := n.GetPool("p")
		must(err)
		ready = p.GetStatus().GetReady()
	}
	var all sync.WaitGroup
	for _, name := range claimed {
		all.Go(func() {
			_, _, err := n.Claim(context.Background(), claimRequest(dir, name), "tester")
			must(err)
		})
	}
	all.Wait()
	_, err = n.UpdatePool(&bulkheadv1.UpdatePoolRequest{Name: "p", Size: proto.Uint32(1)}, "tester")
	must(err)
	must(os.WriteFile(filepath.Join(dir, claimed[0]+".deleted"), nil, 0o600))
	must(n.Delete(context.Background(), claimed[0], "", true))
	must(n.DeletePool(context.Background(), "p", ""))
	must(errors.Join(n.Close(), file.Close()))
	os.Exit(0)
}

// TestPoolKilled kills a node's process at each change that it keeps while a pool is
// filled, its members are claimed, and it is changed and deleted: before it is kept, and
// after. The next node has the pool full again, each claimed sandbox run once, and
// nothing that is nobody's.
func TestPoolKilled(t *testing.T) {
	if words := os.Getenv(envPoolVictim); words != "" {
		poolVictim(strings.Fields(words))
	}
	f := open(t, func(c *node.Config) { c.TemplateDir = filepath.Join(c.GuestDir, "..", "templates") })
	made := f.template(nil)
	random, stages := rand.New(rand.NewPCG(9, 10)), map[string]int{}
	step := 1
	if testing.Short() {
		step = 5
	}
	for moment, over := 1, false; !over; moment += step {
		for _, after := range []time.Duration{-1, time.Duration(moment%2*random.IntN(20)) * time.Millisecond} {
			over = f.killPool(made, moment, after, stages)
			if t.Failed() {
				t.Fatalf("killed at change %d, %v after", moment, after)
			}
		}
	}
	t.Logf("killed with so many kept members and sandboxes: %v", stages)
}

// killPool has a victim die at a moment, and looks what the next node makes of that. It
// reports whether the victim was done before.
func (f *fixture) killPool(made *bulkheadv1.Template, moment int, after time.Duration, stages map[string]int) (over bool) {
	f.t.Helper()
	dir, err := os.MkdirTemp("", "pool")
	f.must(err)
	defer os.RemoveAll(dir)
	victim := exec.Command(os.Args[0], "-test.run=^TestPoolKilled$")
	victim.Env = append(os.Environ(), envPoolVictim+"="+fmt.Sprintf("%s %s %s %d %v", dir, made.GetId(), f.config.GuestDir, moment, after))
	said, err := victim.CombinedOutput()
	var ended *exec.ExitError
	over = err == nil
	if !over && (!errors.As(err, &ended) || ended.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL) {
		f.t.Fatalf("the victim: %v: %s", err, said)
	}
	file, err := bolt.Open(filepath.Join(dir, "store"))
	f.must(err)
	next := &fixture{t: f.t, config: configIn(f.config, dir, file)}
	members, err := file.Members()
	f.must(err)
	boxes, err := file.Records()
	f.must(err)
	stages[fmt.Sprint(len(members), "+", len(boxes))]++
	next.reopen()
	next.checkAfterKill(dir, made)
	nodetest.End(f.t, next.Node, next.config)
	f.must(file.Close())
	return over
}

func (f *fixture) checkAfterKill(dir string, made *bulkheadv1.Template) {
	f.t.Helper()
	if _, err := f.GetPool("p"); fault.KindOf(err) == fault.NotFound {
		_, err := f.CreatePool(&bulkheadv1.CreatePoolRequest{Name: "p", Template: made.GetId(), Size: 2}, "tester")
		f.must(err)
	}
	for _, name := range claimed {
		if _, err := os.Stat(filepath.Join(dir, name+".deleted")); err == nil {
			if f.Delete(f.t.Context(), name, "", true) == nil {
				f.untilGone(name)
			}
			continue
		}
		box, _, err := f.Claim(f.t.Context(), claimRequest(dir, name), "tester") // as a client does that got no answer
		f.must(err)
		f.settled(name)
		ran, began := "", time.Now()
		for ran == "" && time.Since(began) < time.Minute {
			time.Sleep(5 * time.Millisecond)
			b, _ := os.ReadFile(filepath.Join(dir, name+".ran"))
			ran = string(b)
		}
		if ran != "x\n" {
			f.t.Errorf("the command of %v ran: %q", box, ran)
		}
		if r := f.renewedAs(name); !strings.Contains(r, `"`+name+`"`) {
			f.t.Errorf("%s is renewed as %s", name, r)
		}
	}
	p := f.untilFull("p")
	var hosts []string
	for _, m := range f.membersOf(p) {
		hosts = append(hosts, m.GetSandbox().GetName())
	}
	for _, box := range f.All() {
		host := f.recordOf(box.GetName()).GetHostName()
		if host == "" {
			host = box.GetName()
		}
		hosts = append(hosts, host)
	}
	slices.Sort(hosts)
	for began := time.Now(); !slices.Equal(f.workers(), hosts); time.Sleep(5 * time.Millisecond) { // members of a deleted pool go in the background
		if time.Since(began) > time.Minute {
			f.t.Errorf("bundles are %q, and not %q", f.workers(), hosts)
			break
		}
	}
	if _, given, _, _ := f.Share(); given.GetCpus() != float64(len(hosts)) {
		f.t.Errorf("%v CPUs are given to %q", given.GetCpus(), hosts)
	}
}
