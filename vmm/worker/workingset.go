package worker

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/bulkhead-vm/bulkhead/vmm/memory"
	"github.com/bulkhead-vm/bulkhead/vmm/snapshot"

	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// workingSet has written down what a guest touches that goes on from a snapshot of
// which nobody knows that.
type workingSet struct {
	of   *snapshot.Snapshot // nil: nothing is to be written down
	ram  *memory.Memory
	once sync.Once // begins, or ends before it began
	// partial is set once a snapshot has ram be mapped anew: what was touched before
	// isn't known any more.
	partial atomic.Bool
	end     chan struct{}
	done    sync.WaitGroup
}

// prefetch has what was written down be read, beside the making of the machine. What
// can't be used is as good as nothing.
func (w *Worker) prefetch(s *snapshot.Snapshot, ram *memory.Memory, o *vmmv1.MemoryOptions) {
	if s == nil || o.GetPrefetch() == vmmv1.Prefetch_PREFETCH_OFF {
		return
	}
	runs, err := s.WorkingSet()
	if err != nil {
		w.config.Log.Info("nothing is prefetched, and the working set made anew", "error", err)
	}
	if len(runs) == 0 {
		w.touched = workingSet{of: s, ram: ram, end: make(chan struct{})}
		return
	}
	ram.Prefetch(runs, func(uint64) { w.config.Timeline.Mark("working set prefetched") })
}

// settleTime is how long a guest that has its identity goes on before what it touched
// is written down.
const settleTime = time.Second

// begin writes it down in a while, once.
func (s *workingSet) begin(w *Worker) {
	if s.of == nil {
		return
	}
	s.once.Do(func() {
		s.done.Go(func() {
			select {
			case <-time.After(settleTime):
			case <-s.end:
				return
			}
			touched, err := s.ram.Touched(snapshot.MaxWorkingSet)
			if s.partial.Load() {
				return // it is for the next one
			}
			if err == nil {
				err = s.of.SetWorkingSet(touched)
			}
			if err != nil { // such as for a directory that can't be written to
				w.config.Log.Info("what the guest needs isn't known to others", "error", err)
			}
		})
	})
}

// settle ends it, and waits until nobody looks at the memory any more.
func (s *workingSet) settle() {
	if s.of == nil {
		return
	}
	s.once.Do(func() {})
	close(s.end)
	s.done.Wait()
}
