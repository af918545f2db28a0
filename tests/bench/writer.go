package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"google.golang.org/protobuf/proto"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	"github.com/bulkhead-vm/bulkhead/hypervisor/client"
)

// writer is a program in a sandbox that writes as much memory as it is told to: see
// c/dirty.c.
type writer struct {
	process *client.Process
	out     *bufio.Reader
	said    *bytes.Buffer // on standard error
}

// startWriter boots the sandbox and has the program in it get its memory.
func (b *bench) startWriter(ctx context.Context, d *daemon, most int) (*writer, error) {
	program := filepath.Join(b.work, "dirty")
	if out, err := exec.Command("gcc", "-O2", "-static", "-o", program, "tests/bench/c/dirty.c").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("gcc: %w (make setup installs it)\n%s", err, out)
	}
	spec := &bulkheadv1.SandboxSpec{MemoryBytes: uint64(guestOwn+most) * mib}
	if _, err := d.Create(ctx, &bulkheadv1.CreateSandboxRequest{Name: dirtyName, Spec: spec}); err != nil {
		return nil, err
	}
	w, err := d.runWriter(ctx, program, most)
	if err != nil {
		return nil, errors.Join(err, d.delete(ctx, dirtyName))
	}
	return w, nil
}

func (d *daemon) runWriter(ctx context.Context, program string, most int) (*writer, error) {
	if _, err := d.StartSandbox(ctx, &bulkheadv1.StartSandboxRequest{Name: dirtyName}); err != nil {
		return nil, err
	}
	f, err := os.Open(program)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	const path = "/dirty"
	if _, err := d.WriteFile(ctx, &bulkheadv1.WriteFileHeader{Sandbox: dirtyName, Path: path, Mode: proto.Uint32(0o755)}, f); err != nil {
		return nil, err
	}
	p, err := d.Exec(ctx, dirtyName, &bulkheadv1.Command{Args: []string{path, fmt.Sprint(most)}, Stdin: true})
	if err != nil {
		return nil, err
	}
	w := &writer{process: p, out: bufio.NewReader(p.Stdout), said: new(bytes.Buffer)}
	go io.Copy(w.said, p.Stderr)
	return w, w.wait()
}

// write has it write so many MiB.
func (w *writer) write(size int) error {
	if _, err := fmt.Fprintln(w.process.Stdin, size); err != nil {
		return w.ended(err)
	}
	return w.wait()
}

// wait waits until it has done what it was told last.
func (w *writer) wait() error {
	line, err := w.out.ReadString('\n')
	if err != nil {
		return w.ended(err)
	}
	if strings.TrimSpace(line) != "done" {
		return fmt.Errorf("the guest's program says %q", line)
	}
	return nil
}

// ended says how the program has, which err is the first sign of.
func (w *writer) ended(err error) error {
	go drain(w.out)
	exit, why := w.process.Wait()
	return fmt.Errorf("the guest's program has ended, with %v: %w: %s", exit, errors.Join(err, why), w.said)
}
