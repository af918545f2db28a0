package overlay

import (
	"fmt"

	"github.com/bulkhead-vm/bulkhead/devices/iovec"
)

// ReadAt fills bufs from off on.
func (o *Overlay) ReadAt(bufs [][]byte, off int64) error {
	_, err := o.read(bufs, off, func(present bool, view [][]byte, off int64) (bool, error) {
		if present {
			return true, o.top.ReadAt(view, o.dataOffset+off)
		}
		return true, o.base.ReadAt(view, off)
	})
	return err
}

// TryReadAt is ReadAt if all is in memory; otherwise it reports false.
func (o *Overlay) TryReadAt(bufs [][]byte, off int64) (bool, error) {
	return o.read(bufs, off, func(present bool, view [][]byte, off int64) (bool, error) {
		if present {
			return o.top.TryReadAt(view, o.dataOffset+off)
		}
		return o.base.TryReadAt(view, off)
	})
}

// read cuts bufs where the disk goes from overlay to base or back.
func (o *Overlay) read(bufs [][]byte, off int64, from func(bool, [][]byte, int64) (bool, error)) (bool, error) {
	n := int64(iovec.Len(bufs))
	if n == 0 {
		return true, nil // perhaps behind the last cluster
	}
	first, end := clusters(off, n)
	if run, present := o.present.run(first, end); run == end-first {
		return from(present, bufs, off) // nearly always
	}
	var view [][]byte
	for at := off; at < off+n; {
		run, present := o.present.run(at/Cluster, end)
		next := min((at/Cluster+run)*Cluster, off+n)
		view = iovec.Cut(view[:0], bufs, int(at-off), int(next-at))
		if done, err := from(present, view, at); !done || err != nil {
			return false, err
		}
		at = next
	}
	return true, nil
}

// clusters returns the first of the clusters that n bytes at off touch, and
// the one after the last.
func clusters(off, n int64) (first, end int64) {
	return off / Cluster, (off + n + Cluster - 1) / Cluster
}

// WriteAt writes bufs from off on.
func (o *Overlay) WriteAt(bufs [][]byte, off int64) error {
	return o.change(off, int64(iovec.Len(bufs)), func() error { return o.top.WriteAt(bufs, o.dataOffset+off) })
}

// TryWriteAt is WriteAt if that goes to memory alone; otherwise it reports
// false.
func (o *Overlay) TryWriteAt(bufs [][]byte, off int64) (done bool, err error) {
	n := int64(iovec.Len(bufs))
	if n == 0 {
		return true, nil // clusters would say one
	}
	o.update.RLock()
	defer o.update.RUnlock()
	if _, missing := o.missing(off, n); missing > 0 {
		return false, nil
	}
	if done, err = o.top.TryWriteAt(bufs, o.dataOffset+off); done && err == nil {
		o.present.set(clusters(off, n))
	}
	return done, err
}

// WriteZeroes makes n bytes from off on read as zeroes.
func (o *Overlay) WriteZeroes(off, n int64, unmap bool) error {
	return o.change(off, n, func() error { return o.top.WriteZeroes(o.dataOffset+off, n, unmap) })
}

// Discard gives the room of n bytes from off on back to the host where it can;
// they don't read as what the base has there any more.
func (o *Overlay) Discard(off, n int64) error {
	return o.change(off, n, func() error { return o.top.Discard(o.dataOffset+off, n) })
}

// change has write change n bytes at off of the overlay file, and what it
// needs of the base there first.
func (o *Overlay) change(off, n int64, write func() error) error {
	if n == 0 {
		return nil
	}
	if err := o.copyUp(off, n); err != nil {
		return fmt.Errorf("copy up: %w", err)
	}
	o.update.RLock()
	defer o.update.RUnlock()
	if err := write(); err != nil {
		return err
	}
	o.present.set(clusters(off, n))
	return nil
}

// missing returns the clusters, n of them, of which size bytes at off are only
// a part and that are still in the base. size is at least 1.
func (o *Overlay) missing(off, size int64) (list [2]int64, n int) {
	first, end := clusters(off, size)
	last := end - 1
	if off%Cluster != 0 && !o.present.has(first) {
		list[n] = first
		n++
	}
	whole := (off+size)%Cluster == 0 || off+size == int64(o.size)
	if !whole && !o.present.has(last) && (n == 0 || last != first) {
		list[n] = last
		n++
	}
	return list, n
}

// copyUp takes the clusters that are going to change in part to the overlay.
func (o *Overlay) copyUp(off, n int64) error {
	o.update.RLock()
	list, missing := o.missing(off, n)
	o.update.RUnlock()
	if missing == 0 {
		return nil
	}
	o.update.Lock()
	defer o.update.Unlock()
	for _, c := range list[:missing] {
		if o.present.has(c) {
			continue // somebody else was here first
		}
		buf := [][]byte{make([]byte, min(Cluster, int64(o.size)-c*Cluster))}
		if err := o.base.ReadAt(buf, c*Cluster); err != nil {
			return err
		}
		if err := o.top.WriteAt(buf, o.dataOffset+c*Cluster); err != nil {
			return err
		}
		o.present.set(c, c+1)
	}
	return nil
}
