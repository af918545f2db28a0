package blk

// start carries r out if that takes no disk, and reports false if it does.
// Whatever the host's disk has to say becomes a status.
func (q *queue) start(r *request) (status byte, done bool) {
	switch r.kind {
	case typeIn:
		e, ok := q.dev.extent(r)
		if !ok || r.dataLen == 0 {
			return statusOf(ok), true
		}
		done, err := q.dev.prompt.TryReadAt(r.data, e.off)
		return statusOf(err == nil), done || err != nil
	case typeOut:
		e, ok := q.dev.extent(r)
		if ok = ok && !q.dev.backend.ReadOnly(); !ok || r.dataLen == 0 {
			return statusOf(ok), true
		}
		if q.writeThrough {
			return 0, false
		}
		done, err := q.dev.prompt.TryWriteAt(r.data, e.off)
		return statusOf(err == nil), done || err != nil
	case typeDiscard, typeWriteZeroes:
		return statusIOErr, q.dev.backend.ReadOnly()
	case typeFlush:
		return 0, false
	case typeGetID:
		q.dev.getID(r)
		return statusOK, true
	}
	return statusUnsupported, true
}

// bulkSize is from how much data on a request takes its turn with others of its
// size. Drivers rarely make one.
const bulkSize = 4 << 20

// bulky reports whether the disk may take long for r.
func (r *request) bulky() bool { return r.dataLen > bulkSize || r.kind == typeWriteZeroes }

// finish carries out what start could not, unless the device is being reset.
// What it writes for a driver that can't flush is durable before it says so;
// section 5.2.6.2.
func (q *queue) finish(r *request) byte {
	if r.bulky() {
		q.dev.bulk.Lock()
		defer q.dev.bulk.Unlock()
	}
	if q.q.Stopping() {
		return statusIOErr // nobody will see it
	}
	status := q.wait(r)
	if q.writeThrough && status == statusOK && (r.kind == typeOut || r.kind == typeWriteZeroes) {
		status = statusOf(q.dev.backend.Flush() == nil)
	}
	return status
}

// wait has the disk carry r out.
func (q *queue) wait(r *request) byte {
	b := q.dev.backend
	switch r.kind {
	case typeIn:
		e, ok := q.dev.extent(r) // again: the disk may have shrunk
		return statusOf(ok && b.ReadAt(r.data, e.off) == nil)
	case typeOut:
		e, ok := q.dev.extent(r)
		return statusOf(ok && b.WriteAt(r.data, e.off) == nil)
	case typeFlush:
		return statusOf(b.Flush() == nil)
	}
	return q.dev.segments(r)
}

func statusOf(ok bool) byte {
	if ok {
		return statusOK
	}
	return statusIOErr
}

func (d *Device) getID(r *request) {
	n := 0
	for _, b := range r.data {
		m := copy(b, d.serial[n:])
		clear(b[m:])
		n += m
	}
}
