package memory

// Touched returns which pages somebody has accessed since the memory was made, the
// guest or a device, in ascending order and in at most so many pieces: beyond that
// what lies between is in, too. For a file that is mapped, the host counts what it
// mapped beside what was accessed.
func (m *Memory) Touched(most int) ([]Run, error) {
	all := &runs{most: max(most, 1)}
	if m.pager != nil {
		m.pager.Touched(all.add)
		return all.all, nil
	}
	base := uint64(0)
	for _, r := range m.regions {
		err := m.pages(r, func(_, entry uint64) bool { return isThere(entry) }, func(from, to uint64) error {
			all.add(base+from, base+to)
			return nil
		})
		if err != nil {
			return nil, err
		}
		base += r.Size
	}
	return all.all, nil
}
