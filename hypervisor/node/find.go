package node

import (
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// lookup returns a sandbox, nil if there is none of the name.
func (n *Node) lookup(name string) *sandbox {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.sandboxes[name]
}

// find is lookup with an error.
func (n *Node) find(name string) (*sandbox, error) {
	if s := n.lookup(name); s != nil {
		return s, nil
	}
	return nil, noSandbox(name)
}

// all returns the sandboxes in the order of their names.
func (n *Node) all() (all []*sandbox) {
	n.mu.Lock()
	for _, s := range n.sandboxes {
		all = append(all, s)
	}
	n.mu.Unlock()
	slices.SortFunc(all, func(a, b *sandbox) int { return strings.Compare(a.name, b.name) })
	return all
}

// Get returns a sandbox. The caller doesn't change it.
func (n *Node) Get(name string) (*bulkheadv1.Sandbox, error) {
	s, err := n.find(name)
	if err != nil {
		return nil, err
	}
	return s.seen.Load(), nil
}

// maxStates is how many states a list may be of: more than there are.
const maxStates = 16

// List returns a page of the sandboxes that are asked for.
func (n *Node) List(r *bulkheadv1.ListSandboxesRequest) (*bulkheadv1.ListSandboxesResponse, error) {
	asked, err := readPage(r)
	if err != nil {
		return nil, err
	}
	if len(r.GetStates()) > maxStates {
		return nil, fault.InvalidField("states", strconv.Itoa(maxStates)+" are the most")
	}
	page := &bulkheadv1.ListSandboxesResponse{ResourceVersion: n.config.Store.Version()} // before anything is read
	if r.GetPageToken() != "" {
		page.ResourceVersion = asked.version
	}
	bytes := 0
	for _, s := range n.all() {
		seen := s.seen.Load()
		if s.name <= asked.after || !asked.selector.Matches(seen.GetSpec().GetLabels()) || !inState(seen, r.GetStates()) {
			continue
		}
		if got := len(page.Sandboxes); got == asked.size || bytes >= pageBytes {
			page.NextPageToken = token(page.Sandboxes[got-1].GetName(), page.ResourceVersion)
			break
		}
		page.Sandboxes, bytes = append(page.Sandboxes, seen), bytes+proto.Size(seen)
	}
	return page, nil
}

func inState(s *bulkheadv1.Sandbox, states []bulkheadv1.SandboxState) bool {
	return len(states) == 0 || slices.Contains(states, s.GetStatus().GetState())
}

// All returns every sandbox, in the order of names. The caller changes none.
func (n *Node) All() (all []*bulkheadv1.Sandbox) {
	for _, s := range n.all() {
		all = append(all, s.seen.Load())
	}
	return all
}
