package agent

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/ttrpc"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/mounts"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/ready"

	agentv1 "github.com/bulkhead-vm/bulkhead/guestkernel/agentapi/v1"
)

// The agent under test is the first process of namespaces of its own: this
// test binary, started again with these.
const (
	envInitramfs   = "BULKHEAD_TEST_INITRAMFS"
	envCommandLine = "BULKHEAD_TEST_COMMAND_LINE"
)

// Descriptors that it inherits.
const (
	fdControl = 3 + iota
	fdStdio
	fdHost
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(envInitramfs); dir != "" {
		fmt.Fprintln(os.Stderr, "agent:", beInit(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// beInit makes a copy of dir in memory the root, as if the kernel had unpacked
// an initramfs. Nothing of the host's disks may be mounted in it: the agent
// makes disks read-only in the end.
func beInit(dir string) error {
	if os.Getpid() != 1 {
		return errors.New("not in a PID namespace")
	}
	for _, step := range []func() error{
		func() error { return unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") },
		func() error { return unix.Mount("initramfs", "/mnt", "tmpfs", 0, "") },
		func() error { return os.CopyFS("/mnt", os.DirFS(dir)) },
		func() error { return unix.Chroot("/mnt") },
		func() error { return unix.Chdir("/") },
		mounts.Proc,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	control, err := net.FileListener(os.NewFile(fdControl, "control"))
	if err != nil {
		return err
	}
	stdio, err := net.FileListener(os.NewFile(fdStdio, "stdio"))
	if err != nil {
		return err
	}
	return Run(Config{
		Control: control,
		Stdio:   stdio,
		Dial: func(context.Context) (net.Conn, error) {
			f := os.NewFile(fdHost, "host")
			defer f.Close()
			return net.FileConn(f)
		},
		CommandLine: os.Getenv(envCommandLine),
		PowerOff:    func() { unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF) },
	})
}

// machine is a running agent and the host's side of it.
type machine struct {
	agentv1.AgentService
	t     *testing.T
	stdio string
	hello net.Conn
	cmd   *exec.Cmd
}

func boot(t *testing.T, initramfs, commandLine string) *machine {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	dir := t.TempDir()
	m := &machine{t: t, stdio: filepath.Join(dir, "stdio")}
	control, stdio := filepath.Join(dir, "control"), m.stdio
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	theirs, ours := os.NewFile(uintptr(pair[0]), "theirs"), os.NewFile(uintptr(pair[1]), "ours")
	m.hello, err = net.FileConn(ours)
	must(t, err, ours.Close())

	m.cmd = exec.Command("/proc/self/exe")
	m.cmd.Env = []string{envInitramfs + "=" + initramfs, envCommandLine + "=" + commandLine}
	m.cmd.Stderr = os.Stderr
	m.cmd.ExtraFiles = []*os.File{listen(t, control), listen(t, stdio), theirs}
	m.cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWNET | unix.CLONE_NEWIPC,
	}
	if err := m.cmd.Start(); err != nil {
		t.Skipf("no namespaces: %v", err)
	}
	t.Cleanup(func() { m.cmd.Process.Kill(); m.cmd.Wait() })
	for _, f := range m.cmd.ExtraFiles {
		f.Close()
	}
	line, err := bufio.NewReader(m.hello).ReadString('\n')
	if line != ready.Line {
		t.Fatalf("the host was told %q, %v", line, err)
	}
	conn, err := net.Dial("unix", control)
	must(t, err)
	client := ttrpc.NewClient(conn)
	t.Cleanup(func() { client.Close() })
	m.AgentService = agentv1.NewAgentClient(client)
	return m
}

func listen(t *testing.T, path string) *os.File {
	t.Helper()
	l, err := net.Listen("unix", path)
	must(t, err)
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	f, err := l.(*net.UnixListener).File()
	must(t, err, l.Close())
	return f
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// ended waits for the agent's end and returns the signal that did it.
func (m *machine) ended() syscall.Signal {
	m.t.Helper()
	timer := time.AfterFunc(20*time.Second, func() { m.cmd.Process.Kill() })
	defer timer.Stop()
	m.cmd.Wait()
	return m.cmd.ProcessState.Sys().(syscall.WaitStatus).Signal()
}

func (m *machine) connect(id, stream string) net.Conn {
	m.t.Helper()
	c, err := net.Dial("unix", m.stdio)
	must(m.t, err)
	m.t.Cleanup(func() { c.Close() })
	_, err = fmt.Fprintf(c, "bulkhead-stdio/1 %s %s\n", id, stream)
	must(m.t, err, c.SetReadDeadline(time.Now().Add(20*time.Second)))
	return c
}

// start starts a shell script and returns its output's connection.
func (m *machine) start(id, script string) net.Conn {
	m.t.Helper()
	out := m.connect(id, "stdio")
	m.connect(id, "stderr")
	_, err := m.Start(m.t.Context(), &agentv1.StartRequest{Id: id, Args: []string{"sh", "-c", script}})
	must(m.t, err)
	return out
}

// run returns what a shell script writes.
func (m *machine) run(id, script string) string {
	m.t.Helper()
	out := m.start(id, script)
	b, err := io.ReadAll(out)
	must(m.t, err)
	return string(b)
}

// programs fills dir with the programs that tests run.
func programs(t *testing.T, dir string) string {
	t.Helper()
	must(t, os.Chmod(dir, 0o755))
	for _, name := range []string{"sh", "cat", "sleep", "uname"} {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Skip(err)
		}
		copyFile(t, path, filepath.Join(dir, "bin", name))
		out, err := exec.Command("ldd", path).Output()
		if err != nil {
			continue // static
		}
		for _, word := range strings.Fields(string(out)) {
			if strings.HasPrefix(word, "/") {
				copyFile(t, word, filepath.Join(dir, word))
			}
		}
	}
	return dir
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	must(t, err, os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, b, 0o755))
}
