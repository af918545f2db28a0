package msix_test

import (
	"errors"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/bulkhead-vm/bulkhead/devices/pci/msix"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// restored returns a table like f's that goes on where f's is.
func (f *fixture) restored(t *testing.T) *fixture {
	t.Helper()
	next := newFixture(t)
	if err := next.Restore(f.Save()); err != nil {
		t.Fatal(err)
	}
	if was, is := f.Save(), next.Save(); !proto.Equal(was, is) {
		t.Errorf("%v, was %v", is, was)
	}
	return next
}

// TestRestore has one vector that sends, one that is masked and pending, and one
// that the guest never touched.
func TestRestore(t *testing.T) {
	f := newFixture(t)
	f.control(enable)
	f.program(0, first)
	f.program(1, second)
	f.set(1, 3, masked)
	f.Signal(1)
	next := f.restored(t)
	for i, want := range []int{1, 0, 0} {
		if got := next.vectors[i].Routes(); got != want {
			t.Errorf("vector %d was routed %d times, want %d: what is masked needs none", i, got, want)
		}
		next.wantSent(i)
	}
	next.Signal(0)
	next.wantSent(0, first)
	if got := next.pending(); got != 1<<1 {
		t.Errorf("pending %b, want bit 1", got)
	}
	next.set(1, 3, 0)
	next.wantSent(1, second)
	if got := next.pending(); got != 0 {
		t.Errorf("pending %b after it was sent", got)
	}
}

// TestRestoreMaskedFunction: the function's own mask, and MSI-X being off, hold
// back what is pending as well.
func TestRestoreMaskedFunction(t *testing.T) {
	for name, control := range map[string]byte{"masked": enable | maskAll, "off": 0} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.program(2, first)
			f.control(enable | maskAll)
			f.Signal(2)
			f.control(control)
			next := f.restored(t)
			if n := next.vectors[2].Routes(); n != 0 || next.pending() != 1<<2 {
				t.Errorf("%d routes, pending %b", n, next.pending())
			}
			next.control(enable)
			next.wantSent(2, first)
		})
	}
}

func TestRestoreRouteRefused(t *testing.T) {
	f := newFixture(t)
	f.control(enable)
	f.program(1, first)
	next, refusal := newFixture(t), errors.New("no")
	next.vectors[1].Refuse(refusal)
	if err := next.Restore(f.Save()); err != nil {
		t.Error(err)
	}
	if len(next.failures) != 1 || !errors.Is(next.failures[0], refusal) {
		t.Errorf("failures %v", next.failures)
	}
}

// TestRestoreRefuses forges states that no guest can bring about. Nothing changes.
func TestRestoreRefuses(t *testing.T) {
	for name, forge := range map[string]func(s *statev1.MSIX){
		"nothing":                func(s *statev1.MSIX) { proto.Reset(s) },
		"a vector less":          func(s *statev1.MSIX) { s.Table = s.Table[1:] },
		"a vector more":          func(s *statev1.MSIX) { s.Table = append(s.Table, &statev1.MSIXEntry{}) },
		"another size":           func(s *statev1.MSIX) { s.Control++ },
		"a reserved control bit": func(s *statev1.MSIX) { s.Control |= 1 << 11 },
		"control of 17 bits":     func(s *statev1.MSIX) { s.Control |= 1 << 16 },
		"reserved vector bits":   func(s *statev1.MSIX) { s.Table[2].VectorControl |= 2 },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.control(enable)
			f.program(0, first)
			s := f.Save()
			forge(s)
			next := newFixture(t)
			before := next.Save()
			if err := next.Restore(s); err == nil {
				t.Error("accepted")
			}
			if after := next.Save(); !proto.Equal(before, after) || next.vectors[0].Routes() != 0 {
				t.Errorf("%v, was %v", after, before)
			}
		})
	}
}

// TestRestoreAnyMessage: where a message goes is the guest's choice.
func TestRestoreAnyMessage(t *testing.T) {
	f := newFixture(t)
	f.control(enable)
	odd := msix.Message{Address: ^uint64(0), Data: ^uint32(0)}
	f.program(0, odd)
	next := f.restored(t)
	next.Signal(0)
	next.wantSent(0, odd)
}
