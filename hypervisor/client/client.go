// Package client is for programs that use nodes: orchestrators, schedulers, and
// the command line. It is the API's generated client, and what is tedious about
// its streams.
package client

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// Client is a connection to one node. Its methods may be called from any
// goroutine.
type Client struct {
	bulkheadv1.SandboxesClient
	Processes bulkheadv1.ProcessesClient
	Files     bulkheadv1.FilesClient
	Ports     bulkheadv1.PortsClient
	Snapshots bulkheadv1.SnapshotsClient
	Templates bulkheadv1.TemplatesClient
	Pools     bulkheadv1.PoolsClient
	Node      bulkheadv1.NodeClient

	conn *grpc.ClientConn
}

// TLS names the files by which a client and a node that is reached by TCP know
// each other, in PEM.
type TLS struct {
	Certificate, Key string // the client's
	CA               string // who signs nodes' certificates
	// ServerName is the node's name in its certificate. Empty: its address.
	ServerName string
}

// DefaultHost is where a node on this host is reached.
const DefaultHost = "unix:///run/bulkheadd/bulkheadd.sock"

// Dial returns a client for the node at host: "unix:///PATH", or "tcp://HOST:PORT",
// which takes files. It connects when it is used, and again when a connection was
// lost. The caller closes it.
func Dial(host string, files TLS, more ...grpc.DialOption) (*Client, error) {
	options := append([]grpc.DialOption{grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 15 * time.Second})}, more...)
	switch scheme, rest, _ := strings.Cut(host, "://"); {
	case scheme == "unix" && strings.HasPrefix(rest, "/"):
		options = append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))
		return dial("unix://"+rest, options)
	case scheme == "tcp" && rest != "":
		c, err := files.config()
		if err != nil {
			return nil, err
		}
		return dial("dns:///"+rest, append(options, grpc.WithTransportCredentials(credentials.NewTLS(c))))
	}
	return nil, fmt.Errorf("host %q: give unix:///PATH or tcp://HOST:PORT", host)
}

func dial(target string, options []grpc.DialOption) (*Client, error) {
	conn, err := grpc.NewClient(target, options...)
	if err != nil {
		return nil, err
	}
	return New(conn), nil
}

// New returns a client over a connection, which becomes its own.
func New(conn *grpc.ClientConn) *Client {
	return &Client{
		SandboxesClient: bulkheadv1.NewSandboxesClient(conn),
		Processes:       bulkheadv1.NewProcessesClient(conn),
		Files:           bulkheadv1.NewFilesClient(conn),
		Ports:           bulkheadv1.NewPortsClient(conn),
		Snapshots:       bulkheadv1.NewSnapshotsClient(conn),
		Templates:       bulkheadv1.NewTemplatesClient(conn),
		Pools:           bulkheadv1.NewPoolsClient(conn),
		Node:            bulkheadv1.NewNodeClient(conn),
		conn:            conn,
	}
}

// Close closes the connection, which ends every call.
func (c *Client) Close() error { return c.conn.Close() }

func (t TLS) config() (*tls.Config, error) {
	if t.Certificate == "" || t.Key == "" || t.CA == "" {
		return nil, errors.New("a node that is reached by TCP wants a certificate: name the client's certificate and key, and the CA of nodes")
	}
	own, err := tls.LoadX509KeyPair(t.Certificate, t.Key)
	if err != nil {
		return nil, fmt.Errorf("the client's certificate: %w", err)
	}
	pem, err := os.ReadFile(t.CA)
	if err != nil {
		return nil, fmt.Errorf("the CA of nodes: %w", err)
	}
	nodes := x509.NewCertPool()
	if !nodes.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("the CA of nodes: no certificate in %s", t.CA)
	}
	return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{own}, RootCAs: nodes, ServerName: t.ServerName}, nil
}
