package e2e

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/hypervisor/guest"
	"github.com/bulkhead-vm/bulkhead/hypervisor/supervise"

	agentv1 "github.com/bulkhead-vm/bulkhead/guestkernel/agentapi/v1"
	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// runningMachine is a worker with a guest, both at their own APIs: for what the
// CLI doesn't offer.
type runningMachine struct {
	t      *testing.T
	ctx    context.Context
	worker *supervise.Worker
	agent  *guest.Agent
}

// startMachine boots a guest of c, to which it adds what boots, and before its
// disks a root file system.
func startMachine(t *testing.T, ctx context.Context, c *vmmv1.MachineConfig) *runningMachine {
	t.Helper()
	requireKVM(t)
	built, err := filepath.Abs(bin)
	if err != nil {
		t.Fatal(err)
	}
	dir := workDir(t)
	b, err := supervise.NewBundle(filepath.Join(dir, runDir), "box")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Remove(); waitClean(t, dir) })
	vsock := b.Path("v.sock")
	listener, err := guest.Listen(vsock)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	w, err := supervise.Start(b, supervise.Options{Path: filepath.Join(built, "bulkhead-vmm"), Tied: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := w.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	c.Kernel, c.Initrd = filepath.Join(built, "guest/vmlinux"), filepath.Join(built, "guest/initramfs.cpio")
	root := &vmmv1.Disk{Path: filepath.Join(built, "guest/userland.erofs"), ReadOnly: true}
	c.Disks = append([]*vmmv1.Disk{root}, c.Disks...)
	c.Vsock = &vmmv1.Vsock{Paths: []*vmmv1.VsockPath{{Path: vsock}}}
	ctx, ended := context.WithCancelCause(ctx)
	m := &runningMachine{t: t, ctx: ctx, worker: w}
	_, err = w.API.Create(ctx, &vmmv1.CreateRequest{Machine: c})
	m.must(err)
	_, err = w.API.Start(ctx, &vmmv1.StartRequest{})
	m.must(err)
	go func() {
		r, err := w.API.Wait(ctx, &vmmv1.WaitRequest{})
		ended(fmt.Errorf("the machine ended: %v, %w", r, err))
	}()
	m.agent, err = listener.Accept(ctx)
	m.must(err)
	t.Cleanup(func() { m.agent.Close() })
	_, err = m.agent.Setup(ctx, &agentv1.SetupRequest{Root: &agentv1.RootFS{
		Device: "/dev/vda", FsType: "erofs", Upper: &agentv1.RootFS_Tmpfs{Tmpfs: &agentv1.TmpfsUpper{}},
	}})
	m.must(err)
	return m
}

func (m *runningMachine) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(m.worker.Explain(err), context.Cause(m.ctx))
	}
}

// start starts a command in the guest, whose output nobody minds.
func (m *runningMachine) start(args ...string) *guest.Process {
	m.t.Helper()
	p, err := m.agent.Start(m.ctx, guest.Command{Args: args})
	m.must(err)
	m.t.Cleanup(func() { p.Close() })
	go io.Copy(io.Discard, p.Stdout)
	go io.Copy(os.Stderr, p.Stderr)
	return p
}

// run runs a command in the guest, which must succeed.
func (m *runningMachine) run(args ...string) {
	m.t.Helper()
	end, err := m.start(args...).Wait(m.ctx)
	m.must(err)
	if end.GetExitCode() != 0 {
		m.t.Fatalf("%s: %v", args, end)
	}
}

func (m *runningMachine) stats() *vmmv1.StatsResponse {
	m.t.Helper()
	s, err := m.worker.API.Stats(m.ctx, &vmmv1.StatsRequest{})
	m.must(err)
	return s
}

func (m *runningMachine) setBalloon(bytes uint64) {
	m.t.Helper()
	_, err := m.worker.API.SetBalloon(m.ctx, &vmmv1.SetBalloonRequest{Bytes: bytes})
	m.must(err)
}

func (m *runningMachine) eventually(what string, is func() bool) {
	m.t.Helper()
	for start := time.Now(); !is(); time.Sleep(200 * time.Millisecond) {
		if time.Since(start) > 3*time.Minute {
			m.t.Fatalf("not within 3 minutes: %s; statistics %v", what, m.stats())
		}
	}
}
