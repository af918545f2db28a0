package e2e

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/bulkhead-vm/bulkhead/hypervisor/guest"
)

// TestThreeExecs runs three commands in one guest at once.
func TestThreeExecs(t *testing.T) {
	t.Parallel()
	box := startSandbox(t)
	ctx := t.Context()
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() {
			p, err := box.Exec(ctx, guest.Command{
				Args: []string{"sh", "-c", fmt.Sprintf("echo out %d; cat; echo err %d >&2; exit %d", i, i, i)}, Stdin: true,
			})
			if err != nil {
				t.Error(err)
				return
			}
			defer p.Close()
			fmt.Fprintf(p.Stdin, "in %d\n", i)
			p.Stdin.CloseWrite()
			stderr := make(chan string)
			go func() {
				b, _ := io.ReadAll(p.Stderr)
				stderr <- string(b)
			}()
			stdout, err := io.ReadAll(p.Stdout)
			if err != nil {
				t.Error(err)
			}
			status, err := box.Wait(ctx, p)
			if err != nil {
				t.Error(err)
				return
			}
			want := fmt.Sprintf("out %d\nin %d\n", i, i)
			if e := <-stderr; string(stdout) != want || e != fmt.Sprintf("err %d\n", i) || int(status.GetExitCode()) != i {
				t.Errorf("command %d: stdout %q, stderr %q, exit code %d", i, stdout, e, status.GetExitCode())
			}
		})
	}
	wg.Wait()
}

// TestAVX has two processes of one guest, on one CPU, keep different values in
// their vector registers.
func TestAVX(t *testing.T) {
	t.Parallel()
	cmd := fromTemplate(t, "--", "sh", "-c", "avx 1 5s & avx 2 5s; r=$?; wait $! && exit $r")
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Count(string(out), "registers kept") != 2 {
		t.Errorf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}
