package iovec

// Cut appends to dst the parts of bufs from byte off on, at most n bytes and
// none of them empty, and returns it: a view, nothing is copied.
func Cut(dst, bufs [][]byte, off, n int) [][]byte {
	for _, b := range bufs {
		if n == 0 {
			break
		}
		if off >= len(b) {
			off -= len(b)
			continue
		}
		b = b[off:]
		off = 0
		if len(b) > n {
			b = b[:n]
		}
		n -= len(b)
		dst = append(dst, b)
	}
	return dst
}

// Len returns how many bytes bufs hold.
func Len(bufs [][]byte) (n int) {
	for _, b := range bufs {
		n += len(b)
	}
	return n
}
