package workertest

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/containerd/ttrpc"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/forward"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/process"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/ready"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/server"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/streams"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/transfer"

	agentv1 "github.com/bulkhead-vm/bulkhead/guestkernel/agentapi/v1"
)

// Environment of the guest's process beside envGuest.
const (
	envHost   = "BULKHEAD_FAKE_HOST" // the socket that takes the agent's announcement
	envSlow   = "BULKHEAD_FAKE_SLOW"
	envNoThaw = "BULKHEAD_FAKE_NOTHAW"
	envFrom   = "BULKHEAD_FAKE_FROM" // a snapshot's state, to go on from
)

// guest is the process in place of a machine.
type guest struct {
	cmd      *exec.Cmd
	lifeline *os.File
	gone     chan struct{}
}

// startGuest starts it: this program again. It ends with this process, however
// that ends.
func startGuest(bundle, vsock, saved string, env ...string) (*guest, error) {
	dir := filepath.Join(bundle, "guest")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer read.Close()
	g := &guest{cmd: exec.Command("/proc/self/exe"), lifeline: write, gone: make(chan struct{})}
	g.cmd.Env = []string{envGuest + "=" + dir, envHost + "=" + vsock + "_1024", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	g.cmd.Env = append(g.cmd.Env, env...)
	if saved != "" {
		g.cmd.Env = append(g.cmd.Env, envFrom+"="+saved)
	}
	g.cmd.ExtraFiles = []*os.File{read}
	g.cmd.Stderr = os.Stderr
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID}
	if err := g.cmd.Start(); err != nil {
		write.Close()
		return nil, fmt.Errorf("fake guest (it takes root): %w", err)
	}
	go func() {
		g.cmd.Wait()
		close(g.gone)
	}()
	return g, nil
}

func (g *guest) kill() {
	g.cmd.Process.Kill()
	g.lifeline.Close()
	<-g.gone
}

// runGuest is the guest's process.
func runGuest(dir string) error {
	go func() {
		io.Copy(io.Discard, os.NewFile(3, "lifeline"))
		os.Exit(0) // and with it all of the namespace
	}()
	if os.Getenv(envSlow) != "" {
		time.Sleep(500 * time.Millisecond)
	}
	hub := streams.NewHub()
	table := process.NewTable(hub, process.Anywhere)
	service := server.New(server.Config{
		Hub: hub, Table: table, Files: transfer.New(hub),
		Off: func(bool) func() {
			return func() {
				time.Sleep(20 * time.Millisecond) // for the answer
				os.Exit(0)
			}
		},
	})
	rpc, err := ttrpc.NewServer()
	if err != nil {
		return err
	}
	agent := &fakeAgent{Service: service, dir: dir, stuck: os.Getenv(envNoThaw) != ""}
	agentv1.RegisterAgentService(rpc, agent)
	var ports [3]net.Listener
	for i := range ports {
		path := portSocket(dir, 1024+i)
		os.Remove(path)
		if ports[i], err = net.Listen("unix", path); err != nil {
			return err
		}
	}
	control := &counting{Listener: ports[0]}
	go hub.Serve(ports[1])
	go forward.Serve(ports[2], &hub.Buffers)
	announcer := ready.Announcer{
		Dial: func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", os.Getenv(envHost))
		},
		Calls: control.calls,
	}
	if from := os.Getenv(envFrom); from != "" {
		if err := agent.goOn(from); err != nil {
			return err
		}
	} else {
		go announcer.Run(context.Background())
	}
	return rpc.Serve(context.Background(), control)
}
