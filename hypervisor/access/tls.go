package access

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc/credentials"
)

// TLSFiles are a server's, in PEM.
type TLSFiles struct {
	Certificate, Key string // its own
	ClientCA         string // who signs its clients' certificates
}

// handshakeTime is how long a client may take for one.
const handshakeTime = 10 * time.Second

// TLSCredentials know clients by their certificates. They implement
// credentials.TransportCredentials.
type TLSCredentials struct {
	rules *Rules
	files *reloader
	log   *zap.Logger
}

var _ credentials.TransportCredentials = (*TLSCredentials)(nil)

// NewTLSCredentials returns credentials for servers on TCP: TLS 1.3, on which both
// sides show certificates. The files are read again when they have changed. It
// fails if they aren't good now. log hears of clients that are refused.
func NewTLSCredentials(r *Rules, f TLSFiles, log *zap.Logger) (*TLSCredentials, error) {
	files := &reloader{files: f, log: log}
	if err := files.load(); err != nil {
		return nil, err
	}
	return &TLSCredentials{r, files, log}, nil
}

// Reload reads the files again, if they have changed, before a client comes. If
// they aren't good, the certificates stay as they were.
func (c *TLSCredentials) Reload() error {
	_, err := c.files.config()
	return err
}

// ServerHandshake implements credentials.TransportCredentials.
func (c *TLSCredentials) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	config, err := c.files.config()
	if err != nil {
		c.log.Error("certificates stay as they were", zap.Error(err))
	}
	conn := tls.Server(raw, config)
	ctx, cancel := context.WithTimeout(context.Background(), handshakeTime)
	defer cancel()
	err = conn.HandshakeContext(ctx)
	state := conn.ConnectionState()
	if err == nil && state.NegotiatedProtocol != "h2" {
		err = errors.Join(errors.New("the client doesn't speak HTTP/2"), conn.Close())
	}
	if err != nil {
		c.log.Warn("connection refused", zap.Stringer("peer", raw.RemoteAddr()), zap.Error(err))
		return nil, nil, fmt.Errorf("TLS: %w", err)
	}
	return conn, connection{func() Client { return c.rules.ofCertificate(state.PeerCertificates[0]) }}, nil
}

// ClientHandshake implements credentials.TransportCredentials.
func (c *TLSCredentials) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("these credentials are for servers")
}

// Info implements credentials.TransportCredentials.
func (c *TLSCredentials) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls"}
}

// Clone implements credentials.TransportCredentials.
func (c *TLSCredentials) Clone() credentials.TransportCredentials { return c }

// OverrideServerName implements credentials.TransportCredentials.
func (c *TLSCredentials) OverrideServerName(string) error { return nil }

// reloader keeps a TLS configuration as its files are.
type reloader struct {
	files TLSFiles
	log   *zap.Logger

	mu      sync.Mutex // the rest; no other lock is taken under it
	stamp   [3]os.FileInfo
	current *tls.Config
}

// config returns the configuration, read anew if a file has changed. Files that
// aren't good leave it as it was, and are an error beside it.
func (r *reloader) config() (*tls.Config, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	stamp, err := r.look()
	if err == nil && !same(stamp, r.stamp) {
		if err = r.read(stamp); err == nil {
			r.log.Info("certificates read again")
		}
	}
	return r.current, err
}

func (r *reloader) load() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	stamp, err := r.look()
	if err != nil {
		return err
	}
	return r.read(stamp)
}

// look returns what tells whether a file has changed.
func (r *reloader) look() (stamp [3]os.FileInfo, err error) {
	for i, path := range []string{r.files.Certificate, r.files.Key, r.files.ClientCA} {
		if stamp[i], err = os.Stat(path); err != nil {
			return stamp, err
		}
	}
	return stamp, nil
}

func same(a, b [3]os.FileInfo) bool {
	for i := range a {
		if !os.SameFile(a[i], b[i]) || a[i].Size() != b[i].Size() || !a[i].ModTime().Equal(b[i].ModTime()) {
			return false
		}
	}
	return true
}

// read makes a configuration of the files. The caller holds r.mu.
func (r *reloader) read(stamp [3]os.FileInfo) error {
	own, err := tls.LoadX509KeyPair(r.files.Certificate, r.files.Key)
	if err != nil {
		return fmt.Errorf("certificate %s with key %s: %w", r.files.Certificate, r.files.Key, err)
	}
	pem, err := os.ReadFile(r.files.ClientCA)
	if err != nil {
		return fmt.Errorf("clients' CA: %w", err)
	}
	clients := x509.NewCertPool()
	if !clients.AppendCertsFromPEM(pem) {
		return fmt.Errorf("clients' CA %s: no certificate in it", r.files.ClientCA)
	}
	r.stamp = stamp
	r.current = &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{own},
		ClientCAs:    clients,
		ClientAuth:   tls.RequireAndVerifyClientCert,
		NextProtos:   []string{"h2"},
		// Each connection shows its certificate.
		SessionTicketsDisabled: true,
	}
	return nil
}
