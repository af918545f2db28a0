package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/bulkhead-vm/bulkhead/vmm/machine"
)

// profiler counts where a machine's first vCPU is found.
type profiler struct {
	machine  *machine.Machine
	symbols  symbols
	interval time.Duration

	mu      sync.Mutex
	current *phase
	phases  []*phase
	last    time.Time // of the latest sample
}

// phase is a part of the guest's life.
type phase struct {
	name  string
	start time.Time
	took  time.Duration
	// self is the time spent in each function, total that with all it called.
	self, total map[string]time.Duration
}

func newProfiler(m *machine.Machine, s symbols, interval time.Duration) *profiler {
	return &profiler{machine: m, symbols: s, interval: interval}
}

// phase begins the named part and ends the one before; an empty name begins
// none.
func (p *profiler) phase(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if p.current != nil {
		p.current.took = now.Sub(p.current.start)
	}
	p.current = nil
	if name != "" {
		p.current = &phase{name: name, start: now, self: map[string]time.Duration{}, total: map[string]time.Duration{}}
		p.phases = append(p.phases, p.current)
	}
}

// sample looks until the machine ends.
func (p *profiler) sample() {
	for {
		select {
		case <-p.machine.Done():
			return
		case <-time.After(p.interval):
		}
		p.look()
	}
}

// look counts the time since the latest look for where the vCPU is now.
func (p *profiler) look() {
	p.machine.Pause()
	regs, err := p.machine.Registers()
	var callers []string
	if err == nil {
		callers = p.symbols.stack(p.machine.Memory(), regs[0].RSP)
	}
	p.machine.Resume()
	if err != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	since := now.Sub(p.last)
	p.last = now
	if p.current == nil || since > time.Second {
		return
	}
	self := p.symbols.name(regs[0].RIP)
	p.current.self[self] += since
	seen := map[string]bool{}
	for _, name := range append(callers, self) {
		if !seen[name] {
			p.current.total[name] += since
		}
		seen[name] = true
	}
}

func (p *profiler) print(w io.Writer, top int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, ph := range p.phases {
		fmt.Fprintf(w, "\n%s: %v\n", ph.name, ph.took.Round(time.Millisecond))
		self, total := longest(ph.self), longest(ph.total)
		for i := range min(top, max(len(self), len(total))) {
			fmt.Fprintf(w, "%s   %s\n", column(ph.self, self, i), column(ph.total, total, i))
		}
	}
}

// longest returns the names by time, longest first.
func longest(times map[string]time.Duration) []string {
	return slices.SortedFunc(maps.Keys(times), func(a, b string) int { return cmp.Compare(times[b], times[a]) })
}

func column(times map[string]time.Duration, names []string, i int) string {
	if i >= len(names) {
		return fmt.Sprintf("%49s", "")
	}
	return fmt.Sprintf("%6d ms  %-38.38s", times[names[i]].Milliseconds(), names[i])
}
