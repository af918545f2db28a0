package daemon

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/hypervisor/client"
)

// authority signs certificates, and keeps them in a directory of its own.
type authority struct {
	t    testing.TB
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB, dir, name string) *authority {
	a := &authority{t: t, dir: dir + "/" + name}
	a.must(os.Mkdir(a.dir, 0o700))
	a.key = a.newKey()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	a.must(err)
	a.cert, err = x509.ParseCertificate(der)
	a.must(err)
	a.write(a.file(), "CERTIFICATE", der)
	return a
}

// file is its own certificate.
func (a *authority) file() string { return a.dir + "/ca.crt" }

func (a *authority) must(err error) {
	a.t.Helper()
	if err != nil {
		a.t.Fatal(err)
	}
}

func (a *authority) newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	a.must(err)
	return key
}

func (a *authority) write(path, kind string, der []byte) {
	a.must(os.WriteFile(path+".new", pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
	a.must(os.Rename(path+".new", path))
}

// issue writes NAME.crt and NAME.key, for as long as lasts, and returns what a
// client is given of them.
func (a *authority) issue(name string, lasts time.Duration, uris ...string) client.TLS {
	a.t.Helper()
	key := a.newKey()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	a.must(err)
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(lasts),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	for _, s := range uris {
		u, err := url.Parse(s)
		a.must(err)
		template.URIs = append(template.URIs, u)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	a.must(err)
	private, err := x509.MarshalECPrivateKey(key)
	a.must(err)
	files := client.TLS{Certificate: a.dir + "/" + name + ".crt", Key: a.dir + "/" + name + ".key", CA: a.file()}
	a.write(files.Key, "EC PRIVATE KEY", private)
	a.write(files.Certificate, "CERTIFICATE", der)
	return files
}
