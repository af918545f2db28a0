package e2e

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/devices/backend/file"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/balloon"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/blk"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/vsock"
	"github.com/bulkhead-vm/bulkhead/hypervisor/guest"
	"github.com/bulkhead-vm/bulkhead/vmm/hostprofile"
	"github.com/bulkhead-vm/bulkhead/vmm/kvm"
	"github.com/bulkhead-vm/bulkhead/vmm/machine"

	agentv1 "github.com/bulkhead-vm/bulkhead/guestkernel/agentapi/v1"
)

// TestBalloon has a guest use memory and free it: the host gets it back when the
// balloon is inflated.
func TestBalloon(t *testing.T) {
	requireKVM(t)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	b := balloon.New(balloon.Config{NoReporting: true})
	a := startMachine(t, ctx, b)

	const used, size = 16 << 20, 48 << 20
	before := residentSet(t)
	run(t, ctx, a, "dd", "if=/dev/zero", "of=/tmp/x", "bs=1048576", "count=16")
	run(t, ctx, a, "rm", "/tmp/x")
	peak := residentSet(t)
	if peak < before+used/4 {
		t.Fatalf("the guest wrote %d bytes, and this process grew from %d to %d", used, before, peak)
	}
	b.SetTarget(size)
	eventually(t, "the balloon is full", func() bool { return b.Actual() == size })
	if now := residentSet(t); now > peak-used/4 {
		t.Errorf("with the balloon full, this process has %d bytes, %d before", now, peak)
	}
	eventually(t, "the guest tells its memory", func() bool { b.RefreshStats(); return b.Stats().Total > 64<<20 })
	b.SetTarget(0)
	eventually(t, "the balloon is empty", func() bool { return b.Actual() == 0 })
	run(t, ctx, a, "true")
}

// startMachine boots a guest in this process.
func startMachine(t *testing.T, ctx context.Context, b *balloon.Device) *guest.Agent {
	t.Helper()
	dir := workDir(t)
	path := filepath.Join(dir, "v.sock")
	agent, err := guest.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	sys, err := kvm.Open("")
	if err != nil {
		t.Fatal(err)
	}
	defer sys.Close()
	disk, err := file.Open(filepath.Join(bin, "guest/userland.erofs"), file.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { disk.Close() })
	root, err := blk.New(blk.Config{Backend: disk})
	if err != nil {
		t.Fatal(err)
	}
	socket, err := vsock.New(vsock.Config{CID: 3, Routes: []vsock.Route{{Path: path}}})
	if err != nil {
		t.Fatal(err)
	}
	kernel, initrd := openFile(t, "guest/vmlinux"), openFile(t, "guest/initramfs.cpio")
	info, err := initrd.Stat()
	if err != nil {
		t.Fatal(err)
	}
	m, err := machine.New(sys, machine.Config{
		Kernel: kernel, Initrd: io.NewSectionReader(initrd, 0, info.Size()), Profile: hostprofile.Detect(),
		Devices: []machine.Device{{Name: "root", Device: root}, {Name: "vsock", Device: socket}, {Name: "balloon", Device: b}},
		Report:  func(device string, err error) { t.Errorf("%s: %v", device, err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	m.Start()
	a, err := agent.Accept(ctx)
	if err != nil {
		t.Fatal(err)
	}
	_, err = a.Setup(ctx, &agentv1.SetupRequest{Root: &agentv1.RootFS{
		Device: "/dev/vda", Upper: &agentv1.RootFS_Tmpfs{Tmpfs: &agentv1.TmpfsUpper{}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func openFile(t *testing.T, name string) *os.File {
	t.Helper()
	f, err := os.Open(filepath.Join(bin, name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func run(t *testing.T, ctx context.Context, a *guest.Agent, args ...string) {
	t.Helper()
	p, err := a.Start(ctx, guest.Command{Args: args})
	if err != nil {
		t.Fatal(err)
	}
	go io.Copy(io.Discard, p.Stdout)
	go io.Copy(os.Stderr, p.Stderr)
	end, err := p.Wait(ctx)
	if err != nil || end.GetExitCode() != 0 {
		t.Fatalf("%s: %v, %v", args[0], end, err)
	}
}

// residentSet returns the bytes of memory that this process has.
func residentSet(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(b))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for start := time.Now(); !is(); time.Sleep(100 * time.Millisecond) {
		if time.Since(start) > 2*time.Minute {
			t.Fatalf("not within 2 minutes: %s", what)
		}
	}
}
