package agent

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	agentv1 "github.com/bulkhead-vm/bulkhead/guestkernel/agentapi/v1"
)

func wantCode(t *testing.T, err error, want codes.Code) {
	t.Helper()
	if got := status.Code(err); got != want {
		t.Errorf("error %v with code %v, want %v", err, got, want)
	}
}

func TestLifeInTheInitramfs(t *testing.T) {
	m := boot(t, programs(t, t.TempDir()), "quiet")
	ctx := t.Context()
	_, err := m.Start(ctx, &agentv1.StartRequest{Id: "early", Args: []string{"sh"}})
	wantCode(t, err, codes.FailedPrecondition)
	for _, bad := range []*agentv1.SetupRequest{
		{Hostname: "no such"},
		{Nameservers: []string{"no such"}},
		{Interfaces: []*agentv1.NetworkInterface{{Name: "eth0", Addresses: []string{"no such"}}}},
		{Root: &agentv1.RootFS{}},
	} {
		_, err := m.Setup(ctx, bad)
		wantCode(t, err, codes.InvalidArgument)
	}
	_, err = m.Setup(ctx, &agentv1.SetupRequest{Root: &agentv1.RootFS{Device: "/dev/no-such"}})
	wantCode(t, err, codes.NotFound)
	_, err = m.Setup(ctx, &agentv1.SetupRequest{Interfaces: []*agentv1.NetworkInterface{{Name: "eth7"}}})
	wantCode(t, err, codes.NotFound)

	s, err := m.Setup(ctx, &agentv1.SetupRequest{Hostname: "box", Nameservers: []string{"10.0.0.1"}})
	must(t, err)
	if s.GetKernelRelease() == "" {
		t.Error("no kernel release")
	}
	_, err = m.Setup(ctx, &agentv1.SetupRequest{})
	wantCode(t, err, codes.FailedPrecondition)
	if got, want := m.run("names", "uname -n; cat /etc/resolv.conf; cat /etc/hosts"),
		"box\nnameserver 10.0.0.1\n127.0.0.1\tlocalhost\n::1\tlocalhost\n127.0.1.1\tbox\n"; got != want {
		t.Errorf("names are %q, want %q", got, want)
	}
	w, err := m.Wait(ctx, &agentv1.WaitRequest{Id: "names"})
	if err != nil || w.GetExitCode() != 0 || w.GetMaxRssBytes() == 0 {
		t.Errorf("Wait = %v, %v", w, err)
	}
	_, err = m.Wait(ctx, &agentv1.WaitRequest{Id: "nobody"})
	wantCode(t, err, codes.NotFound)
	_, err = m.Signal(ctx, &agentv1.SignalRequest{Id: "nobody", Signal: 1})
	wantCode(t, err, codes.NotFound)
	_, err = m.Resize(ctx, &agentv1.ResizeRequest{Id: "nobody"})
	wantCode(t, err, codes.NotFound)
	h, err := m.Health(ctx, &agentv1.HealthRequest{})
	if err != nil || h.GetMemoryTotalBytes() == 0 || h.GetUptimeNs() == 0 || h.GetProcesses() != 0 {
		t.Errorf("Health = %v, %v", h, err)
	}
	m.powerOff(0)
}

func (m *machine) powerOff(grace time.Duration) {
	m.t.Helper()
	_, err := m.PowerOff(m.t.Context(), &agentv1.PowerOffRequest{GraceNs: uint64(grace)})
	must(m.t, err)
	// So ends the first process of a PID namespace that turns it off.
	if sig := m.ended(); sig != unix.SIGINT {
		m.t.Errorf("the agent ended by %v", sig)
	}
}

// TestPowerOffGrace has one process that ends by itself when asked to, and one
// that doesn't.
func TestPowerOffGrace(t *testing.T) {
	m := boot(t, programs(t, t.TempDir()), "")
	_, err := m.Setup(t.Context(), &agentv1.SetupRequest{})
	must(t, err)
	polite := m.start("polite", "trap 'echo bye; exit' TERM; echo hi; while :; do sleep 0.01; done")
	stubborn := m.start("stubborn", "trap 'echo no' TERM; echo hi; while :; do sleep 0.01; done")
	for _, c := range []io.Reader{polite, stubborn} {
		if _, err := io.ReadFull(c, make([]byte, 3)); err != nil {
			t.Fatal(err)
		}
	}
	begin := time.Now()
	done := make(chan struct{})
	go func() { defer close(done); m.powerOff(300 * time.Millisecond) }()
	for c, want := range map[io.Reader]string{polite: "bye\n", stubborn: "no\n"} {
		if b, err := io.ReadAll(c); string(b) != want {
			t.Errorf("last words %q, %v; want %q", b, err, want)
		}
		c.(io.Closer).Close()
	}
	<-done
	if took := time.Since(begin); took < 300*time.Millisecond || took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}

// TestSignalTurnsOff: as "poweroff" of many a userland does, and the kernel for a
// pressed power button.
func TestSignalTurnsOff(t *testing.T) {
	for _, sig := range []string{"USR2", "38"} {
		t.Run(sig, func(t *testing.T) {
			m := boot(t, programs(t, t.TempDir()), "")
			_, err := m.Setup(t.Context(), &agentv1.SetupRequest{})
			must(t, err)
			m.run("hup", "kill -HUP 1")
			if _, err := m.Health(t.Context(), &agentv1.HealthRequest{}); err != nil {
				t.Errorf("after SIGHUP: %v", err)
			}
			m.start("off", "kill -"+sig+" 1")
			if sig := m.ended(); sig != unix.SIGINT {
				t.Errorf("the agent ended by %v", sig)
			}
		})
	}
}

// TestLifeOnADisk goes from the initramfs to an overlay above a disk.
func TestLifeOnADisk(t *testing.T) {
	dir := programs(t, t.TempDir())
	must(t, os.Mkdir(filepath.Join(dir, "etc"), 0o755), os.WriteFile(filepath.Join(dir, "etc/hosts"), []byte("1.2.3.4 box\n"), 0o644))
	image := filepath.Join(t.TempDir(), "image")
	must(t, os.WriteFile(image, nil, 0o600), os.Truncate(image, 32<<20))
	output(t, "mkfs.ext4", "-q", "-d", dir, image)
	device := strings.TrimSpace(output(t, "losetup", "-f", "--show", image))
	t.Cleanup(func() { output(t, "losetup", "-d", device) })

	m := boot(t, t.TempDir(), "")
	_, err := m.Setup(t.Context(), &agentv1.SetupRequest{Hostname: "box", Root: &agentv1.RootFS{
		Device: device, Upper: &agentv1.RootFS_Writable{Writable: &agentv1.WritableRoot{}},
	}})
	must(t, err)
	if got, want := m.run("run", "echo kept > /kept; cat /etc/hosts; cat /proc/1/mounts | { read dev rest; echo $rest; }"), "1.2.3.4 box\n"; !strings.HasPrefix(got, want) {
		t.Errorf("wrote %q, want %q", got, want)
	}
	cut := m.unfinished("/kept")
	m.run("begun", "while [ ! -s /.bulkhead-*.part ]; do sleep 0.01; done")
	m.powerOff(time.Second)
	wantCode(t, <-cut, codes.FailedPrecondition)
	if out := output(t, "debugfs", "-R", "ls -p /", image); strings.Contains(out, ".part") {
		t.Errorf("a file that was being written is left:\n%s", out)
	}
	if out := output(t, "dumpe2fs", "-h", image); strings.Contains(out, "needs_recovery") {
		t.Errorf("the disk wasn't left clean:\n%s", out)
	}
	if out := output(t, "debugfs", "-R", "cat /kept", image); !strings.Contains(out, "kept\n") {
		t.Errorf("the disk has %q", out)
	}
}

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skip(err)
	}
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}
