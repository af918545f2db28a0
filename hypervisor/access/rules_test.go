package access

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

func newRules(t *testing.T, p Policy) *Rules {
	t.Helper()
	r, err := NewRules(p)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestUsers(t *testing.T) {
	r := newRules(t, Policy{
		Full:     Grants{Users: []string{"1000", "nobody"}, Groups: []string{"200"}},
		ReadOnly: Grants{Users: []string{"1001", "1000"}, Groups: []string{"300", "daemon"}},
	})
	for _, tt := range []struct {
		uid    uint32
		groups []uint32
		role   Role
	}{
		{uint32(os.Geteuid()), nil, Full}, // who runs the node
		{1000, nil, Full},                 // of both: the better one
		{65534, nil, Full},                // by name
		{1001, nil, ReadOnly},
		{1001, []uint32{5, 200}, Full},
		{1002, []uint32{300}, ReadOnly},
		{1002, []uint32{1}, ReadOnly}, // daemon, by name
		{1002, []uint32{301}, None},
		{200, nil, None}, // a group's number
		{1<<32 - 1, nil, None},
	} {
		c := r.ofUser(tt.uid, tt.groups)
		if c.Role != tt.role || (c.Refusal == "") != (tt.role != None) || !strings.HasPrefix(c.Name, "uid:") {
			t.Errorf("user %d of %v is %+v, want %v", tt.uid, tt.groups, c, tt.role)
		}
	}
}

func certificate(t *testing.T, commonName string, names ...string) *x509.Certificate {
	t.Helper()
	c := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: commonName}, NotAfter: time.Now().Add(time.Hour)}
	for _, name := range names {
		if !strings.Contains(name, "://") {
			c.DNSNames = append(c.DNSNames, name)
			continue
		}
		u, err := url.Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		c.URIs = append(c.URIs, u)
	}
	return c
}

func TestCertificates(t *testing.T) {
	r := newRules(t, Policy{Full: Grants{Certificates: []string{"scheduler", "spiffe://a/full"}}, ReadOnly: Grants{Certificates: []string{"dashboard", "scheduler"}}})
	expired := certificate(t, "scheduler")
	expired.NotAfter = time.Now().Add(-time.Second)
	for what, tt := range map[string]struct {
		cert    *x509.Certificate
		name    string
		role    Role
		refusal string
	}{
		"common name":          {certificate(t, "scheduler"), "scheduler", Full, ""},
		"host name":            {certificate(t, "x", "dashboard"), "dashboard", ReadOnly, ""},
		"URI":                  {certificate(t, "x", "spiffe://a/full"), "spiffe://a/full", Full, ""},
		"the better of two":    {certificate(t, "spiffe://a/full", "dashboard"), "spiffe://a/full", Full, ""},
		"nobody":               {certificate(t, "x", "y"), "y", None, "access.full.certificates"},
		"a part of a name":     {certificate(t, "schedule"), "schedule", None, `"schedule" may not`},
		"capitals":             {certificate(t, "Scheduler"), "Scheduler", None, "may not"},
		"nameless":             {certificate(t, ""), "7", None, "no name in it"},
		"expired meanwhile":    {expired, "scheduler", None, "has expired"},
		"a user's, by a claim": {certificate(t, "uid:0"), "uid:0", None, "may not"},
	} {
		c := r.ofCertificate(tt.cert)
		if c.Name != "certificate:"+tt.name || c.Role != tt.role || !strings.Contains(c.Refusal, tt.refusal) || (c.Refusal == "") != (tt.refusal == "") {
			t.Errorf("%s: %+v, want %s with %v", what, c, tt.name, tt.role)
		}
	}
}

// TestSet changes the policy under a connection, and not if the new one is bad.
func TestSet(t *testing.T) {
	r := newRules(t, Policy{Full: Grants{Users: []string{"1000"}}})
	for what, bad := range map[string]Policy{
		"access.full: user":       {Full: Grants{Users: []string{"no such user"}}},
		"access.read_only: group": {ReadOnly: Grants{Groups: []string{"no such group"}}},
	} {
		if err := r.Set(bad); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	who := connection{func() Client { return r.ofUser(1000, nil) }}
	if c := who.client(); c.Role != Full {
		t.Errorf("after policies that aren't: %+v", c)
	}
	if err := r.Set(Policy{}); err != nil {
		t.Fatal(err)
	}
	if c := who.client(); c.Role != None {
		t.Errorf("without a grant: %+v", c)
	}
}

// TestMethods says which calls which role may make, as both interceptors have it.
func TestMethods(t *testing.T) {
	const (
		look    = "/bulkhead.v1.Sandboxes/ListSandboxes"
		health  = "/grpc.health.v1.Health/Check"
		reflect = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
	)
	full := []string{
		"/bulkhead.v1.Sandboxes/CreateSandbox", "/bulkhead.v1.Sandboxes/ForkSandbox", "/bulkhead.v1.Snapshots/CreateSnapshot", "/bulkhead.v1.Snapshots/DeleteSnapshot", "/bulkhead.v1.Snapshots/MergeSnapshot", "/bulkhead.v1.Templates/CreateTemplate", "/bulkhead.v1.Templates/DeleteTemplate",
		"/bulkhead.v1.Pools/CreatePool", "/bulkhead.v1.Pools/UpdatePool", "/bulkhead.v1.Pools/DeletePool", "/bulkhead.v1.Pools/ClaimSandbox", "/bulkhead.v1.Sandboxes/DeleteSandbox", "/bulkhead.v1.Processes/Exec",
		"/bulkhead.v1.Files/ReadFile", "/bulkhead.v1.Node/DrainNode", "/bulkhead.v1.Sandboxes/ListSandboxesAndMore", "/new.v1.Service/Get",
	}
	for _, tt := range []struct {
		role    Role
		may     []string
		mustNot []string
	}{
		{Full, append(full, look, health, reflect), nil},
		{ReadOnly, []string{look, health, reflect, "/bulkhead.v1.Templates/ListTemplates", "/bulkhead.v1.Pools/GetPool", "/bulkhead.v1.Pools/ListPools", "/bulkhead.v1.Processes/GetLogs", "/bulkhead.v1.Sandboxes/WatchSandboxes"}, full},
		{None, []string{health}, append(full, look, reflect)},
	} {
		ctx := peer.NewContext(t.Context(), &peer.Peer{AuthInfo: connection{func() Client {
			return Client{Name: "uid:7", Role: tt.role, Refusal: "nobody knows it"}
		}}})
		for _, method := range tt.may {
			if err := callBoth(ctx, method); err != nil {
				t.Errorf("%v: %s: %v", tt.role, method, err)
			}
		}
		for _, method := range tt.mustNot {
			err := callBoth(ctx, method)
			if status.Code(err) != codes.PermissionDenied || len(status.Convert(err).Details()) != 1 {
				t.Errorf("%v: %s: %v", tt.role, method, err)
			}
		}
	}
	if err := callBoth(t.Context(), look); status.Code(err) != codes.PermissionDenied {
		t.Errorf("without credentials: %v", err)
	}
}

// stream is one with a context.
type stream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s stream) Context() context.Context { return s.ctx }

// callBoth makes a call in both ways. What is refused isn't handled.
func callBoth(ctx context.Context, method string) error {
	handled := 0
	_, unary := Unary(ctx, nil, &grpc.UnaryServerInfo{FullMethod: method}, func(context.Context, any) (any, error) {
		handled++
		return nil, nil
	})
	streaming := Stream(nil, stream{ctx: ctx}, &grpc.StreamServerInfo{FullMethod: method}, func(any, grpc.ServerStream) error {
		handled++
		return nil
	})
	if (unary == nil) != (streaming == nil) || (unary == nil) != (handled == 2) || (unary != nil) != (handled == 0) {
		panic("the interceptors don't agree on " + method)
	}
	return unary
}
