package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/bulkhead-vm/bulkhead/guestkernel/initramfs"

	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// diskSize is the guests' disk: all of it is in the host's page cache.
const diskSize = 64 << 20

// loadLimit is how long a guest may take for all its tasks, its boot included.
const loadLimit = 3 * time.Minute

// task is what a guest did, and what it cost the host.
type task struct {
	name     string
	requests int
	took     time.Duration // by the guest's clock
	used     usage
}

// makeLoad builds the guests' initramfs and disk.
func (b *bench) makeLoad() error {
	program := filepath.Join(b.work, "load")
	if out, err := exec.Command("gcc", "-O2", "-static", "-o", program, "tests/bench/c/load.c").CombinedOutput(); err != nil {
		return fmt.Errorf("gcc: %w (make setup installs it)\n%s", err, out)
	}
	init, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	f, err := os.Create(b.loadInitrd())
	if err != nil {
		return err
	}
	if err := errors.Join(initramfs.Write(f, init), f.Close()); err != nil {
		return err
	}
	return os.WriteFile(b.loadDisk(), make([]byte, diskSize), 0o600)
}

func (b *bench) loadInitrd() string { return filepath.Join(b.work, "load.cpio") }
func (b *bench) loadDisk() string   { return filepath.Join(b.work, "disk") }

// loadOurs runs the tasks in a guest of ours, which sees the same CPU as
// QEMU's.
func (b *bench) loadOurs() ([]task, error) {
	v, err := b.launch(&vmmv1.MachineConfig{
		MemoryBytes: memoryMiB << 20, Kernel: b.kernel(), Initrd: b.loadInitrd(), Cmdline: profileWithoutXSAVE(),
		Disks:    []*vmmv1.Disk{{Path: b.loadDisk()}},
		Networks: []*vmmv1.Network{{Tap: benchTap}},
	})
	if err != nil {
		return nil, err
	}
	tasks, err := watchLoad(v.console, v.worker.Identity().PID)
	return tasks, errors.Join(err, v.close())
}

// loadQEMU runs the tasks in a guest of QEMU's, on devices of the same kinds.
func (b *bench) loadQEMU() ([]task, error) {
	q, err := b.launchQEMU(b.loadInitrd(), qemuCmdline(),
		"-global", "virtio-mmio.force-legacy=false",
		"-drive", "file="+b.loadDisk()+",format=raw,if=none,id=disk", "-device", "virtio-blk-device,drive=disk",
		"-netdev", "tap,id=net,ifname="+benchTap+",script=no,downscript=no", "-device", "virtio-net-device,netdev=net",
		"-device", "virtio-rng-device")
	if err != nil {
		return nil, err
	}
	defer q.close()
	return watchLoad(q.console, q.cmd.Process.Pid)
}

// watchLoad reads a guest's console and looks at its process between the lines
// that begin and end a task.
func watchLoad(console io.Reader, pid int) (tasks []task, err error) {
	done := make(chan error, 1)
	w := &loadWatch{in: bufio.NewReader(console), pid: pid}
	go func() { done <- w.run() }()
	select {
	case err := <-done:
		return w.tasks, err
	case <-time.After(loadLimit):
		return nil, fmt.Errorf("the guest stands still")
	}
}

type loadWatch struct {
	in    *bufio.Reader
	pid   int
	tasks []task
}

func (w *loadWatch) run() error {
	var begin usage
	for {
		if _, err := w.in.Peek(1); err != nil {
			return fmt.Errorf("the guest's console ended: %w", err)
		}
		// At the first byte of a line: the rest costs the host as well.
		now, err := usageOf(w.pid)
		if err != nil {
			return err
		}
		line, err := w.in.ReadString('\n')
		if err != nil {
			return err
		}
		var t task
		switch n, _ := fmt.Sscanf(line, "load: end %s %d %d", &t.name, &t.requests, &t.took); {
		case n == 3:
			t.used = now.since(begin)
			w.tasks = append(w.tasks, t)
		case strings.HasPrefix(line, "load: begin"):
			if begin, err = usageOf(w.pid); err != nil {
				return err
			}
		case strings.HasPrefix(line, "load: done"):
			return nil
		case strings.HasPrefix(line, "init: "), strings.Contains(line, "Kernel panic"):
			return fmt.Errorf("the guest says: %s", strings.TrimSpace(line))
		}
	}
}
