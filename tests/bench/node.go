package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"google.golang.org/grpc"

	"github.com/bulkhead-vm/bulkhead/hypervisor/client"
	"github.com/bulkhead-vm/bulkhead/hypervisor/supervise"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// readyLimit is how long a daemon may take to serve.
const readyLimit = 20 * time.Second

// daemonConfig is a daemon's. It gives more than the host has: forks share theirs; and
// they may take long where there are many and guests' kernels are emulated.
const daemonConfig = `[node]
runtime_dir = %q
state_dir = %q
cache_dir = %q
worker = %q
guest_dir = %q
[listen]
unix = %q
[cgroups]
parent = %q
[capacity]
cpu_overcommit = 1000.0
memory_overcommit = 100.0
[limits]
boot_timeout = "20m"
`

// daemon is a running bulkheadd and a client of it.
type daemon struct {
	*client.Client
	dir string
	cmd *exec.Cmd
	log *os.File
}

// launchDaemon starts one that has everything below a directory of its own.
func (b *bench) launchDaemon() (*daemon, error) {
	dir, err := os.MkdirTemp(b.work, "node")
	if err != nil {
		return nil, err
	}
	d := &daemon{dir: dir}
	config := fmt.Sprintf(daemonConfig,
		d.path("run"), d.path("state"), d.path("cache"), filepath.Join(b.bin, "bulkhead-vmm"), filepath.Join(b.bin, "guest"), d.path("api.sock"), controlGroup())
	if err := os.WriteFile(d.path("config.toml"), []byte(config), 0o600); err != nil {
		return nil, err
	}
	if d.log, err = os.Create(d.path("log")); err != nil {
		return nil, err
	}
	d.cmd = exec.Command(filepath.Join(b.bin, "bulkheadd"), "--config", d.path("config.toml"))
	d.cmd.Stderr = d.log
	if err := d.cmd.Start(); err != nil {
		return nil, errors.Join(err, d.log.Close())
	}
	if err := d.connect(); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

func (d *daemon) path(name string) string { return filepath.Join(d.dir, name) }

// connect waits until the daemon serves.
func (d *daemon) connect() (err error) {
	if d.Client, err = client.Dial("unix://"+d.path("api.sock"), client.TLS{}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), readyLimit)
	defer cancel()
	if _, err = d.Node.GetNodeInfo(ctx, &bulkheadv1.GetNodeInfoRequest{}, grpc.WaitForReady(true)); err != nil {
		log, _ := os.ReadFile(d.path("log"))
		err = fmt.Errorf("bulkheadd: %w\n%s", err, log)
	}
	return err
}

// worker connects to the worker of a sandbox, which may not be there yet.
func (d *daemon) worker(ctx context.Context, sandbox string) (*supervise.Worker, error) {
	for {
		bundle, err := supervise.OpenBundle(d.path("run/sandboxes"), sandbox)
		if err == nil {
			var w *supervise.Worker
			if w, err = supervise.Attach(ctx, bundle, supervise.Identity{}); err == nil {
				return w, nil
			}
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("the worker of %s: %w", sandbox, err)
		}
		time.Sleep(time.Millisecond)
	}
}

// delete ends a sandbox.
func (d *daemon) delete(ctx context.Context, sandbox string) error {
	_, err := d.DeleteSandbox(ctx, &bulkheadv1.DeleteSandboxRequest{Name: sandbox, Force: true})
	return err
}

// close ends the daemon, and what is left of its sandboxes: workers outlive it.
func (d *daemon) close() error {
	var err error
	if d.Client != nil {
		err = errors.Join(d.deleteLeft(), d.Client.Close())
	}
	return errors.Join(err, d.cmd.Process.Signal(syscall.SIGTERM), d.cmd.Wait(), d.log.Close(), removeControlGroup())
}

func (d *daemon) deleteLeft() error {
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	r, err := d.ListSandboxes(ctx, &bulkheadv1.ListSandboxesRequest{PageSize: 1000})
	if err != nil {
		return nil // it doesn't serve, and its log says why
	}
	var names []string
	for _, s := range r.GetSandboxes() {
		names = append(names, s.GetName())
	}
	return d.deleteAll(ctx, names)
}

// controlGroup is the control group of daemons' workers, in every hierarchy.
func controlGroup() string { return fmt.Sprintf("/bulkhead-bench-%d", os.Getpid()) }

// removeControlGroup removes it, which is empty.
func removeControlGroup() error {
	groups, err := filepath.Glob("/sys/fs/cgroup/*" + controlGroup())
	unified, _ := filepath.Glob("/sys/fs/cgroup" + controlGroup())
	for _, path := range append(groups, unified...) {
		if e := os.Remove(path); e != nil && !errors.Is(e, os.ErrNotExist) {
			err = errors.Join(err, fmt.Errorf("a control group that was made for this: %w", e))
		}
	}
	return err
}
