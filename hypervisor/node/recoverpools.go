package node

import (
	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
)

// recoverPools takes the pools of the store up again, with their members. Those whose
// pool was deleted are removed.
func (n *Node) recoverPools(members []*storev1.Record) error {
	records, err := n.config.Store.Pools()
	if err != nil {
		return err
	}
	known := map[string]bool{}
	for _, r := range records {
		known[r.GetPool().GetUid()] = true
	}
	for _, r := range members { // first: pools make those that are missing
		begin := (*sandbox).recover
		if !known[r.GetPool()] {
			begin = (*sandbox).recoverStray
		}
		n.add(r, begin)
	}
	for _, r := range records {
		if _, err := n.addPool(r); err != nil {
			return err
		}
	}
	return nil
}

// recoverStray is recover for a member without a pool.
func (s *sandbox) recoverStray() {
	s.recover()
	s.doom("its pool is deleted")
}
