package main

import (
	"errors"
	"os"

	"golang.org/x/term"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// terminal is this process's terminal, lent to a command. A nil one is none.
type terminal struct {
	in, out int // standard input and output
	saved   *term.State
}

// openTerminal returns the terminal that -t asks for.
func openTerminal(want bool) *terminal {
	if !want {
		return nil
	}
	return &terminal{in: int(os.Stdin.Fd()), out: int(os.Stdout.Fd())}
}

// checkTerminal refuses -it where nobody can type: as docker has it.
func checkTerminal(interactive, tty bool) error {
	if interactive && tty && !term.IsTerminal(int(os.Stdin.Fd())) {
		return errors.New("-t with -i: standard input is no terminal: leave one of them out")
	}
	return nil
}

// size returns the size of the command's terminal, nil if it has none. Where this
// process has no terminal either, as in scripts, it is the usual one.
func (t *terminal) size() *bulkheadv1.TerminalSize {
	if t == nil {
		return nil
	}
	if s := t.ownSize(); s != nil {
		return s
	}
	return &bulkheadv1.TerminalSize{Rows: 24, Columns: 80}
}

// ownSize returns the size of this process's terminal, nil if it has none.
func (t *terminal) ownSize() *bulkheadv1.TerminalSize {
	if t == nil {
		return nil
	}
	for _, fd := range []int{t.in, t.out} {
		if columns, rows, err := term.GetSize(fd); err == nil && columns > 0 && rows > 0 {
			return &bulkheadv1.TerminalSize{Rows: uint32(rows), Columns: uint32(columns)}
		}
	}
	return nil
}

// makeRaw leaves every key to the guest's terminal.
func (t *terminal) makeRaw() (err error) {
	if t == nil || !term.IsTerminal(t.in) {
		return nil
	}
	t.saved, err = term.MakeRaw(t.in)
	return err
}

// isRaw reports whether makeRaw found a terminal.
func (t *terminal) isRaw() bool { return t != nil && t.saved != nil }

func (t *terminal) restore() {
	if t.isRaw() {
		term.Restore(t.in, t.saved) // the terminal is there: it was made raw
	}
}
