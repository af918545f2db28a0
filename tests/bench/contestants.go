package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/hypervisor/supervise"

	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

const memoryMiB = 128

// readyLine is what the guest's agent writes to its console when it can be
// called; both machines' guests do, so that one clock stops both.
const (
	readyWord = "bulkhead.ready=console"
	readyLine = "bulkhead-agent: ready"
	bootLimit = 90 * time.Second
)

// now reads CLOCK_MONOTONIC, which the contestants report in as well.
func now() time.Duration {
	var ts unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) // can't fail
	return time.Duration(ts.Nano())
}

// vm is a machine of ours, started.
type vm struct {
	launched time.Duration
	bundle   *supervise.Bundle
	worker   *supervise.Worker
	console  *os.File
}

// agentMachine is a machine whose guest is the agent's.
func (b *bench) agentMachine() *vmmv1.MachineConfig {
	return &vmmv1.MachineConfig{
		MemoryBytes: memoryMiB << 20, Kernel: b.kernel(), Initrd: b.initrd(), Cmdline: readyWord,
		Vsock: &vmmv1.Vsock{Paths: []*vmmv1.VsockPath{{Path: filepath.Join(b.work, "v.sock")}}},
	}
}

// launch starts a worker and its machine.
func (b *bench) launch(m *vmmv1.MachineConfig) (*vm, error) {
	return b.launchAs("bench", &vmmv1.CreateRequest{Machine: m})
}

// launchAs starts one of several.
func (b *bench) launchAs(name string, r *vmmv1.CreateRequest) (*vm, error) {
	bundle, err := supervise.NewBundle(filepath.Join(b.work, "run"), name)
	if err != nil {
		return nil, err
	}
	console, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer write.Close()
	v := &vm{launched: now(), bundle: bundle, console: console}
	v.worker, err = supervise.Start(bundle, supervise.Options{
		Path: filepath.Join(b.bin, "bulkhead-vmm"), Tied: true, Console: write,
	})
	if err != nil {
		return nil, err
	}
	r.Start = true
	if _, err = v.worker.API.Create(context.Background(), r); err != nil {
		return nil, errors.Join(err, v.close())
	}
	return v, nil
}

func (v *vm) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return errors.Join(v.worker.Shutdown(ctx), v.console.Close(), v.bundle.Remove())
}

// step returns when the worker was over with a stage, since its launch.
func (v *vm) step(name string) (time.Duration, error) {
	s, err := v.worker.API.Stats(context.Background(), &vmmv1.StatsRequest{})
	if err != nil {
		return 0, err
	}
	for _, step := range s.GetSteps() {
		if step.GetName() == name {
			return time.Duration(step.GetAtNs()) - v.launched, nil
		}
	}
	return 0, fmt.Errorf("the worker reports no step %q", name)
}

// waitReady reads the console until the agent is ready.
func waitReady(console io.Reader, since time.Duration) (time.Duration, error) {
	found := make(chan time.Duration, 1)
	var last atomic.Value
	last.Store("")
	go func() {
		lines := bufio.NewScanner(console)
		for lines.Scan() {
			last.Store(lines.Text())
			if strings.Contains(lines.Text(), readyLine) {
				found <- now() - since
				break
			}
		}
		io.Copy(io.Discard, console)
	}()
	select {
	case d := <-found:
		return d, nil
	case <-time.After(bootLimit):
		return 0, fmt.Errorf("the guest did not come up within %v; its console said last: %q", bootLimit, last.Load())
	}
}

// qemu is a running QEMU microvm machine.
type qemu struct {
	launched time.Duration
	cmd      *exec.Cmd
	console  io.Reader
	shim     string
}

// launchQEMU starts the same kernel with the words it needs there: nothing
// completes XSAVE, so the guest must do without.
func (b *bench) launchQEMU(initrd, cmdline string, devices ...string) (*qemu, error) {
	q := &qemu{shim: filepath.Join(b.work, "shim.txt")}
	os.Remove(q.shim)
	q.cmd = exec.Command("qemu-system-x86_64", append([]string{
		"-name", "bench,debug-threads=on", // names for vCPUs' threads
		"-M", "microvm,accel=kvm,pit=on,pic=on,rtc=off,acpi=off", "-cpu", "host,-arch-capabilities",
		"-nographic", "-no-reboot", "-nodefaults", "-serial", "stdio", "-m", fmt.Sprint(memoryMiB),
		"-kernel", b.kernel(), "-initrd", initrd, "-append", cmdline,
	}, devices...)...)
	q.cmd.Env = append(os.Environ(), "LD_PRELOAD="+b.shim, "BENCH_SHIM="+q.shim)
	pipe, err := q.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	q.console = pipe
	q.launched = now()
	return q, q.cmd.Start()
}

// firstRun waits for the shim's note of the first KVM_RUN.
func (q *qemu) firstRun() (time.Duration, error) {
	for start := time.Now(); time.Since(start) < bootLimit; time.Sleep(10 * time.Millisecond) {
		b, err := os.ReadFile(q.shim)
		var entered, left int64
		if n, _ := fmt.Sscan(string(b), &entered, &left); err == nil && n == 2 {
			return time.Duration(entered) - q.launched, nil
		}
	}
	return 0, errors.New("QEMU never entered its guest")
}

func (q *qemu) close() {
	q.cmd.Process.Kill()
	q.cmd.Wait()
}
