package node

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/labels"

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

// Sizes of pages.
const (
	defaultPage = 100
	maxPage     = 1000
	pageBytes   = 1 << 20 // up to the sandbox with which it is as much or more
)

// maxStates is how many states a list may be of: more than there are.
const maxStates = 16

// List returns a page of the sandboxes that are asked for.
func (n *Node) List(r *bulkheadv1.ListSandboxesRequest) (*bulkheadv1.ListSandboxesResponse, error) {
	selector, err := labels.Parse(r.GetLabelSelector())
	if err != nil {
		return nil, fault.InvalidField("label_selector", err.Error())
	}
	size, err := pageSize(r.GetPageSize())
	if err != nil {
		return nil, err
	}
	if len(r.GetStates()) > maxStates {
		return nil, fault.InvalidField("states", strconv.Itoa(maxStates)+" are the most")
	}
	page := &bulkheadv1.ListSandboxesResponse{ResourceVersion: n.config.Store.Version()} // before anything is read
	after := ""
	if r.GetPageToken() != "" {
		if after, page.ResourceVersion, err = readToken(r.GetPageToken()); err != nil {
			return nil, errPageToken()
		}
	}
	bytes := 0
	for _, s := range n.all() {
		seen := s.seen.Load()
		if s.name <= after || !selector.Matches(seen.GetSpec().GetLabels()) || !inState(seen, r.GetStates()) {
			continue
		}
		if got := len(page.Sandboxes); got == size || bytes >= pageBytes {
			page.NextPageToken = token(page.Sandboxes[got-1].GetName(), page.ResourceVersion)
			break
		}
		page.Sandboxes, bytes = append(page.Sandboxes, seen), bytes+proto.Size(seen)
	}
	return page, nil
}

// pageSize returns how many a page has of which so many are asked for.
func pageSize(asked uint32) (int, error) {
	switch {
	case asked == 0:
		return defaultPage, nil
	case asked > maxPage:
		return 0, fault.InvalidField("page_size", "it is at most "+strconv.Itoa(maxPage))
	}
	return int(asked), nil
}

func errPageToken() error {
	return fault.InvalidField("page_token", "it is none that this node gave: begin with the first page")
}

func inState(s *bulkheadv1.Sandbox, states []bulkheadv1.SandboxState) bool {
	return len(states) == 0 || slices.Contains(states, s.GetStatus().GetState())
}

// token is where a page ended, and the version that the first one had.
func token(name string, version uint64) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatUint(version, 10) + "/" + name))
}

func readToken(token string) (name string, version uint64, err error) {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return "", 0, err
	}
	number, name, _ := strings.Cut(string(b), "/")
	version, err = strconv.ParseUint(number, 10, 64)
	return name, version, err
}

// All returns every sandbox, in the order of names. The caller changes none.
func (n *Node) All() (all []*bulkheadv1.Sandbox) {
	for _, s := range n.all() {
		all = append(all, s.seen.Load())
	}
	return all
}
