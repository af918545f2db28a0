package snapshot

import (
	"fmt"

	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// maxLayers is how many a snapshot's memory has at most. Each takes a descriptor, and
// time when the memory is mapped.
const maxLayers = 8

// layer is one of the files that memory is made of. What the ones above it have hides
// what it has.
type layer struct {
	*large
	base  bool  // it is all of memory, and the lowest
	pages pages // of one that isn't
}

// layerName is the file of the layer that is so many below the uppermost.
func layerName(i int) string {
	if i == 0 {
		return memoryName
	}
	return fmt.Sprintf("%s.%d", memoryName, i)
}

// pieces returns what the layer has.
func (l *layer) pieces() []memory.Piece {
	if l.base {
		return []memory.Piece{{Size: l.size}}
	}
	return l.pages
}

// visible returns for each layer, uppermost first, what no other one hides.
func visible(layers []*layer) [][]memory.Piece {
	all := make([][]memory.Piece, len(layers))
	var above []memory.Piece
	for i, l := range layers {
		all[i] = memory.Without(l.pieces(), above)
		if i < len(layers)-1 {
			above = memory.Merge(above, all[i])
		}
	}
	return all
}

// view returns the memory that layers make.
func view(layers []*layer, size uint64) (*memory.Memory, error) {
	base := len(layers) - 1
	m, err := memory.FromFile(layers[base].file, size)
	if err != nil {
		return nil, err
	}
	for i, pieces := range visible(layers)[:base] {
		if err := m.Layer(layers[i].file, pieces); err != nil {
			return nil, closeBoth(err, m)
		}
	}
	return m, nil
}
