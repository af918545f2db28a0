package access

import (
	"crypto/x509"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"
	"sync/atomic"
	"time"
)

// Grants are the clients that have a role.
type Grants struct {
	// Users and Groups of this host, by name or number. A client is of the groups
	// that its process has.
	Users, Groups []string
	// Certificates by a name in them: a DNS or URI subject alternative name, or
	// the subject's common name.
	Certificates []string
}

// Policy says who has which role. Who runs the node always has the full one on
// its unix sockets.
type Policy struct{ Full, ReadOnly Grants }

// Rules apply a policy, which can be changed at any time.
type Rules struct{ policy atomic.Pointer[resolved] }

// NewRules returns rules by a policy.
func NewRules(p Policy) (*Rules, error) {
	r := new(Rules)
	return r, r.Set(p)
}

// Set changes the policy, for calls from now on.
func (r *Rules) Set(p Policy) error {
	full, err := resolve(p.Full)
	if err != nil {
		return fmt.Errorf("access.full: %w", err)
	}
	readOnly, err := resolve(p.ReadOnly)
	if err != nil {
		return fmt.Errorf("access.read_only: %w", err)
	}
	r.policy.Store(&resolved{full, readOnly})
	return nil
}

// resolved is a policy in numbers.
type resolved struct{ full, readOnly grants }

type grants struct {
	users, groups []uint32
	certificates  []string
}

func resolve(g Grants) (out grants, err error) {
	for _, name := range g.Users {
		id, err := number(name, func() (string, error) {
			u, err := user.Lookup(name)
			if err != nil {
				return "", err
			}
			return u.Uid, nil
		})
		if err != nil {
			return out, fmt.Errorf("user %q: %w", name, err)
		}
		out.users = append(out.users, id)
	}
	for _, name := range g.Groups {
		id, err := number(name, func() (string, error) {
			g, err := user.LookupGroup(name)
			if err != nil {
				return "", err
			}
			return g.Gid, nil
		})
		if err != nil {
			return out, fmt.Errorf("group %q: %w", name, err)
		}
		out.groups = append(out.groups, id)
	}
	out.certificates = g.Certificates
	return out, nil
}

// number is a name that is one, or what look finds.
func number(name string, look func() (string, error)) (uint32, error) {
	if n, err := strconv.ParseUint(name, 10, 32); err == nil {
		return uint32(n), nil
	}
	found, err := look()
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(found, 10, 32)
	return uint32(n), err
}

// ofUser returns the client that is a user of this host, with the user's groups.
func (r *Rules) ofUser(uid uint32, groups []uint32) Client {
	c := Client{Name: fmt.Sprintf("uid:%d", uid)}
	p := r.policy.Load()
	switch {
	case int(uid) == os.Geteuid(), p.full.hasUser(uid, groups):
		c.Role = Full
	case p.readOnly.hasUser(uid, groups):
		c.Role = ReadOnly
	default:
		c.Refusal = fmt.Sprintf("user %d may not use this node: add it to access.full.users or access.read_only.users in its configuration", uid)
	}
	return c
}

func (g grants) hasUser(uid uint32, groups []uint32) bool {
	return slices.Contains(g.users, uid) || slices.ContainsFunc(groups, func(gid uint32) bool { return slices.Contains(g.groups, gid) })
}

// ofCertificate returns the client that has shown a certificate, which was valid
// then.
func (r *Rules) ofCertificate(cert *x509.Certificate) Client {
	names := namesIn(cert)
	if len(names) == 0 {
		return Client{Name: "certificate:" + cert.SerialNumber.String(), Refusal: "the client's certificate has no name in it"}
	}
	c := Client{Name: "certificate:" + names[0]}
	if time.Now().After(cert.NotAfter) {
		c.Refusal = "the client's certificate has expired since it connected: connect again with a new one"
		return c
	}
	p := r.policy.Load()
	for _, name := range names {
		switch {
		case slices.Contains(p.full.certificates, name):
			return Client{Name: "certificate:" + name, Role: Full}
		case c.Role == None && slices.Contains(p.readOnly.certificates, name):
			c = Client{Name: "certificate:" + name, Role: ReadOnly}
		}
	}
	if c.Role == None {
		c.Refusal = fmt.Sprintf("certificates of %q may not use this node: add the name to access.full.certificates or access.read_only.certificates in its configuration", names[0])
	}
	return c
}

func namesIn(cert *x509.Certificate) (names []string) {
	for _, u := range cert.URIs {
		names = append(names, u.String())
	}
	names = append(names, cert.DNSNames...)
	if cn := cert.Subject.CommonName; cn != "" {
		names = append(names, cn)
	}
	return names
}
