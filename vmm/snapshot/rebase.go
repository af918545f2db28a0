package snapshot

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// Rebase has mem, which is as Memory has written it and to which nobody may write
// meanwhile, go on from the files just written: what is written from then on is what
// has changed since this snapshot. It reports false, and changes nothing, where there
// is a reason not to: mem then goes on from what it did. Small pieces of many it may
// leave, which the next snapshot stores once more. After an error mem's content is
// lost.
func (w *Writer) Rebase(mem *memory.Memory) (bool, error) {
	if !keeps(w.dir) || !mem.CanRebase() {
		return false, nil
	}
	if err := mem.Rebase(w.layers[0].file, w.layers[0].pieces()); err != nil {
		return false, fmt.Errorf("have the machine go on from its snapshot: %w", err)
	}
	w.reached("rebase")
	return true, nil
}

// keeps reports whether a machine's memory may depend on files of the directory: not
// on another host's, nor on another program's.
func keeps(d directory) bool {
	var s unix.Statfs_t
	if unix.Fstatfs(int(d.Fd()), &s) != nil {
		return false
	}
	away := []int64{
		unix.NFS_SUPER_MAGIC, unix.SMB_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC, unix.CEPH_SUPER_MAGIC,
		unix.V9FS_MAGIC, unix.AFS_SUPER_MAGIC, unix.AFS_FS_MAGIC, unix.CODA_SUPER_MAGIC, unix.FUSE_SUPER_MAGIC,
	}
	return !slices.Contains(away, s.Type)
}

// Undo makes mem, after Rebase, independent of files that may not have come to the
// disk: for when Publish has failed. mem may be in use.
func (w *Writer) Undo(mem *memory.Memory) {
	if w.synced {
		return // deleted files stay for who maps them
	}
	l := w.layers[0]
	for at := uint64(0); at < l.size; at += chunkSize {
		end := min(at+chunkSize, l.size)
		if !hasData(l.file, int64(at), int64(end)) {
			continue
		}
		if l.base {
			mem.Take([]memory.Piece{{At: at, Size: end - at}})
		}
	}
	if !l.base {
		mem.Take(l.pages)
	}
}
