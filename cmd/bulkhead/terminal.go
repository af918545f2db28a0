package main

import (
	"os"

	"golang.org/x/term"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// terminal is this process's terminal, lent to a command. A nil one is none.
type terminal struct {
	fd    int
	saved *term.State
}

// openTerminal returns the terminal that -t asks for.
func openTerminal(want bool) *terminal {
	if !want {
		return nil
	}
	return &terminal{fd: int(os.Stdin.Fd())}
}

// size returns the terminal's size, nil if there is no terminal.
func (t *terminal) size() *bulkheadv1.TerminalSize {
	if t == nil {
		return nil
	}
	columns, rows, err := term.GetSize(t.fd)
	if err != nil {
		return &bulkheadv1.TerminalSize{Rows: 24, Columns: 80} // -t without a terminal, as in scripts
	}
	return &bulkheadv1.TerminalSize{Rows: uint32(rows), Columns: uint32(columns)}
}

// makeRaw leaves every key to the guest's terminal.
func (t *terminal) makeRaw() (err error) {
	if t == nil || !term.IsTerminal(t.fd) {
		return nil
	}
	t.saved, err = term.MakeRaw(t.fd)
	return err
}

func (t *terminal) restore() {
	if t != nil && t.saved != nil {
		term.Restore(t.fd, t.saved) // the terminal is there: it was made raw
	}
}
