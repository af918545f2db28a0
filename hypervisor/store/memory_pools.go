package store

import (
	"maps"
	"slices"

	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
)

// Pools implements Pools.
func (m *Memory) Pools() ([]*storev1.Pool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Values(m.pools)), nil
}

// PutPool implements Pools.
func (m *Memory) PutPool(p *storev1.Pool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pools[p.GetPool().GetName()] = p
	return nil
}

// DeletePool implements Pools.
func (m *Memory) DeletePool(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.pools, name)
	return nil
}

// Members implements Pools.
func (m *Memory) Members() ([]*storev1.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Values(m.members)), nil
}

// PutMember implements Pools.
func (m *Memory) PutMember(r *storev1.Record, _ bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.members[r.GetSandbox().GetName()] = r
	return nil
}

// DeleteMember implements Pools.
func (m *Memory) DeleteMember(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.members, name)
	return nil
}

// Claim implements Pools.
func (m *Memory) Claim(r *storev1.Record, c Change) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.members, r.GetHostName())
	m.records[r.GetSandbox().GetName()] = r
	return m.remember(Event(r, c.Type, c.Message)), nil
}
