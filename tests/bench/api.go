package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/bulkhead-vm/bulkhead/hypervisor/guest"
	"github.com/bulkhead-vm/bulkhead/hypervisor/instance"
	"github.com/bulkhead-vm/bulkhead/hypervisor/supervise"

	agentv1 "github.com/bulkhead-vm/bulkhead/guestkernel/agentapi/v1"
	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// callLimit is how long a call of the API may take; a start is the longest.
const callLimit = 3 * time.Minute

// measureAPI times what goes through the node daemon, in turns with the same
// without it.
func (b *bench) measureAPI() error {
	d, err := b.launchDaemon()
	if err != nil {
		return err
	}
	if err = b.measureCreates(d); err == nil {
		err = b.measureExecs(d)
	}
	return errors.Join(err, d.close())
}

// measureCreates times a sandbox's creation up to its first KVM_RUN.
func (b *bench) measureCreates(d *daemon) error {
	ours, alone := series{Name: "bulkheadd"}, series{Name: "bulkhead-vmm alone"}
	for i := range b.calls + 1 {
		o, err := d.createOne()
		if err != nil {
			return fmt.Errorf("bulkheadd: %w", err)
		}
		a, err := b.start(b.nodesMachine())
		if err != nil {
			return err
		}
		if i == 0 {
			continue // to warm the page cache
		}
		ours.Samples = append(ours.Samples, ms(o))
		alone.Samples = append(alone.Samples, ms(a))
	}
	b.report.add(result{Name: "create → first KVM_RUN", Unit: "ms", Series: []series{ours, alone}})
	return nil
}

// nodesMachine is a machine as the node makes it for an empty specification.
func (b *bench) nodesMachine() *vmmv1.MachineConfig {
	m := b.agentMachine()
	m.Cmdline, m.Balloon = "", true
	m.Disks = []*vmmv1.Disk{{Path: filepath.Join(b.bin, "guest/userland.erofs"), ReadOnly: true}}
	return m
}

// createOne makes a sandbox and starts it; it is gone on return.
func (d *daemon) createOne() (time.Duration, error) {
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	const name = "create"
	launched := now()
	if _, err := d.CreateSandbox(ctx, &bulkheadv1.CreateSandboxRequest{Name: name}); err != nil {
		return 0, err
	}
	starting, callOff := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.StartSandbox(starting, &bulkheadv1.StartSandboxRequest{Name: name}) // is called off
	}()
	took, err := d.firstRun(ctx, name, launched)
	callOff()
	<-done
	return took, errors.Join(err, d.delete(ctx, name))
}

// firstRun waits until a sandbox's vCPU runs.
func (d *daemon) firstRun(ctx context.Context, sandbox string, launched time.Duration) (time.Duration, error) {
	w, err := d.worker(ctx, sandbox)
	if err != nil {
		return 0, err
	}
	v := &vm{launched: launched, worker: w}
	took, err := v.firstRun()
	return took, errors.Join(err, w.Detach())
}

// measureExecs times a command in a guest from its start to its exit code.
func (b *bench) measureExecs(d *daemon) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*callLimit)
	defer cancel()
	const name = "exec"
	if _, err := d.CreateSandbox(ctx, &bulkheadv1.CreateSandboxRequest{Name: name}); err != nil {
		return err
	}
	if _, err := d.StartSandbox(ctx, &bulkheadv1.StartSandboxRequest{Name: name}); err != nil {
		return errors.Join(err, d.delete(ctx, name))
	}
	i, err := b.bootInstance(ctx)
	if err != nil {
		return errors.Join(err, d.delete(ctx, name))
	}
	ours, alone := series{Name: "bulkheadd"}, series{Name: "guest's agent alone"}
	for n := 0; n <= b.calls && err == nil; n++ {
		var o, a time.Duration
		if o, err = d.exec(ctx, name); err == nil {
			a, err = execAlone(ctx, i)
		}
		if n > 0 { // the first fills caches
			ours.Samples = append(ours.Samples, ms(o))
			alone.Samples = append(alone.Samples, ms(a))
		}
	}
	b.report.add(result{Name: "exec of true, round trip", Unit: "ms", Series: []series{ours, alone}})
	return errors.Join(err, i.Close(), d.delete(ctx, name))
}

// bootInstance boots a guest as the node does, without a daemon.
func (b *bench) bootInstance(ctx context.Context) (*instance.Instance, error) {
	host := instance.Host{
		RuntimeDir: filepath.Join(b.work, "run"),
		Worker:     supervise.Options{Path: filepath.Join(b.bin, "bulkhead-vmm"), Tied: true},
	}
	m := b.nodesMachine()
	m.Vsock = nil
	plan := instance.Plan{Name: "alone", Machine: m, Setup: &agentv1.SetupRequest{
		Root: &agentv1.RootFS{Device: "/dev/vda", FsType: "erofs", Upper: &agentv1.RootFS_Tmpfs{Tmpfs: &agentv1.TmpfsUpper{}}},
	}}
	i, err := instance.Launch(host, plan, new(instance.Timings))
	if err != nil {
		return nil, err
	}
	if _, err := i.Boot(ctx); err != nil {
		return nil, errors.Join(err, i.Close())
	}
	return i, nil
}

func (d *daemon) exec(ctx context.Context, sandbox string) (time.Duration, error) {
	began := now()
	p, err := d.Exec(ctx, sandbox, &bulkheadv1.Command{Args: []string{"true"}})
	if err != nil {
		return 0, err
	}
	if err := drain(p.Stdout, p.Stderr); err != nil {
		return 0, err
	}
	_, err = p.Wait()
	return now() - began, err
}

func execAlone(ctx context.Context, i *instance.Instance) (time.Duration, error) {
	began := now()
	p, err := i.Exec(ctx, guest.Command{Args: []string{"true"}})
	if err != nil {
		return 0, err
	}
	defer p.Close()
	if err := drain(p.Stdout, p.Stderr); err != nil {
		return 0, err
	}
	_, err = i.Wait(ctx, p)
	return now() - began, err
}

// drain reads streams to their ends, one after the other: they are empty.
func drain(streams ...io.Reader) error {
	for _, s := range streams {
		if _, err := io.Copy(io.Discard, s); err != nil {
			return err
		}
	}
	return nil
}
