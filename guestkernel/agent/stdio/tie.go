package stdio

import "github.com/bulkhead-vm/bulkhead/guestkernel/agent/streams"

// tie tells when the host lets go of a process that runs. It looks beside the
// input, which may be stuck: the process needn't read.
type tie struct {
	watch *streams.Watch
	gone  func()
	over  chan struct{} // closed by cut
}

func newTie(s *streams.Link, gone func()) (*tie, error) {
	w, err := s.Watch()
	if err != nil {
		return nil, err
	}
	return &tie{w, gone, make(chan struct{})}, nil
}

// run ends when the host is gone, or after cut.
func (t *tie) run() {
	if t.watch.Wait() {
		t.gone()
	}
}

// cut ends the tie, if there is one. It is called once.
func (t *tie) cut() {
	if t != nil {
		close(t.over)
		t.watch.Close()
	}
}
