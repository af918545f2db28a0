package e2e

import (
	"bytes"
	"crypto/sha256"
	"io"
	"syscall"
	"testing"
)

// TestBulk sends 8 MiB through the guest and back.
func TestBulk(t *testing.T) {
	t.Parallel()
	const size = 8 << 20
	data := bytes.Repeat([]byte("bulkhead"), size/8)
	for i := range data {
		data[i] += byte(i >> 11)
	}
	cmd := fromTemplate(t, "-i", "--", "cat")
	cmd.Stdin = bytes.NewReader(data)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, errs.String())
	}
	if sha256.Sum256(out) != sha256.Sum256(data) {
		t.Errorf("%d bytes came back, %d were sent; the checksums differ", len(out), size)
	}
}

// TestBrokenPipe has nobody read the output any more: the command notices and
// everything ends.
func TestBrokenPipe(t *testing.T) {
	t.Parallel()
	cmd := fromTemplate(t, "--", "yes")
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(pipe, make([]byte, 2)); err != nil {
		t.Fatal(err)
	}
	pipe.Close()
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 128+int(syscall.SIGPIPE) && code != 1 {
		t.Errorf("exit code %d, want the command's end by a broken pipe", code)
	}
}
