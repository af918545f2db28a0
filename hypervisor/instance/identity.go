package instance

import (
	"crypto/rand"
	"time"

	"google.golang.org/protobuf/proto"

	agentv1 "github.com/bulkhead-vm/bulkhead/guestkernel/agentapi/v1"
)

// entropySize is how many random bytes a guest gets with a new identity.
const entropySize = 64

// renewal is the plan's identity with what is another each time: random numbers,
// and the time.
func (i *Instance) renewal() *agentv1.RenewRequest {
	r := proto.CloneOf(i.plan.Identity)
	r.Entropy = make([]byte, entropySize)
	rand.Read(r.Entropy) // never fails
	r.UnixTimeNs = time.Now().UnixNano()
	return r
}
