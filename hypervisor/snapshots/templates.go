package snapshots

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/vmm/snapshot"
)

// idPrefix begins the IDs of templates, which are snapshots' digests.
const idPrefix = "sha256:"

const (
	idDigits    = 64
	shortDigits = 12 // the least that names a template
)

// errSeveral is of the beginning of an ID that isn't one template's alone.
var errSeveral = errors.New("several templates have an ID that begins so: give more of it")

// OpenTemplates is Open for templates. Nodes may share the directory, which is made when
// it is needed.
func OpenTemplates(path string) *Dir {
	return &Dir{path: path, sync: syncDir, isName: isID, shared: true}
}

// isID reports whether a name is that of a template.
func isID(name string) bool {
	_, err := hex.DecodeString(name)
	return err == nil && len(name) == idDigits && strings.ToLower(name) == name
}

// Find returns the name of the template with an ID, or the beginning of one. It
// fails with ErrNone.
func (d *Dir) Find(id string) (name string, err error) {
	digits := strings.TrimPrefix(id, idPrefix)
	if len(digits) < shortDigits {
		return "", ErrNone
	}
	if d.Has(digits) {
		return digits, nil
	}
	names, err := d.Names()
	if err != nil {
		return "", err
	}
	for _, n := range names {
		switch {
		case !strings.HasPrefix(n, digits):
		case name != "":
			return "", errSeveral
		default:
			name = n
		}
	}
	if name == "" {
		return "", ErrNone
	}
	return name, nil
}

// Named reports whether short is a template's ID, or the beginning of it.
func Named(id, short string) bool {
	return strings.HasPrefix(strings.TrimPrefix(id, idPrefix), strings.TrimPrefix(short, idPrefix))
}

// Short returns of an ID what people are shown.
func Short(id string) string { return fmt.Sprintf("%.12s", strings.TrimPrefix(id, idPrefix)) }

// ID returns that of a template; empty of none, which is nil.
func (s *Snapshot) ID() string {
	if s == nil {
		return ""
	}
	return s.Record.GetSnapshot().GetDigest()
}

// TemplateID returns the ID of the template of that name.
func TemplateID(name string) string { return idPrefix + name }

// GetTemplate is Get for a template, whose digest must be its ID.
func (d *Dir) GetTemplate(name string) (*Snapshot, error) {
	s, err := d.Get(name)
	if err == nil && s.Record.GetSnapshot().GetDigest() != TemplateID(name) {
		return nil, &DamagedError{name, errors.New("its content has another digest than its ID")}
	}
	return s, err
}

// PublishTemplate gives the template that was written, s, its name, which it returns.
func (s *Stage) PublishTemplate(t *Snapshot) (name string, err error) {
	name = strings.TrimPrefix(t.Record.GetSnapshot().GetDigest(), idPrefix)
	return name, s.Publish(name)
}

// makeLocked makes the stage's directory, which is locked as long as its owner lives.
func (s *Stage) makeLocked() error {
	if err := os.MkdirAll(s.dir.path, 0o700); err != nil {
		return err
	}
	unlock, err := s.dir.lock(unix.LOCK_SH)
	if err != nil {
		return err
	}
	defer unlock()
	path := s.dir.named(s.name)
	if err := os.Mkdir(path, 0o700); err != nil {
		return err
	}
	s.lock, err = lockDir(path, unix.LOCK_EX|unix.LOCK_NB)
	return err
}

// lock keeps others from making or sweeping stages meanwhile.
func (d *Dir) lock(how int) (unlock func(), err error) {
	f, err := lockDir(d.path, how)
	if err != nil {
		return nil, err
	}
	return func() { f.Close() }, nil
}

func lockDir(path string, how int) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(f.Fd()), how)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return f, nil
}

// SweepTemplates removes what nodes that have ended were at.
func (d *Dir) SweepTemplates() error {
	unlock, err := d.lock(unix.LOCK_EX)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("directory of templates: %w", err)
	}
	defer unlock()
	entries, err := os.ReadDir(d.path)
	for _, e := range entries {
		switch name := e.Name(); {
		case strings.HasPrefix(name, gonePrefix):
			err = errors.Join(err, snapshot.RemoveAll(d.named(name)))
		case strings.HasPrefix(name, stagePrefix):
			err = errors.Join(err, d.sweepStage(name))
		}
	}
	if err != nil {
		return fmt.Errorf("directory of templates: %w", err)
	}
	return nil
}

// sweepStage removes one that is nobody's.
func (d *Dir) sweepStage(name string) error {
	lock, err := lockDir(d.named(name), unix.LOCK_EX|unix.LOCK_NB)
	switch {
	case errors.Is(err, unix.EWOULDBLOCK), errors.Is(err, os.ErrNotExist):
		return nil // its owner lives, or has just removed it
	case err != nil:
		return err
	}
	defer lock.Close()
	return snapshot.RemoveAll(d.named(name))
}
