// Package capacity is what a node has to give, and who was given it.
package capacity

import (
	"fmt"
	"sync"

	"github.com/docker/go-units"
)

// Overhead is what a sandbox takes of the host's memory beyond its guest's: the
// worker, page tables, and what a kernel keeps for both.
const Overhead = 16 << 20

// Resources are processors and bytes of memory.
type Resources struct {
	CPUs   float64
	Memory uint64
}

// Ledger gives out resources, each under the name of who has it. Its methods may
// be called from any goroutine.
type Ledger struct {
	mu    sync.Mutex
	total Resources
	given map[string]Resources
	sum   Resources
}

// NewLedger returns one that has total to give.
func NewLedger(total Resources) *Ledger {
	return &Ledger{total: total, given: map[string]Resources{}}
}

// ShortageError says that there isn't enough left.
type ShortageError struct {
	Want, Free Resources
}

func (e *ShortageError) Error() string {
	size := func(n uint64) string { return units.BytesSize(float64(n)) }
	return fmt.Sprintf("%g CPUs and %s of memory are wanted, %g and %s are free: end another sandbox, ask for less or go to another node",
		e.Want.CPUs, size(e.Want.Memory), e.Free.CPUs, size(e.Free.Memory))
}

// Reserve gives r to name, which has nothing yet or the same already. It fails
// with *ShortageError.
func (l *Ledger) Reserve(name string, r Resources) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.given[name]; ok {
		return nil
	}
	free := l.free()
	if r.CPUs > free.CPUs || r.Memory > free.Memory {
		return &ShortageError{Want: r, Free: free}
	}
	l.give(name, r)
	return nil
}

// FitsWithout reports whether r could be given if the others had nothing.
func (l *Ledger) FitsWithout(r Resources, others []string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	left := l.sum
	for _, name := range others {
		left.CPUs -= l.given[name].CPUs
		left.Memory -= l.given[name].Memory
	}
	return left.CPUs+r.CPUs <= l.total.CPUs && left.Memory+r.Memory <= l.total.Memory
}

// Take is Reserve for who has it already, whatever is left: the node may have
// been made smaller meanwhile.
func (l *Ledger) Take(name string, r Resources) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.given[name]; !ok {
		l.give(name, r)
	}
}

func (l *Ledger) give(name string, r Resources) {
	l.given[name] = r
	l.sum.CPUs += r.CPUs
	l.sum.Memory += r.Memory
}

// free returns what is left, never less than nothing. The caller holds l.mu.
func (l *Ledger) free() Resources {
	f := Resources{CPUs: max(l.total.CPUs-l.sum.CPUs, 0)}
	if l.sum.Memory < l.total.Memory {
		f.Memory = l.total.Memory - l.sum.Memory
	}
	return f
}

// Release takes back what name has, if anything.
func (l *Ledger) Release(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.given[name]
	delete(l.given, name)
	l.sum.CPUs -= r.CPUs
	l.sum.Memory -= r.Memory
}

// SetTotal changes what there is to give. Who has something keeps it.
func (l *Ledger) SetTotal(total Resources) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total = total
}

// Totals returns what there is to give and what is given.
func (l *Ledger) Totals() (total, given Resources) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total, l.sum
}
