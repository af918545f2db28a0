package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/bulkhead-vm/bulkhead/tests/bench/qmp"
)

// qmpLimit is how long a call of QEMU's protocol may take; a migration is many.
const qmpLimit = 10 * time.Second

// savedQEMU is a machine of QEMU's that is saved again and again.
type savedQEMU struct {
	*qemu
	control *qmp.Client
}

// bootQEMUToSave boots it. Boots that stand still are tried again.
func (b *bench) bootQEMUToSave() (q *savedQEMU, err error) {
	for range qemuTries {
		if q, err = b.tryQEMUToSave(); err == nil {
			return q, nil
		}
		fmt.Fprintln(os.Stderr, "bench: QEMU:", err)
	}
	return nil, err
}

func (b *bench) tryQEMUToSave() (*savedQEMU, error) {
	q, err := b.launchWithQMP("qmp.sock")
	if err != nil {
		return nil, err
	}
	if _, err := waitReady(q.console, q.launched); err != nil {
		return nil, errors.Join(err, q.close())
	}
	err = q.control.Execute("migrate-set-parameters", map[string]any{"max-bandwidth": 1 << 40}, nil) // else 128 MB/s
	if err != nil {
		return nil, errors.Join(err, q.close())
	}
	return q, nil
}

// launchWithQMP starts QEMU with its protocol on a socket of that name.
func (b *bench) launchWithQMP(name string, args ...string) (*savedQEMU, error) {
	path := filepath.Join(b.work, name)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	q, err := b.launchQEMU(b.initrd(), qemuCmdline(), append(args, "-qmp", "unix:"+path+",server=on,wait=off")...)
	if err != nil {
		return nil, err
	}
	control, err := qmp.Dial(path, qmpLimit)
	if err != nil {
		q.close()
		return nil, err
	}
	return &savedQEMU{q, control}, nil
}

func (q *savedQEMU) close() error {
	err := q.control.Close()
	q.qemu.close()
	return err
}

// save writes the machine to a file by migration, the only way that microvm
// machines have: of a guest that stands still all the while, or only at its end. It
// goes on afterwards.
func (q *savedQEMU) save(s *saved, file string, stop bool) error {
	began := now()
	if stop {
		if err := q.control.Execute("stop", nil, nil); err != nil {
			return err
		}
	}
	err := q.control.Execute("migrate", map[string]any{"uri": "exec:cat > '" + file + "'"}, nil)
	if err == nil {
		err = q.migrated()
	}
	whole := now() - began
	if err == nil {
		err = q.control.Execute("cont", nil, nil)
	}
	if err != nil {
		return fmt.Errorf("save QEMU's machine: %w", err)
	}
	halt, err := q.control.Next("STOP")
	if err != nil {
		return err
	}
	resume, err := q.control.Next("RESUME")
	if err != nil {
		return err
	}
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	s.whole = append(s.whole, ms(whole))
	s.pause = append(s.pause, ms(resume.Time.Sub(halt.Time)))
	s.stored = append(s.stored, float64(info.Size())/mib)
	return nil
}

// migrated waits until a migration is over.
func (q *savedQEMU) migrated() error {
	for began := now(); now()-began < qmpLimit; time.Sleep(time.Millisecond) {
		var s struct {
			Status string `json:"status"`
			Error  string `json:"error-desc"`
		}
		if err := q.control.Execute("query-migrate", nil, &s); err != nil {
			return err
		}
		switch s.Status {
		case "completed":
			return nil
		case "failed", "cancelled":
			return fmt.Errorf("the migration has %s: %s", s.Status, s.Error)
		}
	}
	return fmt.Errorf("a migration takes longer than %v", qmpLimit)
}

// restoreQEMU times a machine of QEMU's that goes on from a file. Those that stand
// still are tried again.
func (b *bench) restoreQEMU(r *restored, file string) (err error) {
	for range qemuTries {
		var first, known time.Duration
		if first, known, err = b.tryRestoreQEMU(file); err == nil {
			r.first, r.known = append(r.first, ms(first)), append(r.known, ms(known))
			return nil
		}
		fmt.Fprintln(os.Stderr, "bench: QEMU:", err)
	}
	return fmt.Errorf("QEMU: %w", err)
}

func (b *bench) tryRestoreQEMU(file string) (first, known time.Duration, err error) {
	q, err := b.launchWithQMP("incoming.sock", "-incoming", "exec:cat '"+file+"'")
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, q.close()) }()
	go io.Copy(io.Discard, q.console)
	if known, err = q.resumed(); err != nil {
		return 0, 0, err
	}
	first, err = q.firstRun()
	return first, known, err
}

// resumed waits until the guest goes on, and returns when QEMU said so.
func (q *savedQEMU) resumed() (time.Duration, error) {
	var s struct {
		Running bool   `json:"running"`
		Status  string `json:"status"`
	}
	for now()-q.launched < qmpLimit {
		if err := q.control.Execute("query-status", nil, &s); err != nil {
			return 0, err
		}
		since := now() - q.launched
		if e, ok := q.control.Seen("RESUME"); ok {
			return since - time.Since(e.Time), nil
		}
		if s.Running { // it went on before anybody listened
			return since, nil
		}
		time.Sleep(time.Millisecond)
	}
	return 0, fmt.Errorf("QEMU's guest doesn't go on within %v: QEMU is at %q", qmpLimit, s.Status)
}
