package node

import (
	"google.golang.org/protobuf/proto"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// GetPool returns the pool of a name.
func (n *Node) GetPool(name string) (*bulkheadv1.Pool, error) {
	if err := n.checkPools(); err != nil {
		return nil, err
	}
	p, err := n.findPool(name)
	if err != nil {
		return nil, err
	}
	return p.shown(), nil
}

// ListPools returns a page of the pools that are asked for.
func (n *Node) ListPools(r *bulkheadv1.ListPoolsRequest) (*bulkheadv1.ListPoolsResponse, error) {
	if err := n.checkPools(); err != nil {
		return nil, err
	}
	asked, err := readPage(r)
	if err != nil {
		return nil, err
	}
	page, bytes := &bulkheadv1.ListPoolsResponse{}, 0
	for _, p := range n.allPools() {
		if p.name <= asked.after || !asked.selector.Matches(p.record.Load().GetPool().GetLabels()) {
			continue
		}
		if got := len(page.Pools); got == asked.size || bytes >= pageBytes {
			page.NextPageToken = token(page.Pools[got-1].GetName(), 0)
			break
		}
		shown := p.shown()
		page.Pools, bytes = append(page.Pools, shown), bytes+proto.Size(shown)
	}
	return page, nil
}
