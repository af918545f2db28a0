package snapshot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// workingSetName is the file that says which pages of memory a machine touched that
// went on from the snapshot. It isn't of the snapshot: it comes later, and no sum has
// it. It may be garbage, or another snapshot's.
const workingSetName = "workingset"

// workingSetTemp begins the names of files that are about to be it, or were when their
// writer was killed.
const workingSetTemp = "." + workingSetName + "-"

const (
	// workingSetMagic begins the file; the snapshot's digest and a line's end follow,
	// then for each run how many pages lie before it and how many it has, as varints,
	// and last the CRC-32C of all before, least significant byte first.
	workingSetMagic = "bulkhead working set 1\n"

	maxRuns       = 32 << 10
	maxWorkingSet = 1 << 20 // bytes
)

// WorkingSet returns which pages of memory a machine needed that went on from the
// snapshot before, in ascending order and apart; none: nobody knows. An error says
// that what there is can't be used.
func (s *Snapshot) WorkingSet() ([]memory.Run, error) {
	b, err := readFile(s.Dir, workingSetName, maxWorkingSet)
	var none *CorruptError
	if errors.As(err, &none) {
		if _, err := os.Lstat(none.File); errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
	}
	if err != nil {
		return nil, err
	}
	runs, err := decodeWorkingSet(b, s.Digest, s.Manifest.MemoryBytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(s.Dir, workingSetName), err)
	}
	return runs, nil
}

// MaxWorkingSet is how many runs a working set has at most.
const MaxWorkingSet = maxRuns

// SetWorkingSet keeps what a machine has touched, in ascending order and apart, for
// those that go on from the snapshot later. Of that what is zeroes without being read
// is left out.
func (s *Snapshot) SetWorkingSet(touched []memory.Run) error {
	b := encodeWorkingSet(stored(s.Content(), touched), s.Digest)
	temp, err := os.CreateTemp(s.Dir, workingSetTemp)
	if err != nil {
		return fmt.Errorf("keep a working set: %w", err)
	}
	_, err = temp.Write(b)
	if err = errors.Join(err, temp.Close()); err == nil {
		err = os.Rename(temp.Name(), filepath.Join(s.Dir, workingSetName))
	}
	if err != nil {
		return fmt.Errorf("keep a working set: %w", errors.Join(err, os.Remove(temp.Name())))
	}
	return nil
}

// stored returns the parts of runs that are to be read, as many as there may be.
func stored(c memory.Content, all []memory.Run) (runs []memory.Run) {
	for _, r := range all {
		for r.From < r.To && len(runs) < maxRuns {
			to, zero := c.Extent(r.From, r.To)
			if !zero {
				runs = append(runs, memory.Run{From: r.From, To: to})
			}
			r.From = to
		}
	}
	return runs
}

func encodeWorkingSet(runs []memory.Run, digest string) []byte {
	b := []byte(workingSetMagic + digest + "\n")
	at := uint64(0)
	for _, r := range runs {
		b = binary.AppendUvarint(b, (r.From-at)/pageSize)
		b = binary.AppendUvarint(b, (r.To-r.From)/pageSize)
		at = r.To
	}
	return withSum(b)
}

func withSum(b []byte) []byte {
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}

func decodeWorkingSet(b []byte, digest string, memoryBytes uint64) (runs []memory.Run, err error) {
	rest, ok := bytes.CutPrefix(b, []byte(workingSetMagic+digest+"\n"))
	if !ok || len(rest) < 4 {
		return nil, errors.New("it is no working set of this snapshot's")
	}
	n := len(b) - 4
	if crc32.Checksum(b[:n], crc32.MakeTable(crc32.Castagnoli)) != binary.LittleEndian.Uint32(b[n:]) {
		return nil, errors.New("its sum is wrong")
	}
	rest = rest[:len(rest)-4]
	number := func() uint64 {
		v, n := binary.Uvarint(rest)
		rest = rest[max(n, 0):]
		if n <= 0 {
			err = errors.New("a number is cut off")
		}
		return v
	}
	for at, pages := uint64(0), memoryBytes/pageSize; len(rest) > 0; {
		gap := number()
		length := number()
		switch {
		case err != nil:
			return nil, err
		case gap > pages-at || length == 0 || length > pages-at-gap || len(runs) == maxRuns:
			return nil, errors.New("it has what can't be of such memory")
		}
		from := at + gap
		at = from + length
		runs = append(runs, memory.Run{From: from * pageSize, To: at * pageSize})
	}
	return runs, nil
}
