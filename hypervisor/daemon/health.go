package daemon

import (
	"context"
	"fmt"
	"time"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// healthy reports whether the node answers, and the loop that obeys signals: what a
// new start would mend. A disk that doesn't is not among it, nor are clients that
// leave no room for others.
func (d *daemon) healthy(ctx context.Context) bool {
	beat := make(chan struct{})
	go func() {
		d.node.All()
		select {
		case d.beats <- beat:
		case <-ctx.Done():
		}
	}()
	select {
	case <-beat:
		return true
	case <-ctx.Done():
		return true // it ends, which has a time of its own
	case <-time.After(answerTime):
		d.log.Error("the daemon is stuck: the service manager isn't told that it works")
		return false
	}
}

// status is how the daemon is, in a line.
func (d *daemon) status() string {
	running, all := 0, d.node.All()
	for _, s := range all {
		if s.GetStatus().GetState() == bulkheadv1.SandboxState_SANDBOX_STATE_RUNNING {
			running++
		}
	}
	text := fmt.Sprintf("serving; sandboxes: %d, running: %d", len(all), running)
	if d.unread != "" {
		text += "; the configuration is an earlier one, the file's isn't good: " + d.unread
	}
	return text
}

// tellStatus tells the service manager, if it is news.
func (d *daemon) tellStatus() {
	if text := d.status(); text != d.said {
		d.said = text
		d.manager.Status(text)
	}
}
