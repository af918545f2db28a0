package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/term"
)

// progress shows on a terminal how many bytes have passed. It is a writer of them,
// for one goroutine.
type progress struct {
	out   io.Writer // nil: nothing is shown
	what  string
	shown bool // show's
	done  chan struct{}
	ended sync.WaitGroup
	bytes atomic.Uint64
}

// progressTime is how often it is shown.
const progressTime = 500 * time.Millisecond

// showProgress shows it, if standard error is a terminal, until end is called.
func showProgress(what string) *progress {
	p := &progress{what: what, done: make(chan struct{})}
	if term.IsTerminal(int(os.Stderr.Fd())) {
		p.out = os.Stderr
		p.ended.Go(p.show)
	}
	return p
}

// Write implements io.Writer. It never fails.
func (p *progress) Write(b []byte) (int, error) {
	p.bytes.Add(uint64(len(b)))
	return len(b), nil
}

func (p *progress) show() {
	tick := time.NewTicker(progressTime)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			p.print("")
		case <-p.done:
			if p.shown {
				p.print("\n")
			}
			return
		}
	}
}

// print shows it once, in the place of what was shown before.
func (p *progress) print(end string) {
	p.shown = true
	fmt.Fprintf(p.out, "\r%s %s \x1b[K%s", bytesText(p.bytes.Load()), p.what, end)
}

func (p *progress) end() {
	close(p.done)
	p.ended.Wait()
}
