package e2e

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/devices/backend/tap/taptest"
	"github.com/bulkhead-vm/bulkhead/hypervisor/client"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// clones is how many go on from one snapshot, at once. Where guests' kernels are
// emulated, each takes a processor for seconds.
var clones = flag.Int("clones", 4, "guests that TestClones has go on at once")

// halfWay computes, stands half-way until somebody writes to a pipe, and goes on. It says
// what must be right, and another, in each clone. While it waits it takes no time: the
// others need it.
const halfWay = `
import os, socket, time
total = sum(i*i for i in range(200000))
os.mkfifo("/tmp/go")
print("half", flush=True)
open("/tmp/go").read()
total += sum(i*i for i in range(200000, 400000))
mac = open("/sys/class/net/eth0/address").read().strip()
s = socket.create_connection(("%s", %d), timeout=120)
s.sendall(mac.encode())
echo = s.recv(100).decode()
print("done", total, os.urandom(16).hex(), time.time(), mac, echo, socket.gethostname(), flush=True)
`

// TestClones saves a guest in the middle of a Python program and has others go on
// from there at once. Each comes to the program's end by itself: with random numbers, a
// MAC address and a name that no other has, at the right time, with a network that
// works, and with a command that was run in it.
func TestClones(t *testing.T) {
	newBridge(t)
	echo := listen(t)
	go serveEach(echo)
	n := newDaemonNode(t)
	c := n.dial()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	n.saveHalfWay(ctx, c, fmt.Sprintf(halfWay, hostAddress, port(echo)))
	ends := make([]*ending, *clones)
	var all sync.WaitGroup
	for i := range *clones {
		all.Go(func() { ends[i] = begin(ctx, c, i) })
	}
	all.Wait()
	turns := make(chan struct{}, 2) // processors have to do for all of them
	for i, e := range ends {
		all.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			e.goOn(ctx, c, i)
		})
	}
	all.Wait()
	seen := map[string]bool{}
	for i, e := range ends {
		if e.err != nil {
			t.Errorf("clone %d: %v\n%s", i, e.err, e.output)
			continue
		}
		e.check(t, i, seen)
	}
}

// saveHalfWay boots a guest, has it run the program up to its middle, and takes the
// snapshot "half" of it.
func (n *daemonNode) saveHalfWay(ctx context.Context, c *client.Client, program string) {
	t := n.t
	t.Helper()
	const name = "original"
	_, err := c.CreateSandbox(ctx, &bulkheadv1.CreateSandboxRequest{Name: name, Spec: &bulkheadv1.SandboxSpec{
		RootFs:   &bulkheadv1.RootFS{Path: n.python()},
		Networks: []*bulkheadv1.Network{bridged("10.98.0.2/24")},
		Command:  &bulkheadv1.Command{Args: []string{"python3", "-c", program}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.StartSandbox(ctx, &bulkheadv1.StartSandboxRequest{Name: name}); err != nil {
		t.Fatal(err)
	}
	if err := waitOutput(ctx, c, name, "half"); err != nil {
		t.Fatal(err)
	}
	s, err := c.Snapshot(ctx, &bulkheadv1.CreateSnapshotRequest{Sandbox: name, Name: "half"})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d MiB of %d stored, pause %v", s.GetStoredBytes()>>20, s.GetMemoryBytes()>>20, s.GetPause().AsDuration())
	if _, err := c.DeleteSandbox(ctx, &bulkheadv1.DeleteSandboxRequest{Name: name, Force: true}); err != nil {
		t.Fatal(err)
	}
}

// newBridge has the test in a network of its own, with a bridge that is the host's.
func newBridge(t *testing.T) {
	t.Helper()
	taptest.Namespace(t, taptest.Options{})
	for _, args := range []string{"link add br0 type bridge", "addr add " + hostAddress + "/24 dev br0", "link set br0 up", "link set lo up"} {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v\n%s", args, err, out)
		}
	}
}

func bridged(address string) *bulkheadv1.Network {
	return &bulkheadv1.Network{Host: &bulkheadv1.Network_Bridge{Bridge: "br0"}, Addresses: []string{address}}
}

// waitOutput follows the log of a sandbox's command until it has a word.
func waitOutput(ctx context.Context, c *client.Client, name, word string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var out bytes.Buffer
	err := followLog(ctx, c, name, func(b []byte) bool {
		out.Write(b)
		return !strings.Contains(out.String(), word)
	})
	if err != nil {
		return fmt.Errorf("%q doesn't come after %q: %w", word, out.String(), err)
	}
	return nil
}

// errSeen ends a log that has said enough.
var errSeen = errors.New("seen")

// followLog has more look at what a sandbox's command says, until that is enough.
func followLog(ctx context.Context, c *client.Client, name string, more func([]byte) bool) error {
	err := c.Logs(ctx, &bulkheadv1.GetLogsRequest{Sandbox: name, Follow: true}, func(e *bulkheadv1.LogEntry) error {
		if !more(e.GetData()) {
			return errSeen
		}
		return nil
	})
	if errors.Is(err, errSeen) {
		return nil
	}
	return errors.Join(err, io.ErrUnexpectedEOF)
}

// ending is what a clone came to.
type ending struct {
	name   string
	err    error
	output string
	at     time.Time // when its last line was read, or a moment later
	took   time.Duration
}

// begin makes the i-th clone.
func begin(ctx context.Context, c *client.Client, i int) *ending {
	e := &ending{name: fmt.Sprintf("clone%d", i)}
	start := time.Now()
	_, e.err = c.CreateSandbox(ctx, &bulkheadv1.CreateSandboxRequest{Name: e.name, Spec: &bulkheadv1.SandboxSpec{
		Snapshot: "half", Networks: []*bulkheadv1.Network{bridged(fmt.Sprintf("10.98.0.%d/24", 10+i))},
	}})
	if e.err == nil {
		_, e.err = c.StartSandbox(ctx, &bulkheadv1.StartSandboxRequest{Name: e.name})
	}
	e.took = time.Since(start)
	return e
}

// goOn lets a clone go on, waits for its end and deletes it.
func (e *ending) goOn(ctx context.Context, c *client.Client, i int) {
	if e.err == nil {
		_, e.err = output(ctx, c, e.name, "sh", "-c", "echo > /tmp/go")
	}
	if e.err == nil {
		e.err = followLog(ctx, c, e.name, func(b []byte) bool {
			e.output += string(b)
			return !strings.Contains(e.output, "done") || !strings.HasSuffix(e.output, "\n")
		})
		e.at = time.Now()
	}
	_, err := c.DeleteSandbox(ctx, &bulkheadv1.DeleteSandboxRequest{Name: e.name, Force: true})
	e.err = errors.Join(e.err, err)
}

// check holds a clone's last line against what must be there.
func (e *ending) check(t *testing.T, i int, seen map[string]bool) {
	t.Helper()
	_, line, _ := strings.Cut(e.output, "done ")
	f := strings.Fields(line)
	if len(f) != 6 {
		t.Errorf("clone %d says %q", i, e.output)
		return
	}
	sum := 0
	for k := range 400000 {
		sum += k * k
	}
	if f[0] != strconv.Itoa(sum) {
		t.Errorf("clone %d computed %s, want %d", i, f[0], sum)
	}
	now, err := strconv.ParseFloat(f[2], 64)
	if late := float64(e.at.UnixNano())/1e9 - now; err != nil || late < -1 || late > 60 {
		t.Errorf("clone %d: its clock says %s, %.1f s ago (%v)", i, f[2], late, err)
	}
	if _, err := net.ParseMAC(f[3]); err != nil || f[4] != f[3] {
		t.Errorf("clone %d: MAC %s, the network's echo %s (%v)", i, f[3], f[4], err)
	}
	for what, value := range map[string]string{"random number": f[1], "MAC": f[3], "name": f[5]} {
		if seen[what+value] {
			t.Errorf("clone %d has the %s of another, %s", i, what, value)
		}
		seen[what+value] = true
	}
	t.Logf("clone %d ran after %v: %v", i, e.took.Round(time.Millisecond), f[1:])
}
