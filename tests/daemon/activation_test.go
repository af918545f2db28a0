package daemon

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/hypervisor/client"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// listen makes a socket as systemd does for a socket unit.
func (h *host) listen(name string) *os.File {
	h.t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: h.path(name), Net: "unix"})
	h.must(err)
	l.SetUnlinkOnClose(false)
	defer l.Close()
	f, err := l.File()
	h.must(err)
	h.t.Cleanup(func() { f.Close() })
	return f
}

// activated starts a daemon that is passed sockets, with names.
func (h *host) activated(sockets []*os.File, names string, env ...string) *daemon {
	h.t.Helper()
	cmd := exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$@"`, "sh", h.daemon, "--config", h.path("config.toml"))
	cmd.ExtraFiles = sockets
	return h.run(cmd, append(env, "LISTEN_FDS="+strconv.Itoa(len(sockets)), "LISTEN_FDNAMES="+names)...)
}

// dialTo returns a client of a socket.
func (h *host) dialTo(name string) *client.Client {
	h.t.Helper()
	c, err := client.Dial("unix://"+h.path(name), client.TLS{})
	h.must(err)
	h.t.Cleanup(func() { c.Close() })
	return c
}

func (h *host) mustList(c *client.Client) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 20*time.Second)
	defer cancel()
	_, err := c.ListSandboxes(ctx, &bulkheadv1.ListSandboxesRequest{})
	h.must(err)
}

// TestActivated is started with a client already waiting at its socket, which is
// systemd's: it stays when the daemon ends, for the next one.
func TestActivated(t *testing.T) {
	h := newHost(t, "")
	api := h.listen("passed")
	before, err := os.Stat(h.path("passed"))
	h.must(err)
	answered := make(chan error, 1)
	c := h.dialTo("passed")
	go func() {
		_, err := c.ListSandboxes(t.Context(), &bulkheadv1.ListSandboxesRequest{})
		answered <- err
	}()
	time.Sleep(100 * time.Millisecond)
	for range 2 {
		d := h.activated([]*os.File{api}, "bulkheadd.socket")
		d.mustLog(`"msg":"ready"`)
		h.mustList(h.dialTo("passed"))
		if _, err := os.Stat(h.socket()); !os.IsNotExist(err) {
			t.Errorf("it made the configured socket as well: %v", err)
		}
		d.stop()
		after, err := os.Stat(h.path("passed"))
		if err != nil || !os.SameFile(before, after) {
			t.Fatalf("the socket isn't there any more: %v", err)
		}
	}
	if err := <-answered; err != nil {
		t.Errorf("who waited: %v", err)
	}
	if conn, err := net.Dial("unix", h.path("passed")); err != nil {
		t.Errorf("with no daemon, nobody can wait for one: %v", err)
	} else {
		conn.Close()
	}
}

// TestOwnSocketGoes: one that the daemon made isn't left behind.
func TestOwnSocketGoes(t *testing.T) {
	h := newHost(t, "[metrics]\nlisten = \"unix:DIR/metrics.sock\"\n")
	h.start().stop()
	for _, path := range []string{h.socket(), h.path("metrics.sock")} {
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("%s is still there: %v", path, err)
		}
	}
}

// TestActivatedByName tells the metrics' socket from the API's.
func TestActivatedByName(t *testing.T) {
	h := newHost(t, "")
	d := h.activated([]*os.File{h.listen("m"), h.listen("a")}, "metrics:bulkheadd.socket")
	d.mustLog(`"msg":"ready"`)
	h.mustList(h.dialTo("a"))
	web := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", h.path("m"))
	}}}
	defer web.CloseIdleConnections()
	r, err := web.Get("http://daemon/metrics")
	h.must(err)
	defer r.Body.Close()
	if body, err := io.ReadAll(r.Body); err != nil || !strings.Contains(string(body), "bulkhead_sandboxes") {
		t.Errorf("the metrics are %.200s, %v", body, err)
	}
	d.stop()
}

// TestOthersSockets are left alone: they were passed to another process.
func TestOthersSockets(t *testing.T) {
	h := newHost(t, "")
	cmd := exec.Command(h.daemon, "--config", h.path("config.toml"))
	cmd.ExtraFiles = []*os.File{h.listen("passed")}
	d := h.run(cmd, "LISTEN_FDS=1", "LISTEN_PID=1")
	d.mustLog(`"msg":"ready"`)
	h.mustList(h.dial())
	d.stop()
}

// TestActivatedTCP takes certificates as any TCP does.
func TestActivatedTCP(t *testing.T) {
	h := newHost(t, "")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	h.must(err)
	defer l.Close()
	f, err := l.(*net.TCPListener).File()
	h.must(err)
	defer f.Close()
	d := h.activated([]*os.File{f}, "")
	if err := d.cmd.Wait(); err == nil {
		t.Error("it serves TCP without TLS")
	}
	h.mustSay("the log", d.log.String(), "systemd passed the TCP socket 127.0.0.1:", "set tls.certificate")

	ca := newAuthority(t, h.dir, "right")
	ca.issue("node", time.Hour)
	h.configure(`
[tls]
certificate = "DIR/right/node.crt"
key = "DIR/right/node.key"
client_ca = "DIR/right/ca.crt"
[access.full]
certificates = ["scheduler"]
`)
	d = h.activated([]*os.File{f}, "")
	d.mustLog(`"msg":"ready"`)
	if err := list(t.Context(), l.Addr().String(), ca.issue("scheduler", time.Hour)); err != nil {
		t.Error(err)
	}
	h.mustList(h.dial()) // the unix socket is the configured one
	d.stop()
}

// TestActivatedByDatagrams is a mistake in a socket unit.
func TestActivatedByDatagrams(t *testing.T) {
	h := newHost(t, "")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	h.must(err)
	f := os.NewFile(uintptr(fd), "datagrams")
	defer f.Close()
	d := h.activated([]*os.File{f}, "api")
	if err := d.cmd.Wait(); err == nil {
		t.Error("it serves datagrams")
	}
	h.mustSay("the log", d.log.String(), "socket api from systemd", "nobody can connect", "ListenStream=")
}
