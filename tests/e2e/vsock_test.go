package e2e

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
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/devices/virtio/vsock"
	"github.com/bulkhead-vm/bulkhead/hypervisor/guest"
	"github.com/bulkhead-vm/bulkhead/tests/e2e/exchange"
	"github.com/bulkhead-vm/bulkhead/vmm/machine"
)

// Connections of TestManyVsockConnections.
const (
	quickEach = 496 // that the guest makes, and that the host makes
	slowEach  = 4   // more, whose answering end doesn't read for a while
	askSize   = 1024
	// More than the guest takes without reading.
	slowAskSize = 320 << 10
)

// TestManyVsockConnections has a thousand connections between a guest and
// programs of the host, all of them open before the first ends, half of them
// made by each side. Each moves data both ways and is closed one half after
// the other. Those whose end doesn't read hold up no other.
func TestManyVsockConnections(t *testing.T) {
	cmd, stdin, out := startPeers(t)
	out.waitFor(t, "listening")
	before := openFiles(t, workerOf(t, cmd))
	h := &hostPeers{t: t, path: filepath.Join(cmd.Dir, "v.sock"), readOn: make(chan struct{})}
	h.everyone.Add(2 * (quickEach + slowEach))
	start := time.Now()
	h.listen(exchange.SlowPort, slowEach, &h.slow)
	h.listen(exchange.Port, quickEach, &h.quick)
	fmt.Fprintln(stdin, "go")
	h.ask(exchange.SlowPort, slowEach, slowAskSize, &h.slow)
	h.ask(exchange.Port, quickEach, askSize, &h.quick)

	h.everyone.Wait()
	t.Logf("%d connections open at once after %v, with %d files open in the worker", 2*(quickEach+slowEach),
		time.Since(start).Round(time.Millisecond), openFiles(t, workerOf(t, cmd)))
	h.quick.Wait() // while the slow ones are where they were
	t.Logf("all but the slow ones at their ends after %v", time.Since(start).Round(time.Millisecond))
	if n := h.slowDone.Load(); n != 0 {
		t.Errorf("%d of those who should be slow have finished: nobody was held up", n)
	}
	close(h.readOn)
	fmt.Fprintln(stdin, "answer")
	h.slow.Wait()
	out.waitFor(t, fmt.Sprintf("asked %d failed 0\n", quickEach+slowEach))
	t.Logf("all at their ends after %v", time.Since(start).Round(time.Millisecond))
	eventually(t, "the worker has closed what it opened", func() bool { return openFiles(t, workerOf(t, cmd)) <= before })
	stdin.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// startPeers starts the guest's side.
func startPeers(t *testing.T) (cmd *exec.Cmd, stdin io.WriteCloser, out *lockedBuffer) {
	t.Helper()
	cmd = bulkhead(t, "run", "-i", "--memory", "256M", "--vsock", "v.sock", "--rootfs", shellRoot(t), "--",
		"peers", fmt.Sprint(quickEach), fmt.Sprint(slowEach))
	out = new(lockedBuffer)
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	return cmd, stdin, out
}

// hostPeers is the host's side.
type hostPeers struct {
	t           *testing.T
	path        string
	readOn      chan struct{}  // closed when the slow ones are to read
	everyone    sync.WaitGroup // until all connections are there
	quick, slow sync.WaitGroup // until those are done
	slowDone    atomic.Int32
}

// listen answers n connections of the guest's to a port.
func (h *hostPeers) listen(port uint32, n int, group *sync.WaitGroup) {
	l, err := net.Listen("unix", fmt.Sprintf("%s_%d", h.path, port))
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { l.Close() })
	group.Go(func() {
		for i := range n {
			c, err := l.Accept()
			if err != nil {
				h.t.Errorf("after %d connections of the guest: %v", i, err)
				return
			}
			group.Go(func() { h.answer(c.(*net.UnixConn), port == exchange.SlowPort) })
		}
	})
}

func (h *hostPeers) answer(c *net.UnixConn, slow bool) {
	err := exchange.Accept(c)
	h.everyone.Done()
	h.everyone.Wait()
	if slow {
		<-h.readOn
	}
	if err = errors.Join(err, exchange.Answer(c)); err != nil {
		h.t.Errorf("answer to the guest: %v", err)
	}
}

// ask makes n connections to a guest port, a few at once.
func (h *hostPeers) ask(port uint32, n, size int, group *sync.WaitGroup) {
	room := make(chan struct{}, 8)
	for i := range n {
		room <- struct{}{}
		group.Go(func() {
			c, err := dialGuest(h.path, port)
			if err == nil {
				err = exchange.Accepted(c)
			}
			<-room
			h.everyone.Done()
			if err == nil {
				h.everyone.Wait()
				err = exchange.Ask(c, byte(i), size)
			}
			if port == exchange.SlowPort {
				h.slowDone.Add(1)
			}
			if err != nil {
				h.t.Errorf("connection %d to guest port %d: %v", i, port, err)
			}
		})
	}
}

// bufferedConn is a connection whose first line was read.
type bufferedConn struct {
	*net.UnixConn
	r *bufio.Reader
}

func (c bufferedConn) Read(p []byte) (int, error) { return c.r.Read(p) }

// dialGuest connects to a guest port by way of a vsock's socket.
func dialGuest(path string, port uint32) (exchange.Conn, error) {
	c, err := net.Dial("unix", path)
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(c, "CONNECT %d\n", port)
	b := bufferedConn{c.(*net.UnixConn), bufio.NewReader(c)}
	line, readErr := b.r.ReadString('\n')
	if err = errors.Join(err, readErr); err != nil || !strings.HasPrefix(line, "OK ") {
		return nil, errors.Join(fmt.Errorf("answer to CONNECT: %q, %w", line, err), c.Close())
	}
	return b, nil
}

// openFiles returns how many descriptors a process has.
func openFiles(t *testing.T, pid int) int {
	t.Helper()
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

// TestTransportReset tells a running guest that its connections are gone: a new
// one to the program that listens there comes about as soon as its kernel has
// taken the event, and those from before have ended.
func TestTransportReset(t *testing.T) {
	t.Parallel()
	requireKVM(t)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	path := filepath.Join(workDir(t), "v.sock")
	agent, err := guest.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer agent.Close()
	socket, err := vsock.New(vsock.Config{CID: 3, Routes: []vsock.Route{{Path: path}}})
	if err != nil {
		t.Fatal(err)
	}
	bootHere(t, machine.Config{Devices: []machine.Device{{Name: "vsock", Device: socket}}})
	ready, err := agent.Accept(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer ready.Close()
	const agentPort = 1024
	before, err := dialGuest(path, agentPort)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	socket.ResetTransport()
	if n, err := before.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("read %d, %v of a connection from before; want the end", n, err)
	}
	after, err := dialGuest(path, agentPort)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("a new connection %v after the reset", time.Since(start).Round(time.Millisecond))
	after.Close()
	before.Close()
}
