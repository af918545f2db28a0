// Package progress tells the user how far a long build is: one line that is
// updated on a terminal, a plain line now and then everywhere else.
package progress

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

const (
	terminalEvery = 200 * time.Millisecond
	plainEvery    = 10 * time.Second
)

// Line reports the progress of one build after the other. It may be used by
// several goroutines.
type Line struct {
	mu    sync.Mutex
	out   io.Writer
	tty   bool
	now   func() time.Time
	start time.Time
	last  time.Time // of the last report
	stage string
	drawn bool // an unfinished line is on the terminal
}

// New returns a Line on f. Whether f is a terminal decides its form.
func New(f *os.File) *Line {
	info, err := f.Stat()
	return newLine(f, err == nil && info.Mode()&os.ModeCharDevice != 0, time.Now)
}

func newLine(out io.Writer, tty bool, now func() time.Time) *Line {
	return &Line{out: out, tty: tty, now: now, start: now()}
}

// Stage begins a stage and reports it.
func (l *Line) Stage(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stage = name
	l.report("")
}

// Step reports that done of about total steps of the stage are done, unless
// the last report was a moment ago.
func (l *Line) Step(done, total int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	every := plainEvery
	if l.tty {
		every = terminalEvery
	}
	if l.now().Sub(l.last) < every {
		return
	}
	l.report(fmt.Sprintf(" %d of about %d files", done, max(done, total)))
}

// Say prints a line of its own.
func (l *Line) Say(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clear()
	fmt.Fprintln(l.out, text)
}

// Done ends the line; a later Stage starts anew.
func (l *Line) Done() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clear()
}

func (l *Line) report(detail string) {
	l.last = l.now()
	text := fmt.Sprintf("%s%s, %s", l.stage, detail, l.last.Sub(l.start).Round(time.Second))
	if !l.tty {
		fmt.Fprintln(l.out, text)
		return
	}
	fmt.Fprintf(l.out, "\r\x1b[K%s", text)
	l.drawn = true
}

func (l *Line) clear() {
	if l.drawn {
		fmt.Fprint(l.out, "\r\x1b[K")
		l.drawn = false
	}
}
