package access

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
)

// pair is a certificate that is its own authority, in PEM, with its key.
type pair struct{ cert, key []byte }

func newPair(t *testing.T, name string) pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	private, err := x509.MarshalECPrivateKey(key)
	must(t, err)
	return pair{
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private}),
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// shown returns whose certificate a server shows to a client with one, and who the
// client is to the server.
func shown(t *testing.T, c *TLSCredentials, client pair) (server string, known Client, err error) {
	t.Helper()
	own, err := tls.X509KeyPair(client.cert, client.key)
	must(t, err)
	here, there := net.Pipe()
	defer here.Close()
	type accepted struct {
		client Client
		err    error
	}
	done := make(chan accepted, 1)
	go func() {
		conn, info, err := c.ServerHandshake(there)
		if err != nil {
			there.Close()
			done <- accepted{err: err}
			return
		}
		conn.Write([]byte{0}) // which is when the client knows that it was taken
		done <- accepted{client: info.(connection).client()}
	}()
	conn := tls.Client(here, &tls.Config{
		InsecureSkipVerify: true, NextProtos: []string{"h2"},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own, nil }, // whoever signed it
	})
	if err := conn.Handshake(); err == nil {
		conn.Read(make([]byte, 1))
	}
	if certs := conn.ConnectionState().PeerCertificates; len(certs) > 0 {
		server = certs[0].Subject.CommonName
	}
	here.Close()
	got := <-done
	return server, got.client, got.err
}

// TestReload replaces the files one after the other, with halves of them between:
// at every point the server shows what it showed before, or all of what is new.
func TestReload(t *testing.T) {
	dir := t.TempDir()
	files := TLSFiles{Certificate: filepath.Join(dir, "crt"), Key: filepath.Join(dir, "key"), ClientCA: filepath.Join(dir, "ca")}
	write := func(path string, b []byte) {
		t.Helper()
		must(t, os.WriteFile(path, b, 0o600))
		// Two writes may be so close that a file's time is the same.
		must(t, os.Chtimes(path, time.Time{}, time.Now().Add(time.Duration(len(b))*time.Second)))
	}
	old, next, client, stranger := newPair(t, "old"), newPair(t, "next"), newPair(t, "client"), newPair(t, "stranger")
	rules := newRules(t, Policy{Full: Grants{Certificates: []string{"client", "stranger"}}})
	if _, err := NewTLSCredentials(rules, files, zap.NewNop()); err == nil {
		t.Error("without files")
	}
	write(files.Certificate, old.cert)
	write(files.Key, old.key)
	write(files.ClientCA, client.cert)
	c, err := NewTLSCredentials(rules, files, zap.NewNop())
	must(t, err)
	for _, step := range []struct {
		what string
		do   func()
		want string // the server's name
		says string // of Reload; empty: nothing
	}{
		{"nothing", func() {}, "old", ""},
		{"half a certificate", func() { write(files.Certificate, next.cert[:len(next.cert)/2]) }, "old", "certificate " + files.Certificate},
		{"a certificate, and the old key", func() { write(files.Certificate, next.cert) }, "old", "private key"},
		{"no key", func() { must(t, os.Remove(files.Key)) }, "old", "no such file"},
		{"half a key", func() { write(files.Key, next.key[:20]) }, "old", "key " + files.Key},
		{"both", func() { write(files.Key, next.key) }, "next", ""},
		{"an empty CA", func() { write(files.ClientCA, nil) }, "next", "no certificate in it"},
		{"both again", func() { write(files.ClientCA, append(client.cert, stranger.cert[:50]...)) }, "next", ""},
	} {
		step.do()
		err := c.Reload()
		if step.says == "" && err != nil || step.says != "" && (err == nil || !strings.Contains(err.Error(), step.says)) {
			t.Errorf("%s: %v, want %q", step.what, err, step.says)
		}
		server, known, err := shown(t, c, client)
		if err != nil || server != step.want || known.Name != "certificate:client" || known.Role != Full {
			t.Errorf("%s: the server is %s, the client %+v, %v", step.what, server, known, err)
		}
		if _, _, err := shown(t, c, stranger); err == nil || !strings.Contains(err.Error(), "unknown authority") {
			t.Errorf("%s: a stranger: %v", step.what, err)
		}
	}
	write(files.ClientCA, stranger.cert)
	if _, _, err := shown(t, c, client); err == nil {
		t.Error("a client of the former CA is let in")
	}
	if _, known, err := shown(t, c, stranger); err != nil || known.Name != "certificate:stranger" {
		t.Errorf("a client of the new CA: %+v, %v", known, err)
	}
}

// TestNotHTTP2 is a client with a good certificate that speaks something else.
func TestNotHTTP2(t *testing.T) {
	dir := t.TempDir()
	p := newPair(t, "both")
	files := TLSFiles{Certificate: filepath.Join(dir, "crt"), Key: filepath.Join(dir, "key"), ClientCA: filepath.Join(dir, "crt")}
	must(t, os.WriteFile(files.Certificate, p.cert, 0o600))
	must(t, os.WriteFile(files.Key, p.key, 0o600))
	c, err := NewTLSCredentials(newRules(t, Policy{}), files, zap.NewNop())
	must(t, err)
	own, err := tls.X509KeyPair(p.cert, p.key)
	must(t, err)
	here, there := net.Pipe()
	go func() {
		conn := tls.Client(here, &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{own}})
		conn.Read(make([]byte, 1)) // after the handshake
		here.Close()
	}()
	if _, _, err := c.ServerHandshake(there); err == nil || !strings.Contains(err.Error(), "HTTP/2") {
		t.Errorf("it is let in: %v", err)
	}
	there.Close()
}
