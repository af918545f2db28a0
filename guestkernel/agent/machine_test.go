package agent

import (
	"bufio"
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

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/ready"

	agentv1 "github.com/bulkhead-vm/bulkhead/guestkernel/agentapi/v1"
)

// machine is a running agent and the host's side of it.
type machine struct {
	agentv1.AgentService
	t       *testing.T
	dir     string // of its sockets
	hello   net.Conn
	control net.Conn
	cmd     *exec.Cmd

	transfer     net.Conn // of unfinished
	cannotFreeze bool     // this host has no cgroup v2
}

// Names of sockets in a machine's directory.
const (
	socketControl = "control"
	socketStdio   = "stdio"
	socketForward = "forward"
)

func boot(t *testing.T, initramfs, commandLine string) *machine {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	m := &machine{t: t, dir: t.TempDir()}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	theirs, ours := os.NewFile(uintptr(pair[0]), "theirs"), os.NewFile(uintptr(pair[1]), "ours")
	m.hello, err = net.FileConn(ours)
	must(t, err, ours.Close())

	m.cmd = exec.Command("/proc/self/exe")
	m.cmd.Env = []string{envInitramfs + "=" + initramfs, envCommandLine + "=" + commandLine}
	m.cmd.Stderr = os.Stderr
	m.cmd.ExtraFiles = []*os.File{m.listen(socketControl), m.listen(socketStdio), m.listen(socketForward), theirs}
	m.cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWNET | unix.CLONE_NEWIPC,
	}
	if fd, err := ownCgroup(t); err == nil {
		m.cmd.SysProcAttr.UseCgroupFD, m.cmd.SysProcAttr.CgroupFD = true, fd
		m.cmd.Env = append(m.cmd.Env, envCgroup+"="+cgroupOwn)
	} else {
		t.Logf("the agent can't freeze: %v", err)
		m.cannotFreeze = true
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
	m.call()
	return m
}

// call connects as a host that comes, or comes again.
func (m *machine) call() {
	m.t.Helper()
	m.control = m.dial(socketControl)
	client := ttrpc.NewClient(m.control)
	m.t.Cleanup(func() { client.Close() })
	m.AgentService = agentv1.NewAgentClient(client)
}

func (m *machine) dial(socket string) *net.UnixConn {
	m.t.Helper()
	c, err := net.Dial("unix", filepath.Join(m.dir, socket))
	must(m.t, err)
	m.t.Cleanup(func() { c.Close() })
	return c.(*net.UnixConn)
}

func (m *machine) listen(socket string) *os.File {
	m.t.Helper()
	l, err := net.Listen("unix", filepath.Join(m.dir, socket))
	must(m.t, err)
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	f, err := l.(*net.UnixListener).File()
	must(m.t, err, l.Close())
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

func (m *machine) connect(id, stream string) *net.UnixConn {
	m.t.Helper()
	c := m.dial(socketStdio)
	_, err := fmt.Fprintf(c, "bulkhead-stdio/1 %s %s\n", id, stream)
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
