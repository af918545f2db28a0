package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/containerd/ttrpc"

	"github.com/bulkhead-vm/bulkhead/vmm/timeline"
	"github.com/bulkhead-vm/bulkhead/vmm/worker"

	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// answerTime is how long the answer to Shutdown has to get out.
const answerTime = time.Second

// closeTime is how long the machine has to end when nobody needs it any more.
const closeTime = 3 * time.Second

// serve runs a worker until it is told to shut down, by a call, by SIGTERM or
// by the end of the lifeline.
func serve(tl *timeline.Timeline, args []string) error {
	flags := flag.NewFlagSet("bulkhead-vmm", flag.ContinueOnError)
	control := flags.Int("control-fd", 3, "inherited `descriptor` of the listening control socket")
	lifeline := flags.Int("lifeline-fd", -1, "inherited `descriptor` whose end of file ends the worker")
	console := flags.Int("console-fd", -1, "inherited `descriptor` for the guest's console output")
	if err := flags.Parse(args); err != nil {
		return err
	}
	listener, err := inheritListener(*control)
	if err != nil {
		return err
	}
	w := worker.New(worker.Config{
		Console:  inheritConsole(*console),
		Log:      slog.New(slog.NewTextHandler(os.Stderr, nil)),
		Timeline: tl,
	})
	server, err := ttrpc.NewServer()
	if err != nil {
		return err
	}
	vmmv1.RegisterWorkerService(server, w)
	go endWith(w, *lifeline)

	served := make(chan error, 1)
	go func() { served <- server.Serve(context.Background(), listener) }()
	select {
	case <-w.Done():
	case err := <-served:
		w.Close()
		return fmt.Errorf("control socket: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), answerTime)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

func inheritListener(fd int) (net.Listener, error) {
	f := os.NewFile(uintptr(fd), "control socket")
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("descriptor %d is no listening socket (this program is started by bulkhead, not by hand): %w", fd, err)
	}
	return l, nil
}

func inheritConsole(fd int) io.Writer {
	if fd < 0 {
		return nil
	}
	return os.NewFile(uintptr(fd), "console")
}

// endWith closes the worker when the lifeline ends, which is when the process
// that holds its other end is gone, however it went; or on SIGTERM.
func endWith(w *worker.Worker, lifeline int) {
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	gone := make(chan struct{})
	if lifeline >= 0 {
		go func() {
			io.Copy(io.Discard, os.NewFile(uintptr(lifeline), "lifeline"))
			close(gone)
		}()
	}
	select {
	case <-term:
	case <-gone:
	case <-w.Done():
		return
	}
	go w.Close()
	select {
	case <-w.Done():
	case <-time.After(closeTime):
		os.Exit(1) // nobody is left to wait for what doesn't end
	}
}
