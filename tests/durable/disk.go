package durable

import (
	"errors"
	"fmt"
	"io"
	"slices"
)

// Kind is what an operation does to its units.
type Kind uint32

// The operations that change a disk.
const (
	Write       Kind = iota // they hold its stamp
	WriteZeroes             // they hold zeroes
	Discard                 // they hold zeroes, or what they held before
)

// Op is an operation on N units from First on.
type Op struct {
	Kind     Kind
	First, N int
	Stamp    Stamp // of a Write
}

// Disk knows of each unit what it may hold. It is not safe for use by several
// goroutines.
type Disk struct {
	UnitSize int
	units    [][]Stamp
}

// New returns a disk all of whose units hold s.
func New(units, unitSize int, s Stamp) *Disk {
	d := &Disk{UnitSize: unitSize, units: make([][]Stamp, units)}
	for i := range d.units {
		d.units[i] = []Stamp{s}
	}
	return d
}

// Units returns how many there are.
func (d *Disk) Units() int { return len(d.units) }

// Apply says that op was done after all those before that touch one of its
// units: certainly if it is stable, else perhaps.
func (d *Disk) Apply(op Op, stable bool) {
	for i := op.First; i < op.First+op.N; i++ {
		may := &d.units[i]
		if stable && op.Kind != Discard {
			*may = (*may)[:0]
		}
		var s Stamp
		if op.Kind == Write {
			s = op.Stamp
		}
		if !slices.Contains(*may, s) {
			*may = append(*may, s)
		}
	}
}

// May reports whether content is what the unit of the given number may hold.
func (d *Disk) May(number int, content []byte) error {
	s, whole := Read(content, number)
	switch {
	case !whole:
		return fmt.Errorf("unit %d is torn: it begins %x, may hold %x", number, content[:16], d.units[number])
	case !slices.Contains(d.units[number], s):
		return fmt.Errorf("unit %d holds %x, may hold %x", number, s, d.units[number])
	}
	return nil
}

// maxComplaints bounds what Settle says about a disk that is wrong everywhere.
const maxComplaints = 5

// Settle reads the whole disk, says what it may not hold, and goes on from what
// it does hold.
func (d *Disk) Settle(r io.ReaderAt) error {
	content := make([]byte, len(d.units)*d.UnitSize)
	if _, err := r.ReadAt(content, 0); err != nil {
		return fmt.Errorf("read the disk: %w", err)
	}
	var complaints []error
	for i := range d.units {
		unit := content[i*d.UnitSize:][:d.UnitSize]
		if err := d.May(i, unit); err != nil && len(complaints) < maxComplaints {
			complaints = append(complaints, err)
		}
		s, _ := Read(unit, i)
		d.units[i] = append(d.units[i][:0], s)
	}
	return errors.Join(complaints...)
}
