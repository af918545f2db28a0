package snapshot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// ErrReplaced says that there is another snapshot than there was, or none.
var ErrReplaced = errors.New("the snapshot was replaced meanwhile")

// merged is why a snapshot has one layer only that had several.
const merged = "its layers were merged"

// Merge makes the layers of the snapshot at dir into one: there is the old snapshot
// or the new one, whoever is killed. The new one is written beside it, of the room that
// all its memory takes, and has another digest; disks are the same files. Who has the
// old one open keeps it. lock is held while the two are exchanged, and by whoever else
// moves what is at dir; nil: nobody does. Merge reads all layers and checks them, and
// fails as Open does, or with ErrReplaced.
func Merge(ctx context.Context, dir string, lock sync.Locker) error {
	return merge(ctx, dir, lock, func(string) {})
}

func merge(ctx context.Context, dir string, lock sync.Locker, reached func(string)) error {
	d, err := openDirectory(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	s, err := open(d, dir)
	if err != nil {
		if !d.isAt(dir) {
			err = errors.Join(ErrReplaced, err)
		}
		return err
	}
	defer s.Close()
	if len(s.layers) == 1 {
		return nil
	}
	w, err := newWriter(dir)
	if err != nil {
		return err
	}
	w.reached = reached
	if err = w.merge(ctx, s); err == nil {
		err = w.exchange(d, lock)
	}
	return errors.Join(err, w.Discard()) // of the old one, or of what there is of the new one
}

// merge writes s anew.
func (w *Writer) merge(ctx context.Context, s *Snapshot) error {
	l, err := w.make(memoryName)
	if err != nil {
		return err
	}
	c, _, err := fold(ctx, l.file, s.layers)
	if err != nil {
		return err
	}
	w.reached("fold")
	l.is(c)
	w.layers, w.stored, w.whole = []*layer{{large: l, base: true}}, c.stored, merged
	for _, disk := range s.disks {
		if err := disk.link(w.dir, disk.name); err != nil {
			return err
		}
		w.linked = append(w.linked, disk)
		w.reached("link " + disk.name)
	}
	return w.complete(*s.Manifest, s.State)
}

// exchange puts the snapshot in the place of the one in d, and that where it was
// written.
func (w *Writer) exchange(d directory, lock sync.Locker) error {
	if lock != nil {
		lock.Lock()
		defer lock.Unlock()
	}
	if !d.isAt(w.path) {
		return fmt.Errorf("%s: %w", w.path, ErrReplaced)
	}
	if err := w.takeOver(d); err != nil {
		return err
	}
	return w.put(unix.RENAME_EXCHANGE)
}

// takeOver links what whoever keeps the snapshot has put beside it: files whose names
// begin with a dot.
func (w *Writer) takeOver(d directory) error {
	entries, err := os.ReadDir(w.path)
	if err != nil {
		return fmt.Errorf("merge a snapshot: %w", err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") || strings.HasPrefix(e.Name(), workingSetTemp) || !e.Type().IsRegular() {
			continue
		}
		if err := os.Link(d.path(e.Name()), w.dir.path(e.Name())); err != nil {
			return fmt.Errorf("merge a snapshot: %w", err)
		}
	}
	return w.dir.Sync()
}
