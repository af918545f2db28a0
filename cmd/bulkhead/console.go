package main

import (
	"context"
	"os"
	"time"

	"github.com/bulkhead-vm/bulkhead/hypervisor/client"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// consoleTime is how long the last of the console has to arrive.
const consoleTime = 2 * time.Second

// console shows the guest's console on standard error.
type console struct {
	stop context.CancelFunc
	done chan struct{}
}

func startConsole(ctx context.Context, c *client.Client, sandbox string, want bool) *console {
	ctx, stop := context.WithCancel(ctx)
	shown := &console{stop: stop, done: make(chan struct{})}
	if !want {
		close(shown.done)
		return shown
	}
	go func() {
		defer close(shown.done)
		c.Logs(ctx, &bulkheadv1.GetLogsRequest{Sandbox: sandbox, Follow: true, Console: true}, func(e *bulkheadv1.LogEntry) error {
			_, err := os.Stderr.Write(e.GetData())
			return err
		})
	}()
	return shown
}

// finish returns when everything was shown.
func (c *console) finish() {
	select {
	case <-c.done:
	case <-time.After(consoleTime):
	}
	c.stop()
	<-c.done
}
