package logfile

import "time"

// stream is a Writer's, under a label.
type stream struct {
	w     *Writer
	label string
}

// Write implements io.Writer.
func (s *stream) Write(p []byte) (int, error) {
	for piece, rest := cut(p); len(piece) > 0; piece, rest = cut(rest) {
		s.w.add(s.label, piece)
	}
	return len(p), nil
}

// add makes piece a record, or has it count as lost.
func (w *Writer) add(label string, piece []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.room() {
		w.lost++
		return
	}
	if now := time.Now(); now.After(w.latest) {
		w.latest = now
	}
	w.pending = appendRecord(w.pending, w.latest, label, piece)
	w.wake()
}

// room waits until one more line may be pending, and reports whether it may. The
// caller holds w.mu, which is free meanwhile.
func (w *Writer) room() bool {
	for !w.closed && !w.stuck && len(w.pending) > maxPending-maxLine {
		taken := w.taken
		w.mu.Unlock()
		select {
		case <-taken:
		case <-time.After(w.wait):
		}
		w.mu.Lock()
		w.stuck = w.stuck || taken == w.taken
	}
	return !w.closed && !w.stuck
}
