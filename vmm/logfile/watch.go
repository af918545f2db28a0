package logfile

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// pollTime is how often a log is looked at where nothing tells of changes.
	pollTime = 100 * time.Millisecond
	// lookTime is how often it is all the same where something does: there are
	// file systems whose other hosts' changes nobody hears of.
	lookTime = 2 * time.Second
)

// watch hears of changes of a file, by inotify(7). Where that can't be had, a user
// has only so many, it hears of none. A nil watch can be closed and used.
type watch struct {
	changed  chan struct{} // has one after a change
	watching bool

	of   *Watches
	f    *os.File // nil: there is no inotify
	id   int      // of what is watched
	done chan struct{}
}

// newWatch watches nothing yet. The caller closes it.
func newWatch(of *Watches) *watch {
	w := &watch{changed: make(chan struct{}, 1), of: of, id: -1, done: make(chan struct{})}
	if !of.take() {
		close(w.done)
		return w
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		of.put()
		close(w.done)
		return w
	}
	w.f = os.NewFile(uintptr(fd), "inotify")
	go w.run()
	return w
}

// run passes on that something changed until the watch is closed.
func (w *watch) run() {
	defer close(w.done)
	for events := make([]byte, 4096); ; {
		if _, err := w.f.Read(events); err != nil {
			return
		}
		select {
		case w.changed <- struct{}{}:
		default:
		}
	}
}

// watch watches f, whatever its name, in place of what was watched before.
func (w *watch) watch(f *os.File) {
	if w == nil || w.f == nil {
		return
	}
	raw, err := w.f.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) {
		if w.id >= 0 {
			unix.InotifyRmWatch(int(fd), uint32(w.id)) // fails if the file is gone
		}
		path := fmt.Sprintf("/proc/self/fd/%d", f.Fd())
		w.id, err = unix.InotifyAddWatch(int(fd), path, unix.IN_MODIFY|unix.IN_ATTRIB|unix.IN_MOVE_SELF)
	})
	w.watching = err == nil
}

// patience is how long to wait for word of a change, where live says that the file
// is one that is being written to.
func (w *watch) patience(live bool) time.Duration {
	if live && w.watching {
		return lookTime
	}
	return pollTime
}

func (w *watch) close() {
	if w == nil {
		return
	}
	if w.f == nil {
		return
	}
	w.f.Close()
	<-w.done
	w.f = nil
	w.of.put()
}
