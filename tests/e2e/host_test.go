package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// devices replaces /dev by one with little in it.
const devices = "mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3"

// TestHosts has hosts with something missing: one line that names the remedy,
// exit code 125, nothing left. Each is a mount namespace of its own.
func TestHosts(t *testing.T) {
	tests := []struct {
		name, setup string
		args        []string
		want        []string
	}{
		{"no KVM", devices, []string{"run", "--", "true"}, []string{"/dev/kvm", "modprobe"}},
		{
			"no permission",
			devices + " && mknod -m 000 /dev/kvm c 10 232 && exec setpriv --bounding-set -dac_override,-dac_read_search",
			[]string{"run", "--", "true"},
			[]string{"/dev/kvm", "permission denied", "usermod -aG kvm"},
		},
		{
			"disk full", "mkdir full && mount -t tmpfs -o size=64k none full && export BULKHEAD_CACHE=$PWD/full && exec",
			[]string{"run", "--rootfs", "root", "--", "true"},
			[]string{"no space left", "BULKHEAD_CACHE"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cmd := onHost(t, tt.setup, tt.args...)
			var stderr strings.Builder
			cmd.Stderr = &stderr
			cmd.Run()
			text := stderr.String()
			if code := cmd.ProcessState.ExitCode(); code != 125 || strings.Count(text, "\n") != 1 {
				t.Errorf("exit code %d, %q", code, text)
			}
			for _, want := range tt.want {
				if !strings.Contains(text, want) {
					t.Errorf("%q doesn't say %q", text, want)
				}
			}
		})
	}
}

// TestDoctorWithoutKVM names the remedy too.
func TestDoctorWithoutKVM(t *testing.T) {
	out, err := onHost(t, devices, "doctor").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "MISSING  KVM") || !strings.Contains(string(out), "modprobe kvm") {
		t.Errorf("%v\n%s", err, out)
	}
}

// onHost is the CLI with setup's mounts, which nobody else sees.
func onHost(t *testing.T, setup string, args ...string) *exec.Cmd {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("mounts and device nodes need root")
	}
	cmd := bulkhead(t, args...)
	root := filepath.Join(cmd.Dir, "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "big"), make([]byte, 1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(setup, "exec") {
		setup += " && exec"
	}
	cmd.Args = append([]string{"unshare", "--mount", "sh", "-c", setup + ` "$@"`, "sh", cmd.Path}, args...)
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		t.Fatal(err)
	}
	cmd.Path = unshare
	return cmd
}
