package workertest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bulkhead-vm/bulkhead/vmm/logfile"
	"github.com/bulkhead-vm/bulkhead/vmm/procstat"
	"github.com/bulkhead-vm/bulkhead/vmm/record"

	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// worker implements vmmv1.WorkerService without a machine.
type worker struct {
	vmmv1.WorkerService // what isn't here, no test calls

	dir       string // of the control socket: the bundle
	recorders record.Set
	over      chan struct{} // closed to end the process
	once      sync.Once

	mu     sync.Mutex // the rest
	config *vmmv1.MachineConfig
	state  vmmv1.MachineState
	doors  []net.Listener
	guest  *guest
	cut    bool    // the next connection to the agent is cut off
	from   lineage // of what is saved next
	// unpublished is where what was saved last is, or was.
	unpublished string
	saved       string              // the state of a snapshot that the guest goes on from; empty: it boots
	ended       chan struct{}       // closed once end is set
	end         *vmmv1.WaitResponse // set before ended is closed
}

func newWorker(socket string) *worker {
	return &worker{
		dir: filepath.Dir(socket), over: make(chan struct{}), ended: make(chan struct{}),
		state: vmmv1.MachineState_MACHINE_STATE_NONE,
	}
}

// run serves until Shutdown, or the end of the lifeline.
func (w *worker) run(server *ttrpc.Server, l net.Listener, lifeline int) error {
	if lifeline >= 0 {
		go func() {
			io.Copy(io.Discard, os.NewFile(uintptr(lifeline), "lifeline"))
			w.finish(vmmv1.EndReason_END_REASON_STOPPED, "")
			os.Exit(0)
		}()
	}
	go server.Serve(context.Background(), l)
	<-w.over
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// Create implements vmmv1.WorkerService.
func (w *worker) Create(_ context.Context, r *vmmv1.CreateRequest) (*vmmv1.CreateResponse, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.config != nil {
		return nil, status.Error(codes.AlreadyExists, "this worker has its machine")
	}
	c := r.GetMachine()
	if path := r.GetSnapshot(); path != "" {
		w.read(c)
		if err := w.restoreFrom(path, c); err != nil {
			return nil, err
		}
	}
	if w.has(c, WordBadMachine) {
		return nil, status.Error(codes.InvalidArgument, "the machine can't be: "+WordBadMachine)
	}
	for _, p := range c.GetVsock().GetPaths() {
		l, err := net.Listen("unix", p.GetPath())
		if err != nil {
			return nil, refuse(err)
		}
		w.doors = append(w.doors, l)
		go w.serveDoor(l)
	}
	for _, d := range c.GetDisks() {
		if d.GetOverlay() != "" && r.GetSnapshot() == "" {
			if err := os.WriteFile(d.GetOverlay(), nil, 0o600); err != nil {
				return nil, refuse(err)
			}
		}
	}
	w.config, w.state = c, vmmv1.MachineState_MACHINE_STATE_CREATED
	if r.GetStart() && !w.has(c, WordOld) {
		if err := w.start(); err != nil {
			return nil, err
		}
	}
	return &vmmv1.CreateResponse{HostProfile: "fake"}, nil
}

// read reads a snapshot through. The caller holds w.mu, which is free meanwhile.
func (w *worker) read(c *vmmv1.MachineConfig) {
	w.mu.Unlock()
	defer w.mu.Lock()
	switch {
	case w.has(c, WordSlowRead):
		time.Sleep(4 * time.Second)
	case w.has(c, WordHungRead):
		select {} // also when its owner has gone
	}
}

func (w *worker) has(c *vmmv1.MachineConfig, word string) bool {
	return slices.Contains(strings.Fields(c.GetCmdline()), word)
}

// vsockPath returns the socket that leads to the agent's ports.
func (w *worker) vsockPath() string {
	for _, p := range w.config.GetVsock().GetPaths() {
		if p.GetFirstPort() != 0 {
			return p.GetPath()
		}
	}
	return ""
}

// Start implements vmmv1.WorkerService.
func (w *worker) Start(context.Context, *vmmv1.StartRequest) (*vmmv1.StartResponse, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.start(); err != nil {
		return nil, err
	}
	return &vmmv1.StartResponse{}, nil
}

// start is Start for who has w.mu.
func (w *worker) start() error {
	if w.state != vmmv1.MachineState_MACHINE_STATE_CREATED {
		return nil
	}
	w.state = vmmv1.MachineState_MACHINE_STATE_RUNNING
	if path := w.config.GetConsole().GetPath(); path != "" {
		if err := w.writeConsole(path); err != nil {
			return refuse(err)
		}
	}
	switch {
	case w.has(w.config, WordPanic):
		go w.finish(vmmv1.EndReason_END_REASON_GUEST_PANIC, "Kernel panic - not syncing: "+WordPanic)
		return nil
	case w.has(w.config, WordNoBoot):
		return nil
	}
	var env []string
	for word, name := range map[string]string{WordSlow: envSlow, WordNoThaw: envNoThaw} {
		if w.has(w.config, word) {
			env = append(env, name+"=1")
		}
	}
	g, err := startGuest(w.dir, w.vsockPath(), w.saved, env...)
	if err != nil {
		return refuse(err)
	}
	w.guest = g
	go func() {
		<-g.gone
		w.finish(vmmv1.EndReason_END_REASON_POWER_OFF, "")
	}()
	return nil
}

// refuse says what is to be done about an error of the host's.
func refuse(err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		return status.Error(codes.ResourceExhausted, err.Error())
	}
	return status.Error(codes.FailedPrecondition, err.Error())
}

func (w *worker) writeConsole(path string) error {
	l, err := logfile.Open(logfile.Config{Path: path})
	if err != nil {
		return err
	}
	out, err := l.Stream("console")
	if err == nil {
		_, err = fmt.Fprintln(out, "a fake machine is up")
	}
	return errors.Join(err, l.Close())
}

// finish ends the machine.
func (w *worker) finish(reason vmmv1.EndReason, message string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state == vmmv1.MachineState_MACHINE_STATE_ENDED {
		return
	}
	w.state = vmmv1.MachineState_MACHINE_STATE_ENDED
	if w.guest != nil {
		w.guest.kill()
	}
	for _, l := range w.doors {
		l.Close()
	}
	w.recorders.Close()
	w.end = &vmmv1.WaitResponse{Reason: reason, Message: message, ConsoleTail: []byte(message)}
	close(w.ended)
}

// Wait implements vmmv1.WorkerService.
func (w *worker) Wait(ctx context.Context, _ *vmmv1.WaitRequest) (*vmmv1.WaitResponse, error) {
	select {
	case <-w.ended:
		return w.end, nil
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
}

// Pause implements vmmv1.WorkerService.
func (w *worker) Pause(context.Context, *vmmv1.PauseRequest) (*vmmv1.PauseResponse, error) {
	if w.has(w.config, WordSlowPause) {
		time.Sleep(500 * time.Millisecond)
	}
	err := w.turn(vmmv1.MachineState_MACHINE_STATE_PAUSED, syscall.SIGSTOP)
	if err == nil && w.has(w.config, WordLostPause) {
		err = status.Error(codes.Unavailable, "the answer is lost")
	}
	return &vmmv1.PauseResponse{}, err
}

// Resume implements vmmv1.WorkerService.
func (w *worker) Resume(context.Context, *vmmv1.ResumeRequest) (*vmmv1.ResumeResponse, error) {
	return &vmmv1.ResumeResponse{}, w.turn(vmmv1.MachineState_MACHINE_STATE_RUNNING, syscall.SIGCONT)
}

func (w *worker) turn(to vmmv1.MachineState, signal syscall.Signal) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.guest == nil || w.state == vmmv1.MachineState_MACHINE_STATE_ENDED {
		return status.Error(codes.FailedPrecondition, "no guest is running")
	}
	w.state = to
	return w.guest.cmd.Process.Signal(signal)
}

// Shutdown implements vmmv1.WorkerService.
func (w *worker) Shutdown(context.Context, *vmmv1.ShutdownRequest) (*vmmv1.ShutdownResponse, error) {
	w.finish(vmmv1.EndReason_END_REASON_STOPPED, "")
	w.once.Do(func() { close(w.over) })
	return &vmmv1.ShutdownResponse{}, nil
}

// Describe implements vmmv1.WorkerService.
func (w *worker) Describe(context.Context, *vmmv1.DescribeRequest) (*vmmv1.DescribeResponse, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	pid := w.pid()
	ticks, err := procstat.StartTicks(pid)
	if err != nil {
		return nil, err
	}
	return &vmmv1.DescribeResponse{Version: "fake", Pid: int32(pid), StartTicks: ticks, Machine: w.state}, nil
}

// pid is which process the worker says that it is. The caller holds w.mu.
func (w *worker) pid() int {
	if !w.has(w.config, WordLies) {
		return os.Getpid()
	}
	b, err := os.ReadFile(filepath.Join(w.dir, "says"))
	if err != nil {
		return os.Getpid()
	}
	pid, _ := strconv.Atoi(string(b))
	return pid
}

// Stats implements vmmv1.WorkerService.
func (w *worker) Stats(context.Context, *vmmv1.StatsRequest) (*vmmv1.StatsResponse, error) {
	return &vmmv1.StatsResponse{
		UserTimeNs: 1e6, SystemTimeNs: 1e6, GuestMemoryBytes: 64 << 20, OverheadMemoryBytes: 6 << 20,
		Devices: []*vmmv1.DeviceStats{{Name: "blk0", Requests: 3, FromGuestBytes: 100, ToGuestBytes: 4096}},
	}, nil
}

// Record implements vmmv1.WorkerService.
func (w *worker) Record(ctx context.Context, r *vmmv1.RecordRequest) (*vmmv1.RecordResponse, error) {
	c := record.Config{Name: r.GetName(), Log: logfile.Config{Path: r.GetLog().GetPath()}, Input: r.GetInputSocket()}
	for _, s := range r.GetStreams() {
		c.Streams = append(c.Streams, record.Stream{Socket: w.vsockPath(), Port: s.GetPort(), Greeting: s.GetGreeting(), Label: s.GetLabel()})
	}
	err := w.recorders.Record(ctx, c)
	switch {
	case errors.Is(err, record.ErrExists):
		return nil, status.Error(codes.AlreadyExists, err.Error())
	case err != nil:
		return nil, refuse(err)
	}
	return &vmmv1.RecordResponse{}, nil
}

// AwaitRecord implements vmmv1.WorkerService.
func (w *worker) ConnectNetworks(context.Context, *vmmv1.ConnectNetworksRequest) (*vmmv1.ConnectNetworksResponse, error) {
	return &vmmv1.ConnectNetworksResponse{}, nil
}

func (w *worker) AwaitRecord(ctx context.Context, r *vmmv1.AwaitRecordRequest) (*vmmv1.AwaitRecordResponse, error) {
	if err := w.recorders.Await(ctx, r.GetName()); err != nil {
		return nil, status.FromContextError(err).Err()
	}
	return &vmmv1.AwaitRecordResponse{}, nil
}
