package daemon

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"

	"github.com/bulkhead-vm/bulkhead/hypervisor/access"
)

// arriveTime is how long a request may take to arrive, once its call has begun.
const arriveTime = 30 * time.Second

// arrivals bounds the calls whose requests are on their way. Their bytes are kept
// before anything is known of them but who sends them, and who may call nothing
// can send them, too.
//
//	headers ─▶ tap: a place, or no ─▶ request ─▶ interceptor: the place is free ─▶ access ─▶ ...
type arrivals struct {
	time time.Duration

	mu     sync.Mutex // the rest; no other lock is taken under it
	of     map[string]int
	nobody int // of clients without a role, together
}

func newArrivals() *arrivals { return &arrivals{time: arriveTime, of: map[string]int{}} }

// How many calls of a client may be arriving. Who may do everything may also
// begin many calls at once; others ask for little.
const (
	arrivingFull     = 1024
	arrivingReadOnly = 64
	arrivingNone     = 4
	arrivingNobody   = 16 // of all without a role
)

func arrivingOf(r access.Role) int {
	switch r {
	case access.Full:
		return arrivingFull
	case access.ReadOnly:
		return arrivingReadOnly
	}
	return arrivingNone
}

// arrival is a call's place among those that arrive.
type arrival struct{ over func() }

type arrivalKey struct{}

// tap is a grpc/tap.ServerInHandle. It doesn't wait.
func (a *arrivals) tap(ctx context.Context, info *tap.Info) (context.Context, error) {
	c := access.FromContext(ctx)
	if !a.enter(c) {
		if err := access.Check(ctx, info.FullMethodName); err != nil {
			return ctx, err
		}
		return ctx, status.Errorf(codes.ResourceExhausted, "too many calls of %s have begun without their requests: send those first", c.Name)
	}
	ctx, cancel := context.WithCancel(ctx)
	late := time.AfterFunc(a.time, cancel)
	leave := sync.OnceFunc(func() {
		late.Stop()
		a.leave(c)
	})
	context.AfterFunc(ctx, func() { // it ends with its call
		leave()
		cancel()
	})
	return context.WithValue(ctx, arrivalKey{}, &arrival{leave}), nil
}

func (a *arrivals) enter(c access.Client) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.of[c.Name] >= arrivingOf(c.Role) || c.Role == access.None && a.nobody >= arrivingNobody {
		return false
	}
	a.of[c.Name]++
	if c.Role == access.None {
		a.nobody++
	}
	return true
}

// leave is of a client as it entered.
func (a *arrivals) leave(c access.Client) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.of[c.Name]--; a.of[c.Name] == 0 {
		delete(a.of, c.Name)
	}
	if c.Role == access.None {
		a.nobody--
	}
}

// arrived frees a call's place.
func arrived(ctx context.Context) {
	if a, ok := ctx.Value(arrivalKey{}).(*arrival); ok {
		a.over()
	}
}

// arrivedUnary is the first interceptor: its call's request is there.
func arrivedUnary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	arrived(ctx)
	return handler(ctx, req)
}

// arrivedStream is the first interceptor of streams, whose requests come later.
func arrivedStream(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	return handler(srv, arrivingStream{stream})
}

type arrivingStream struct{ grpc.ServerStream }

// RecvMsg implements grpc.ServerStream.
func (s arrivingStream) RecvMsg(m any) error {
	err := s.ServerStream.RecvMsg(m)
	arrived(s.Context())
	return err
}
