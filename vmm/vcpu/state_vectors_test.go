package vcpu

import (
	"encoding/binary"
	"math"
	"testing"

	"github.com/bulkhead-vm/bulkhead/vmm/kvm/kvmtest"
)

// The XSAVE area in standard form; Intel SDM volume 1, section 13.4.
const (
	areaXMM    = 160
	areaHeader = 512
)

// areaYMM is where the upper halves are, 0 where there are none.
func areaYMM(t *testing.T, g *kvmtest.Guest) int {
	t.Helper()
	own, err := g.VCPU.CPUID()
	kvmtest.Must(t, err)
	const avxState = 2
	return int(leaf(own, leafXSave, avxState).EBX)
}

// setLanes puts 64-bit values into a vector register, two or four.
func setLanes(t *testing.T, g *kvmtest.Guest, register int, values [4]uint64, lanes int) {
	t.Helper()
	area := make([]byte, g.VCPU.XSaveSize)
	kvmtest.Must(t, g.VCPU.XSave(area))
	for i, v := range values[:lanes] {
		binary.LittleEndian.PutUint64(area[lane(t, g, register, i):], v)
	}
	area[areaHeader] |= 1<<(lanes/2+1) - 1 // in use: x87, SSE and perhaps AVX
	kvmtest.Must(t, g.VCPU.SetXSave(area))
}

// getLanes returns the numbers in a vector register.
func getLanes(t *testing.T, g *kvmtest.Guest, register, lanes int) []uint64 {
	t.Helper()
	area := make([]byte, g.VCPU.XSaveSize)
	kvmtest.Must(t, g.VCPU.XSave(area))
	values := make([]uint64, lanes)
	for i := range values {
		values[i] = uint64(math.Float64frombits(binary.LittleEndian.Uint64(area[lane(t, g, register, i):])))
	}
	return values
}

func lane(t *testing.T, g *kvmtest.Guest, register, i int) int {
	if i < 2 {
		return areaXMM + 16*register + 8*i
	}
	return areaYMM(t, g) + 16*register + 8*(i-2)
}
