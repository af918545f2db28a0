package daemon

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bulkhead-vm/bulkhead/boot/boottest"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// saysHi is a kernel that writes two bytes to the serial port, and then waits for
// ever.
var saysHi = []byte{
	0x66, 0xba, 0xf8, 0x03, // mov $0x3f8, %dx
	0xb0, 'H', 0xee, // mov $'H', %al; out %al, %dx
	0xb0, '\n', 0xee,
	0xf4, 0xeb, 0xfd, // hlt; jmp to it
}

// TestConfined runs the daemon and a real worker with no more than the service
// leaves them, and has them do what takes most. Each capability is taken away
// then: what nobody misses isn't to be there.
func TestConfined(t *testing.T) {
	if _, err := os.Stat("/dev/kvm"); err != nil {
		t.Skip("NOT TESTED: ", err)
	}
	text, err := os.ReadFile(serviceUnit)
	if err != nil {
		t.Fatal(err)
	}
	worker := filepath.Join(t.TempDir(), "bulkhead-vmm")
	cmd := exec.Command("go", "build", "-o", worker, "../../cmd/bulkhead-vmm")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if said := complaints(t, worker, string(text)); said != "" {
		t.Errorf("as the service has it: %s", said)
	}
	for name := range capabilities {
		if _, err := os.Stat("/sys/module/kvm_pvm"); err != nil && name == "CAP_SYS_NICE" {
			continue // timers are late on such hosts only
		}
		said := complaints(t, worker, strings.Replace(string(text), name, "", 1))
		if said == "" {
			t.Errorf("nobody misses %s", name)
		}
		t.Logf("without %s: %s", name, said)
	}
}

// complaints returns what goes wrong on a host whose service is confined by a unit,
// if anything: with a tap on a bridge, an image and a disk of another user's, a
// machine on KVM, a control group, and an API socket for a group.
func complaints(t *testing.T, worker, unit string) string {
	t.Helper()
	const extra = "[listen]\nunix_group = \"nogroup\"\n"
	h := newHost(t, extra)
	h.worker = worker
	h.configure(extra)
	h.must(os.WriteFile(h.path("unit"), []byte(unit), 0o600))
	runtime.LockOSThread() // never unlocked: this thread is in a network namespace of its own
	h.must(unix.Unshare(unix.CLONE_NEWNET))
	if out, err := exec.Command("ip", "link", "add", "br0", "type", "bridge").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	h.foreign()

	self, err := os.Executable()
	h.must(err)
	d := h.run(exec.Command(self, h.daemon, "--config", h.path("config.toml")), envConfine+"="+h.path("unit"))
	for !strings.Contains(d.log.String(), `"msg":"ready"`) {
		if said := scan(d.log.String(), "bulkheadd: "); len(said) > 0 {
			return said[0]
		}
		time.Sleep(10 * time.Millisecond)
	}
	mustBeConfined(t, d.cmd.Process.Pid)
	c := h.dial()
	defer d.kill()
	defer h.clear(c)
	if _, err = c.CreateSandbox(t.Context(), &bulkheadv1.CreateSandboxRequest{Name: "box", Spec: &bulkheadv1.SandboxSpec{
		RootFs:      &bulkheadv1.RootFS{Path: h.path("images/root")},
		Kernel:      &bulkheadv1.Kernel{Image: h.path("images/kernel")},
		Disks:       []*bulkheadv1.Disk{{Path: h.path("images/disk")}},
		Networks:    []*bulkheadv1.Network{{Host: &bulkheadv1.Network_Bridge{Bridge: "br0"}}},
		BootTimeout: durationpb.New(bootTime),
	}}); err != nil {
		return err.Error()
	}
	started := make(chan error, 1)
	go func() {
		_, err := c.StartSandbox(t.Context(), &bulkheadv1.StartSandboxRequest{Name: "box"})
		started <- err
	}()
	var said []string
	for err == nil {
		if log, _ := os.ReadFile(h.path("run/sandboxes/box/worker.log")); len(log) > 0 {
			said = []string{string(log)}
		}
		select {
		case err = <-started:
		case <-time.After(10 * time.Millisecond):
		}
	}
	if !strings.Contains(err.Error(), "did not come up within") {
		return err.Error()
	}
	if console, _ := os.ReadFile(h.path("state/sandboxes/box/console.log")); !strings.Contains(string(console), "H") {
		said = append(said, "the guest said nothing")
	}
	for _, level := range []string{"warn", "error"} {
		said = append(said, scan(d.log.String(), `"level":"`+level+`"`)...)
	}
	return strings.Join(said, "\n")
}

// bootTime is how long the guest is waited for, which never comes up.
const bootTime = 2 * time.Second

// foreign makes what the sandbox takes, as another user's.
func (h *host) foreign() {
	h.t.Helper()
	h.must(os.MkdirAll(h.path("images/root/dir"), 0o700))
	h.must(os.WriteFile(h.path("images/root/dir/file"), []byte("private"), 0o600))
	h.must(os.WriteFile(h.path("images/kernel"), boottest.ELF{Code: saysHi}.Marshal(), 0o600))
	h.must(os.WriteFile(h.path("images/disk"), make([]byte, 1<<20), 0o600))
	h.must(filepath.WalkDir(h.path("images"), func(path string, _ os.DirEntry, err error) error {
		h.must(err)
		return os.Chown(path, stranger, stranger)
	}))
}

// mustBeConfined checks that this test is one.
func mustBeConfined(t *testing.T, pid int) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil || !strings.Contains(string(b), "Seccomp:\t2") || strings.Contains(string(b), "CapEff:\t000001ff") {
		t.Errorf("%s\n%v", b, err)
	}
}
