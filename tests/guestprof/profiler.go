package main

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"sort"
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
}

// phase is a part of the guest's life.
type phase struct {
	name    string
	start   time.Time
	took    time.Duration
	samples int
	counts  map[string]int
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
		p.current = &phase{name: name, start: now, counts: map[string]int{}}
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
		p.machine.Pause()
		regs, err := p.machine.Registers()
		p.machine.Resume()
		if err == nil {
			p.count(regs[0].RIP)
		}
	}
}

func (p *profiler) count(rip uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current == nil {
		return
	}
	p.current.samples++
	p.current.counts[p.symbols.name(rip)]++
}

func (p *profiler) print(w io.Writer, top int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, ph := range p.phases {
		fmt.Fprintf(w, "\n%s: %v, %d samples\n", ph.name, ph.took.Round(time.Millisecond), ph.samples)
		names := make([]string, 0, len(ph.counts))
		for name := range ph.counts {
			names = append(names, name)
		}
		slices.SortFunc(names, func(a, b string) int { return cmp.Compare(ph.counts[b], ph.counts[a]) })
		for _, name := range names[:min(top, len(names))] {
			share := float64(ph.counts[name]) / float64(ph.samples)
			fmt.Fprintf(w, "%6.1f%%  %7.0f ms  %s\n", 100*share, share*float64(ph.took.Milliseconds()), name)
		}
	}
}

// symbols is a kernel's functions by ascending address.
type symbols []symbol

type symbol struct {
	address uint64
	name    string
}

// readSymbols reads a System.map.
func readSymbols(path string) (s symbols, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var sym symbol
		var kind string
		if _, err := fmt.Sscanf(lines.Text(), "%x %s %s", &sym.address, &kind, &sym.name); err == nil && (kind == "t" || kind == "T") {
			s = append(s, sym)
		}
	}
	slices.SortFunc(s, func(a, b symbol) int { return cmp.Compare(a.address, b.address) })
	return s, lines.Err()
}

// kernelBase is where the kernel's half of the address space begins.
const kernelBase = 1 << 63

func (s symbols) name(rip uint64) string {
	if rip < kernelBase {
		return "(user code)"
	}
	i := sort.Search(len(s), func(i int) bool { return s[i].address > rip })
	if i == 0 {
		return fmt.Sprintf("%#x", rip)
	}
	return s[i-1].name
}
