package daemon

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bulkhead-vm/bulkhead/hypervisor/client"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// metric returns a number of the daemon's own.
func (h *host) metric(name string) float64 {
	h.t.Helper()
	c := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", h.path("metrics.sock"))
	}}}
	defer c.CloseIdleConnections()
	r, err := c.Get("http://daemon/metrics")
	h.must(err)
	defer r.Body.Close()
	lines := bufio.NewScanner(r.Body)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			n, err := strconv.ParseFloat(value, 64)
			h.must(err)
			return n
		}
	}
	h.t.Fatalf("no metric %s", name)
	return 0
}

// settle waits until the daemon has no more goroutines than it had, or some.
func (h *host) settle(goroutines float64) {
	h.t.Helper()
	var now float64
	for began := time.Now(); time.Since(began) < 30*time.Second; time.Sleep(100 * time.Millisecond) {
		if now = h.metric("go_goroutines"); now <= goroutines+3 {
			return
		}
	}
	h.t.Errorf("%v goroutines are left, there were %v", now, goroutines)
}

// live returns how much memory the daemon uses, without garbage: it is made to read
// files until it has collected twice, so that nothing of before is in the number.
func (h *host) live(c *client.Client) float64 {
	h.t.Helper()
	const collections = "go_gc_duration_seconds_count"
	path := h.path("sockets/live")
	_, err := c.WriteFile(h.t.Context(), &bulkheadv1.WriteFileHeader{Sandbox: "box", Path: path}, strings.NewReader(strings.Repeat("x", 4<<20)))
	h.must(err)
	for want := h.metric(collections) + 2; h.metric(collections) < want; {
		_, err := c.ReadFile(h.t.Context(), "box", path, io.Discard)
		h.must(err)
	}
	return h.metric("go_memstats_heap_alloc_bytes")
}

// loaded is a host whose daemon tells of itself, with a sandbox that runs.
func loaded(t *testing.T) (*host, *client.Client) {
	t.Helper()
	h := newHost(t, "[metrics]\nlisten = \"unix:DIR/metrics.sock\"\n")
	h.start()
	c := h.dial()
	_, err := c.CreateSandbox(t.Context(), &bulkheadv1.CreateSandboxRequest{Name: "box"})
	h.must(err)
	_, err = c.StartSandbox(t.Context(), &bulkheadv1.StartSandboxRequest{Name: "box"})
	h.must(err)
	return h, c
}

// TestManyClients has 200 clients at once, each on a connection of its own, do
// everything there is, cancel half of it, and read slowly or not at all.
func TestManyClients(t *testing.T) {
	h, c := loaded(t)
	use(t, h, "box", 0) // what is made once is made
	goroutines := h.metric("go_goroutines")
	var heap []float64
	for range 6 {
		var clients sync.WaitGroup
		for i := range 200 {
			clients.Go(func() { use(t, h, "box", i) })
		}
		clients.Wait()
		h.settle(goroutines)
		heap = append(heap, h.live(c))
	}
	t.Logf("%.0f goroutines at rest; heap after each round: %.0f", goroutines, heap)
	if first, last := slices.Min(heap[:3]), slices.Min(heap[3:]); last > 1.3*first+(16<<20) {
		t.Errorf("memory grows: %.0f", heap)
	}
	h.clear(c)
}

// use is one client.
func use(t *testing.T, h *host, box string, i int) {
	c, err := client.Dial("unix://"+h.socket(), client.TLS{})
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	fail := func(what string, err error) {
		if err != nil {
			t.Errorf("client %d, %s: %v", i, what, err)
		}
	}
	switch i % 8 {
	case 0: // a command
		p, err := c.Exec(ctx, box, &bulkheadv1.Command{Args: []string{"echo", "hi"}})
		if err != nil {
			fail("exec", err)
			return
		}
		go io.Copy(io.Discard, p.Stderr)
		out, _ := io.ReadAll(p.Stdout)
		_, err = p.Wait()
		fail("exec", err)
		if string(out) != "hi\n" {
			t.Errorf("client %d: %q", i, out)
		}
	case 1: // one that nobody reads, and then cancels
		ctx, cancel := context.WithCancel(ctx)
		_, err := c.Exec(ctx, box, &bulkheadv1.Command{Args: []string{"yes"}})
		fail("exec", err)
		time.Sleep(100 * time.Millisecond)
		cancel()
	case 2: // a watcher that doesn't read
		_, err := c.WatchSandboxes(ctx, &bulkheadv1.WatchSandboxesRequest{})
		fail("watch", err)
		time.Sleep(200 * time.Millisecond)
	case 3: // files
		path := fmt.Sprintf("%s/file%d", h.path("sockets"), i)
		_, err := c.WriteFile(ctx, &bulkheadv1.WriteFileHeader{Sandbox: box, Path: path}, strings.NewReader(strings.Repeat("x", 1<<20)))
		fail("write", err)
		_, err = c.ReadFile(ctx, box, path, io.Discard)
		fail("read", err)
	case 4: // a sandbox of its own
		name := fmt.Sprintf("own%d", i)
		_, err := c.CreateSandbox(ctx, &bulkheadv1.CreateSandboxRequest{Name: name})
		fail("create", err)
		_, err = c.DeleteSandbox(ctx, &bulkheadv1.DeleteSandboxRequest{Name: name})
		fail("delete", err)
	case 5: // logs that are followed and left
		ctx, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		defer cancel()
		stream, err := c.Processes.GetLogs(ctx, &bulkheadv1.GetLogsRequest{Sandbox: box, Follow: true, Console: true})
		for err == nil {
			_, err = stream.Recv()
		}
		if status.Code(err) != codes.DeadlineExceeded {
			fail("logs", err)
		}
	case 6: // a deadline in the past
		ctx, cancel := context.WithTimeout(ctx, 0)
		defer cancel()
		if _, err := c.ListSandboxes(ctx, &bulkheadv1.ListSandboxesRequest{}); status.Code(err) != codes.DeadlineExceeded {
			fail("list", errors.Join(errors.New("not late"), err))
		}
	case 7: // half a file
		stream, err := c.Files.WriteFile(ctx)
		if err != nil {
			fail("write", err)
			return
		}
		stream.Send(&bulkheadv1.WriteFileRequest{Part: &bulkheadv1.WriteFileRequest_Header{Header: &bulkheadv1.WriteFileHeader{Sandbox: box, Path: h.path("half")}}})
		stream.Send(&bulkheadv1.WriteFileRequest{Part: &bulkheadv1.WriteFileRequest_Data{Data: make([]byte, 1000)}})
	}
}

// TestSilentConnections has connections that say nothing, or half of something, or
// leave in the middle: they are ended, and others don't notice.
func TestSilentConnections(t *testing.T) {
	if testing.Short() {
		t.Skip("takes as long as a client may be silent")
	}
	h, c := loaded(t)
	goroutines := h.metric("go_goroutines")
	var conns []net.Conn
	for i := range 100 {
		conn, err := net.Dial("unix", h.socket())
		h.must(err)
		conns = append(conns, conn)
		switch i % 4 {
		case 1:
			conn.Write([]byte(http2.ClientPreface[:7]))
		case 2:
			conn.Write([]byte(http2.ClientPreface))
		case 3: // as a client does, and then it is gone without a word
			conn.Write([]byte(http2.ClientPreface))
			http2.NewFramer(conn, nil).WriteSettings()
		}
	}
	if _, err := c.ListSandboxes(t.Context(), &bulkheadv1.ListSandboxesRequest{}); err != nil {
		t.Error(err)
	}
	for i, conn := range conns {
		conn.SetReadDeadline(time.Now().Add(90 * time.Second))
		if _, err := io.Copy(io.Discard, conn); err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("connection %d is still there", i)
		}
		conn.Close()
	}
	h.settle(goroutines)
	h.clear(c)
}

// TestConnectionLimit connects more often than is allowed: the rest waits, and has
// its turn.
func TestConnectionLimit(t *testing.T) {
	h := newHost(t, "[limits]\nconnections = 4\n")
	h.start()
	var clients []*client.Client
	for range 4 {
		c := h.dial()
		_, err := c.ListSandboxes(t.Context(), &bulkheadv1.ListSandboxesRequest{})
		h.must(err)
		clients = append(clients, c)
	}
	fifth := h.dial()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := fifth.ListSandboxes(ctx, &bulkheadv1.ListSandboxesRequest{}); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("a fifth client: %v", err)
	}
	clients[0].Close()
	if _, err := fifth.ListSandboxes(t.Context(), &bulkheadv1.ListSandboxesRequest{}); err != nil {
		t.Errorf("when there is room: %v", err)
	}
}

// TestLargeMessages sends more than is allowed, in every way there is.
func TestLargeMessages(t *testing.T) {
	h, c := loaded(t)
	big := strings.Repeat("x", 5<<20)
	_, err := c.CreateSandbox(t.Context(), &bulkheadv1.CreateSandboxRequest{RequestId: big})
	tooLarge(t, "a request", err)
	stream, err := c.Processes.Exec(t.Context())
	h.must(err)
	stream.Send(&bulkheadv1.ExecRequest{Request: &bulkheadv1.ExecRequest_Start{Start: &bulkheadv1.ExecStart{Sandbox: "box", Command: &bulkheadv1.Command{Args: []string{big}}}}})
	_, err = stream.Recv()
	tooLarge(t, "a command", err)
	files, err := c.Files.WriteFile(t.Context())
	h.must(err)
	files.Send(&bulkheadv1.WriteFileRequest{Part: &bulkheadv1.WriteFileRequest_Header{Header: &bulkheadv1.WriteFileHeader{Sandbox: "box", Path: h.path("big")}}})
	files.Send(&bulkheadv1.WriteFileRequest{Part: &bulkheadv1.WriteFileRequest_Data{Data: make([]byte, 2<<20)}})
	if _, err := files.CloseAndRecv(); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a piece of a file: %v", err)
	}
	if _, err := os.Stat(h.path("big")); !os.IsNotExist(err) {
		t.Error("the file is there")
	}
	_, err = c.CreateSandbox(t.Context(), &bulkheadv1.CreateSandboxRequest{Spec: &bulkheadv1.SandboxSpec{Command: &bulkheadv1.Command{Args: []string{strings.Repeat("x", 2<<20)}}}})
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("a long argument: %v", err)
	}
	h.clear(c)
}

func tooLarge(t *testing.T, what string, err error) {
	t.Helper()
	if status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "larger than max") {
		t.Errorf("%s: %v", what, err)
	}
}
