package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bulkhead-vm/bulkhead/hypervisor/client"
)

// Environment variables with the values that flags have unless they are given.
const (
	envHost   = "BULKHEAD_HOST"
	envTLSCrt = "BULKHEAD_TLS_CERT"
	envTLSKey = "BULKHEAD_TLS_KEY"
	envTLSCA  = "BULKHEAD_TLS_CACERT"
)

// hostOptions say which node a command is for.
type hostOptions struct {
	host string
	tls  client.TLS
}

func (o *hostOptions) addFlags(cmd *cobra.Command) {
	f := cmd.PersistentFlags()
	f.StringVarP(&o.host, "host", "H", os.Getenv(envHost), "`NODE` to use: unix:///PATH or tcp://HOST:PORT (default: $"+envHost+", or the daemon on this host; run needs none)")
	f.StringVar(&o.tls.Certificate, "tlscert", os.Getenv(envTLSCrt), "`FILE` with the client's certificate, for tcp:// (default: $"+envTLSCrt+")")
	f.StringVar(&o.tls.Key, "tlskey", os.Getenv(envTLSKey), "`FILE` with its key (default: $"+envTLSKey+")")
	f.StringVar(&o.tls.CA, "tlscacert", os.Getenv(envTLSCA), "`FILE` with the CA of the nodes' certificates (default: $"+envTLSCA+")")
	f.StringVar(&o.tls.ServerName, "tlsname", "", "node's `NAME` in its certificate (default: its address)")
	for _, name := range []string{"tlscert", "tlskey", "tlscacert", "tlsname"} {
		f.Lookup(name).DefValue = ""
	}
	f.Lookup("host").DefValue = ""
}

// connect returns a client for the daemon.
func (o *hostOptions) connect() (*client.Client, error) {
	if t := o.tls; !o.local() && (t.Certificate == "" || t.Key == "" || t.CA == "") {
		return nil, fmt.Errorf("host %q: a node that is reached by TCP wants a certificate: give --tlscert, --tlskey and --tlscacert, or $%s, $%s and $%s",
			o.host, envTLSCrt, envTLSKey, envTLSCA)
	}
	return client.Dial(cmp.Or(o.host, client.DefaultHost), o.tls)
}

// local reports whether paths on the node are paths here.
func (o *hostOptions) local() bool { return !strings.HasPrefix(o.host, "tcp://") }

// path is one that a user gave, as the node knows it.
func (o *hostOptions) path(p string) (string, error) {
	if p == "" || !o.local() {
		return p, nil
	}
	return filepath.Abs(p)
}
