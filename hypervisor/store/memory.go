package store

import (
	"maps"
	"slices"
	"sync"

	"google.golang.org/protobuf/proto"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
)

// Memory is a Store that ends with its process: for a node whose sandboxes do.
type Memory struct {
	Notifier

	mu       sync.Mutex
	records  map[string]*storev1.Record
	pools    map[string]*storev1.Pool
	members  map[string]*storev1.Record
	events   []*storev1.Event // the last of them, which is number version
	size     int              // of events
	draining bool
}

var _ Store = (*Memory)(nil)

// NewMemory returns an empty store.
func NewMemory() *Memory {
	return &Memory{records: map[string]*storev1.Record{}, pools: map[string]*storev1.Pool{}, members: map[string]*storev1.Record{}}
}

// Records implements Store.
func (m *Memory) Records() ([]*storev1.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Values(m.records)), nil
}

// Put implements Store.
func (m *Memory) Put(r *storev1.Record, c Change) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.records[r.GetSandbox().GetName()] = r
	return m.remember(Event(r, c.Type, c.Message)), nil
}

// Delete implements Store.
func (m *Memory) Delete(r *storev1.Record, message string) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.records, r.GetSandbox().GetName())
	return m.remember(Event(r, bulkheadv1.EventType_EVENT_TYPE_DELETED, message)), nil
}

// remember numbers a change. The caller holds m.mu.
func (m *Memory) remember(e *storev1.Event) uint64 {
	version := m.Version() + 1
	e.Sandbox.ResourceVersion = version
	m.events, m.size = append(m.events, e), m.size+proto.Size(e)
	for len(m.events) > MaxEvents || m.size > MaxEventBytes && len(m.events) > 1 {
		m.size -= proto.Size(m.events[0])
		m.events[0] = nil
		m.events = m.events[1:]
	}
	m.Notify(version)
	return version
}

// Events implements Store.
func (m *Memory) Events(after uint64, limit int) ([]*storev1.Event, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	version := m.Version()
	behind := version - after
	if after > version || behind > uint64(len(m.events)) {
		return nil, ErrForgotten
	}
	events := m.events[uint64(len(m.events))-behind:]
	n, size := 0, 0
	for n < min(len(events), limit) && size < BatchBytes {
		size += proto.Size(events[n])
		n++
	}
	return slices.Clone(events[:n]), nil
}

// Draining implements Store.
func (m *Memory) Draining() (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.draining, nil
}

// SetDraining implements Store.
func (m *Memory) SetDraining(draining bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.draining = draining
	return nil
}

// Close implements Store.
func (m *Memory) Close() error { return nil }
