// Package access says who calls, and what they may do.
//
//	connection ─▶ credentials: who it is ─▶ Rules: role ─▶ interceptor: may it? ─▶ service
package access

import (
	"context"

	"google.golang.org/grpc/peer"
)

// Role is what a client may do.
type Role int

// The roles.
const (
	None     Role = iota
	ReadOnly      // look at everything but what is in the guests
	Full
)

// String returns the role's name in the configuration.
func (r Role) String() string {
	switch r {
	case ReadOnly:
		return "read-only"
	case Full:
		return "full"
	}
	return "none"
}

// Client is who calls.
type Client struct {
	// Name is one that nobody else has: "uid:1000", or a certificate's.
	Name string
	Role Role
	// Refusal says why the role is None.
	Refusal string
}

// connection is what is known of a connection's client: by the rules as they are
// when it calls, which may be others than when it connected.
type connection struct{ client func() Client }

// AuthType implements credentials.AuthInfo.
func (connection) AuthType() string { return "bulkhead" }

// FromContext returns who made the call with this context; one that didn't come
// over a connection with credentials of this package is nobody's.
func FromContext(ctx context.Context) Client {
	if p, ok := peer.FromContext(ctx); ok {
		if c, ok := p.AuthInfo.(connection); ok {
			return c.client()
		}
	}
	return Client{Refusal: "the connection says nothing of who it is"}
}
