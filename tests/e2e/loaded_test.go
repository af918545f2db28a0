package e2e

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bulkhead-vm/bulkhead/hypervisor/client"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// underLoad writes numbered records to a file system on a disk, each of which it has
// flushed before the next, and has numbered blocks come back from the host by TCP and
// by vsock; until it is stopped. A connection that is lost is made
// again. Every second it says how far it is.
const underLoad = `
import ctypes, os, signal, socket, struct, threading, time
os.makedirs("/mnt", exist_ok=True)
if ctypes.CDLL(None).mount(b"/dev/vdb", b"/mnt", b"ext4", 0, None) != 0:
    raise SystemExit("mount")
count = dict(disk=0, net=0, vsock=0, again=0, wrong=0)
enough = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: enough.set())

def disk():
    with open("/mnt/records", "ab", buffering=0) as f:
        while not enough.is_set():
            n = count["disk"]
            f.write(struct.pack("<Q", n) * 512)
            with open("/mnt/small%%d" %% (n %% 64), "w") as small:
                small.write(str(n))
            os.fsync(f.fileno())
            count["disk"] = n + 1

def talk(what, family, address):
    c = None
    while not enough.is_set():
        try:
            if c is None:
                c = socket.socket(family)
                c.settimeout(5)
                c.connect(address)
            block = struct.pack("<Q", count[what]) * 1024
            c.sendall(block)
            got = bytearray()
            while len(got) < len(block):
                piece = c.recv(len(block) - len(got))
                if not piece:
                    raise OSError("closed")
                got += piece
            if got != block:
                count["wrong"] += 1
            count[what] += 1
        except OSError:
            c.close()
            c = None
            count["again"] += 1
            time.sleep(.2)

work = [
    threading.Thread(target=disk),
    threading.Thread(target=talk, args=("net", socket.AF_INET, ("%s", %d))),
    threading.Thread(target=talk, args=("vsock", socket.AF_VSOCK, (2, %d))),
]
for w in work:
    w.start()
def tell(word):
    print(word, *count.values(), flush=True)
while not enough.wait(1):
    tell("at")
for w in work:
    w.join()
if ctypes.CDLL(None).umount(b"/mnt") != 0:
    raise SystemExit("umount")
tell("end")
`

const loadPort = 7000 // of the vsock

// load is how far the program is: records written, blocks that came back, connections
// made again, and blocks that came back as others.
type load struct{ disk, net, vsock, again, wrong int }

func (l load) beyond(n int, before load) bool {
	return l.disk >= before.disk+n && l.net >= before.net+n && l.vsock >= before.vsock+n
}

// TestSavedUnderLoad saves a guest whose disk, network and vsock are all at work. It
// goes on without having noticed; and another goes on from there, with connections of
// its own, a file system in order and every record on it that was written.
func TestSavedUnderLoad(t *testing.T) {
	newBridge(t)
	tcp := listen(t)
	go serveEach(tcp)
	n := newDaemonNode(t)
	c := n.dial()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	original := n.loaded("original", "")
	original.RootFs = &bulkheadv1.RootFS{Path: n.python()}
	original.Command = &bulkheadv1.Command{Args: []string{"python3", "-c", fmt.Sprintf(underLoad, hostAddress, port(tcp), loadPort)}}
	makeDisk(t, n.disk("original"))
	n.run(ctx, c, "original", original)
	before := n.reach(ctx, c, "original", 5, load{})
	for i := range 2 {
		name := fmt.Sprint("loaded", i)
		s, err := c.Snapshot(ctx, &bulkheadv1.CreateSnapshotRequest{Sandbox: "original", Name: name})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d MiB of memory, pause %v, after %+v", name, s.GetStoredBytes()>>20, s.GetPause().AsDuration().Round(time.Millisecond), before)
		before = n.reach(ctx, c, "original", 2, before)
	}
	end := n.finish(ctx, c, "original")
	if end.again != 0 || end.wrong != 0 {
		t.Errorf("the one that was saved has noticed: %+v", end)
	}
	n.checkDisk("original", end)

	n.run(ctx, c, "clone", n.loaded("clone", "loaded1"))
	n.reach(ctx, c, "clone", 5, before)
	if end = n.finish(ctx, c, "clone"); end.again == 0 || end.wrong != 0 {
		t.Errorf("the one that went on: %+v; want connections made again, and nothing wrong", end)
	}
	n.checkDisk("clone", end)
}

// loaded is a sandbox with a disk, a network and a vsock of its own, whose vsock is
// answered.
func (n *daemonNode) loaded(name, snapshot string) *bulkheadv1.SandboxSpec {
	n.t.Helper()
	address := map[string]string{"original": "10.98.0.2/24", "clone": "10.98.0.3/24"}[name]
	path := filepath.Join(n.dir, name+".sock")
	l, err := net.Listen("unix", fmt.Sprintf("%s_%d", path, loadPort))
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { l.Close() })
	go serveEach(l)
	return &bulkheadv1.SandboxSpec{
		Snapshot: snapshot, VsockPath: path, Networks: []*bulkheadv1.Network{bridged(address)},
		Disks: []*bulkheadv1.Disk{{Path: n.disk(name)}},
	}
}

func (n *daemonNode) disk(name string) string { return filepath.Join(n.dir, "disks", name) }

// run makes a sandbox and starts it.
func (n *daemonNode) run(ctx context.Context, c *client.Client, name string, s *bulkheadv1.SandboxSpec) {
	n.t.Helper()
	_, err := c.CreateSandbox(ctx, &bulkheadv1.CreateSandboxRequest{Name: name, Spec: s})
	if err == nil {
		_, err = c.StartSandbox(ctx, &bulkheadv1.StartSandboxRequest{Name: name})
	}
	if err != nil {
		n.t.Fatal(err)
	}
}

// reach waits until a sandbox's program is so much further in everything than before.
func (n *daemonNode) reach(ctx context.Context, c *client.Client, name string, further int, before load) (now load) {
	n.t.Helper()
	if err := eachLine(ctx, c, name, func(line string) bool {
		fmt.Sscanf(line, "at %d %d %d %d %d", &now.disk, &now.net, &now.vsock, &now.again, &now.wrong)
		return !now.beyond(further, before)
	}); err != nil {
		n.t.Fatalf("%s came to %+v from %+v: %v", name, now, before, err)
	}
	return now
}

// finish has a sandbox's program end, says where it was then, and removes the sandbox.
func (n *daemonNode) finish(ctx context.Context, c *client.Client, name string) (end load) {
	n.t.Helper()
	_, err := c.StopSandbox(ctx, &bulkheadv1.StopSandboxRequest{Name: name, GracePeriod: durationpb.New(2 * time.Minute)})
	if err != nil {
		n.t.Fatal(err)
	}
	if err := eachLine(ctx, c, name, func(line string) bool {
		got, _ := fmt.Sscanf(line, "end %d %d %d %d %d", &end.disk, &end.net, &end.vsock, &end.again, &end.wrong)
		return got < 5
	}); err != nil {
		n.t.Fatalf("the end of %s: %v", name, err)
	}
	if _, err := c.DeleteSandbox(ctx, &bulkheadv1.DeleteSandboxRequest{Name: name, Force: true}); err != nil {
		n.t.Fatal(err)
	}
	n.t.Logf("%s came to %+v", name, end)
	return end
}

// eachLine has more look at the lines of a sandbox's command from the first on, until
// that is enough.
func eachLine(ctx context.Context, c *client.Client, name string, more func(string) bool) error {
	begun := ""
	return followLog(ctx, c, name, func(b []byte) bool {
		lines := strings.Split(begun+string(b), "\n")
		begun = lines[len(lines)-1]
		for _, line := range lines[:len(lines)-1] {
			if !more(line) {
				return false
			}
		}
		return true
	})
}

// makeDisk makes an image with a file system.
func makeDisk(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	makeSparse(t, path, 64<<20)
	if out, err := exec.Command("mkfs.ext4", "-q", path).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// checkDisk looks at a sandbox's file system, and for the records on it.
func (n *daemonNode) checkDisk(name string, end load) {
	n.t.Helper()
	if out, err := exec.Command("e2fsck", "-f", "-n", n.disk(name)).CombinedOutput(); err != nil {
		n.t.Errorf("the file system of %s: %v\n%s", name, err, out)
	}
	got, err := exec.Command("debugfs", "-R", "cat /records", n.disk(name)).Output()
	if err != nil {
		n.t.Fatal(err)
	}
	const record = 4096
	if len(got) != end.disk*record {
		n.t.Errorf("%s has %d bytes of records, not %d of %d each", name, len(got), end.disk, record)
	}
	for i := 0; i+8 <= len(got); i += 8 {
		if number := binary.LittleEndian.Uint64(got[i:]); number != uint64(i/record) {
			n.t.Fatalf("record %d of %s says %d", i/record, name, number)
		}
	}
}

// serveEach gives each connection back what comes, until l is closed.
func serveEach(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() { io.Copy(c, c); c.Close() }()
	}
}
