package node

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/guest"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

const (
	// maxSaid is how much is told of what a command said that failed, in bytes.
	maxSaid = 2 << 10
	// lastWordsTime is how long output may be on its way when its command has ended:
	// what the command has left running may have it open still.
	lastWordsTime = time.Second
)

// prepareTimeout is how long a template's command may take.
func (n *Node) prepareTimeout(r *bulkheadv1.CreateTemplateRequest) time.Duration {
	return cmp.Or(r.GetPrepareTimeout().AsDuration(), n.limits.Load().PrepareTimeout, defaultPrepareTimeout)
}

// prepareWith runs a request's command in the sandbox that the template is made of, and
// fails unless it ends with exit code 0 in time.
func (n *Node) prepareWith(ctx context.Context, sandbox string, r *bulkheadv1.CreateTemplateRequest) error {
	most := n.prepareTimeout(r)
	timed, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	exit, said, err := n.runToEnd(timed, sandbox, Command(r.GetPrepare()))
	switch {
	case err != nil && timed.Err() == context.DeadlineExceeded && ctx.Err() == nil:
		return fault.New(fault.Aborted, fault.ReasonTemplateFailed, sandbox,
			"the command to prepare it with took longer than %v, which is its prepare_timeout%s", most, said)
	case err != nil:
		return fmt.Errorf("the command to prepare it with: %w", err)
	case exit.GetExitCode() != 0:
		return fault.New(fault.Aborted, fault.ReasonTemplateFailed, sandbox,
			"the command to prepare it with ended with exit code %d%s", exit.GetExitCode(), said)
	}
	return nil
}

// runToEnd runs a command in a sandbox and waits for its end, or that of ctx. said is the
// end of its output, also if it fails.
func (n *Node) runToEnd(ctx context.Context, sandbox string, c guest.Command) (exit *guest.Exit, said *tail, err error) {
	said = new(tail)
	box, err := n.find(sandbox)
	if err != nil {
		return nil, said, err
	}
	i, end, err := box.hold()
	if err != nil {
		return nil, said, err
	}
	defer end()
	p, err := i.Exec(ctx, c)
	if err != nil {
		return nil, said, err
	}
	copying, copied := sync.WaitGroup{}, make(chan struct{})
	for _, out := range []io.Reader{p.Stdout, p.Stderr} {
		copying.Go(func() { io.Copy(said, out) })
	}
	go func() {
		copying.Wait()
		close(copied)
	}()
	exit, err = i.Wait(ctx, p)
	if err == nil {
		select {
		case <-copied:
		case <-time.After(lastWordsTime):
		}
	}
	p.Close() // which ends the copying as well
	<-copied
	return exit, said, err
}

// tail is the end of what was written to it, by any goroutine.
type tail struct {
	mu   sync.Mutex
	text []byte
	cut  bool
}

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if more := len(t.text) - maxSaid; more > 0 {
		t.text, t.cut = append([]byte(nil), t.text[more:]...), true
	}
	return len(p), nil
}

// String returns it as what follows in a sentence.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := strings.TrimSpace(strings.ToValidUTF8(string(t.text), "?"))
	switch {
	case text == "":
		return " and said nothing"
	case t.cut:
		text = "..." + text
	}
	return ": " + text
}
