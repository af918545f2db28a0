package daemon

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/bulkhead-vm/bulkhead/hypervisor/client"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// as runs the command line as another user.
func (h *host) as(uid uint32, args ...string) (string, error) {
	h.t.Helper()
	cmd := exec.Command(h.cli, append([]string{"--host", "unix://" + h.socket()}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	cmd.Dir = "/"
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// mustSay checks that a text has all the words.
func (h *host) mustSay(what, text string, words ...string) {
	h.t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			h.t.Errorf("%s doesn't say %q:\n%s", what, w, text)
		}
	}
}

const (
	stranger = 65534
	reader   = 65533
	friend   = 65532
)

func TestUsers(t *testing.T) {
	h := newHost(t, fmt.Sprintf(`
[listen]
unix_mode = "0666"
[access.full]
users = ["%d"]
[access.read_only]
groups = ["%d"]
`, friend, reader))
	h.must(os.Chmod(h.cli, 0o755))
	h.must(os.Chmod(strings.TrimSuffix(h.cli, "/bulkhead"), 0o755))
	d := h.start()
	out, err := h.as(stranger, "ps")
	if err == nil {
		t.Error("a stranger may list sandboxes")
	}
	h.mustSay("the answer", out, "user 65534 may not use this node", "access.full.users")
	d.mustLogOf(`"code":"PermissionDenied"`, "uid:65534", "ListSandboxes")
	if out, err := h.as(reader, "ps"); err != nil {
		t.Errorf("a reader may not list: %s", out)
	}
	out, err = h.as(reader, "create")
	if err == nil {
		t.Error("a reader may create")
	}
	h.mustSay("the answer", out, "read-only role")
	if out, err := h.as(friend, "create", "--name", "his", "-e", "TOKEN=s3cret", "--", "true"); err != nil {
		t.Errorf("a friend may not create: %s", out)
	}
	for _, look := range [][]string{{"inspect", "his"}, {"ps", "-a", "-o", "json"}} {
		if out, err := h.as(friend, look...); err != nil || !strings.Contains(out, "TOKEN=s3cret") {
			t.Errorf("a friend doesn't see what he has set, %v: %s", err, out)
		}
		if out, err := h.as(reader, look...); err != nil || !strings.Contains(out, "TOKEN=***") || strings.Contains(out, "s3cret") {
			t.Errorf("a reader sees, %v: %s", err, out)
		}
	}
	// The new rules are for connections that are there, too.
	c := h.dial()
	s, err := c.GetSandbox(t.Context(), &bulkheadv1.GetSandboxRequest{Name: "his"})
	if err != nil || s.GetSandbox().GetClient() != "uid:65532" {
		t.Errorf("%v, %v", s, err)
	}
	h.configure("[listen]\nunix_mode = \"0666\"\n")
	h.must(d.cmd.Process.Signal(syscall.SIGHUP))
	d.mustLog("configuration read again")
	if out, err := h.as(friend, "ps"); err == nil {
		t.Errorf("a former friend may list: %s", out)
	}
	h.clear(c)
	d.stop()
}

// TestSocketMode: who isn't let in by the file's mode doesn't come to the rules.
func TestSocketMode(t *testing.T) {
	h := newHost(t, "")
	h.must(os.Chmod(h.cli, 0o755))
	h.must(os.Chmod(strings.TrimSuffix(h.cli, "/bulkhead"), 0o755))
	h.start()
	out, err := h.as(stranger, "ps")
	if err == nil {
		t.Error("a stranger got in")
	}
	h.mustSay("the answer", out, "permission denied")
	info, err := os.Stat(h.socket())
	if err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("the socket's mode is %v, %v", info.Mode(), err)
	}
}

// TestNothingOnTCP: without a word in the configuration, nothing listens there.
func TestNothingOnTCP(t *testing.T) {
	h := newHost(t, "")
	d := h.start()
	for _, file := range []string{"tcp", "tcp6"} {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", d.cmd.Process.Pid, file))
		h.must(err)
		links, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", d.cmd.Process.Pid))
		for _, l := range links {
			target, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", d.cmd.Process.Pid, l.Name()))
			inode, ok := strings.CutPrefix(strings.TrimSuffix(target, "]"), "socket:[")
			if ok && strings.Contains(string(b), " "+inode+" ") {
				t.Errorf("the daemon has a TCP socket: %s", inode)
			}
		}
	}
}

// secure is a host whose daemon serves TCP.
func secure(t *testing.T) (h *host, d *daemon, ca *authority, address string) {
	t.Helper()
	h = newHost(t, "")
	ca = newAuthority(t, h.dir, "right")
	ca.issue("node", time.Hour)
	h.configure(`
[listen]
tcp = "127.0.0.1:0"
[tls]
certificate = "DIR/right/node.crt"
key = "DIR/right/node.key"
client_ca = "DIR/right/ca.crt"
[access.full]
certificates = ["scheduler", "spiffe://example/full"]
[access.read_only]
certificates = ["dashboard"]
`)
	d = h.start()
	for _, line := range scan(d.log.String(), `"network":"tcp"`) {
		_, after, _ := strings.Cut(line, `"address":"`)
		address, _, _ = strings.Cut(after, `"`)
	}
	if address == "" {
		t.Fatalf("no TCP:\n%s", d.log)
	}
	return h, d, ca, address
}

// list tries a call by TCP.
func list(ctx context.Context, address string, files client.TLS) error {
	c, err := client.Dial("tcp://"+address, files)
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, err = c.ListSandboxes(ctx, &bulkheadv1.ListSandboxesRequest{})
	return err
}

func TestCertificates(t *testing.T) {
	h, d, ca, address := secure(t)
	for _, files := range []client.TLS{ca.issue("scheduler", time.Hour), ca.issue("x", time.Hour, "spiffe://example/full"), ca.issue("dashboard", time.Hour)} {
		if err := list(t.Context(), address, files); err != nil {
			t.Errorf("%s: %v", files.Certificate, err)
		}
	}
	c, err := client.Dial("tcp://"+address, ca.issue("dashboard", time.Hour))
	h.must(err)
	defer c.Close()
	if _, err := c.CreateSandbox(t.Context(), &bulkheadv1.CreateSandboxRequest{}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("a dashboard creates: %v", err)
	}
	if err := list(t.Context(), address, ca.issue("nobody", time.Hour)); status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("a name that isn't known: %v", err)
	}
	if err := list(t.Context(), address, ca.issue("scheduler", -time.Minute)); status.Code(err) != codes.Unavailable {
		t.Errorf("an expired certificate: %v", err)
	}
	d.mustLog("certificate has expired")
}

// TestWithoutCertificates comes by TCP without TLS, without a certificate or with
// another authority's, and with an old TLS.
func TestWithoutCertificates(t *testing.T) {
	h, d, ca, address := secure(t)
	plain, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	h.must(err)
	defer plain.Close()
	_, err = bulkheadv1.NewSandboxesClient(plain).ListSandboxes(t.Context(), &bulkheadv1.ListSandboxesRequest{})
	if status.Code(err) != codes.Unavailable {
		t.Errorf("plain TCP: %v", err)
	}
	d.mustLog("first record does not look like a TLS handshake")
	own, other := load(h, ca), load(h, newAuthority(t, h.dir, "other"))
	for name, c := range map[string]*tls.Config{
		"no certificate": {},
		"another CA":     {GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &other, nil }},
		"TLS 1.2":        {MaxVersion: tls.VersionTLS12, Certificates: []tls.Certificate{own}},
		"no HTTP/2":      {Certificates: []tls.Certificate{own}},
	} {
		c.InsecureSkipVerify = true // the node isn't what is tested
		conn, err := tls.Dial("tcp", address, c)
		if err == nil {
			conn.SetDeadline(time.Now().Add(10 * time.Second))
			conn.Write([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
			_, err = conn.Read(make([]byte, 1)) // TLS 1.3 says so here
			conn.Close()
		}
		if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, why := range []string{"didn't provide a certificate", "signed by unknown authority", "unsupported versions", "doesn't speak HTTP/2"} {
		d.mustLog(why)
	}
}

// load returns a certificate of an authority's, for a scheduler.
func load(h *host, a *authority) tls.Certificate {
	h.t.Helper()
	files := a.issue("scheduler", time.Hour)
	c, err := tls.LoadX509KeyPair(files.Certificate, files.Key)
	h.must(err)
	return c
}

// TestNewCertificates replaces the node's certificate and its clients' CA while it
// serves.
func TestNewCertificates(t *testing.T) {
	h, d, ca, address := secure(t)
	before := ca.issue("scheduler", time.Hour)
	h.must(list(t.Context(), address, before))
	h.must(os.WriteFile(ca.dir+"/node.key", []byte("nonsense"), 0o600))
	if err := list(t.Context(), address, before); err != nil {
		t.Errorf("with a bad new key: %v", err)
	}
	h.mustSay("the log", d.log.String(), "certificates stay as they were")
	next := newAuthority(t, h.dir, "next")
	node := next.issue("node", time.Hour)
	for from, to := range map[string]string{node.Certificate: ca.dir + "/node.crt", node.Key: ca.dir + "/node.key"} {
		h.must(os.Rename(from, to))
	}
	old := ca.dir + "/old.crt"
	h.must(os.Rename(ca.file(), old))
	h.must(os.Link(next.file(), ca.file())) // the daemon's clients' CA
	if err := list(t.Context(), address, next.issue("scheduler", time.Hour)); err != nil {
		t.Errorf("with a new certificate: %v", err)
	}
	before.CA = next.file()
	if err := list(t.Context(), address, before); status.Code(err) != codes.Unavailable {
		t.Errorf("with an old certificate: %v", err)
	}
	h.mustSay("the log", d.log.String(), "certificates read again")
}
