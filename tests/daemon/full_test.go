package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bulkhead-vm/bulkhead/hypervisor/client"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// smallDisk is one of the daemon's directories on a disk of its own.
type smallDisk struct {
	t   testing.TB
	dir string
}

// newSmallDisk mounts one, with options that say how small it is.
func (h *host) newSmallDisk(name, options string) *smallDisk {
	h.t.Helper()
	d := &smallDisk{h.t, h.path(name)}
	h.must(os.MkdirAll(d.dir, 0o700))
	h.must(unix.Mount("tmpfs", d.dir, "tmpfs", 0, "mode=0700,"+options))
	h.t.Cleanup(func() {
		if err := unix.Unmount(d.dir, unix.MNT_DETACH); err != nil {
			h.t.Error(err)
		}
	})
	return d
}

// fill takes all that is left of it: names first, and then bytes.
func (d *smallDisk) fill() {
	d.t.Helper()
	dir := filepath.Join(d.dir, "others")
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, unix.EEXIST) && !errors.Is(err, unix.ENOSPC) {
		d.t.Fatal(err)
	}
	for i := 0; i < 64; i++ { // enough where names are few
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), nil, 0o600); err != nil {
			break
		}
	}
	f, err := os.OpenFile(filepath.Join(dir, "0"), os.O_APPEND|os.O_WRONLY, 0)
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if f != nil {
		f.Close()
	}
}

// free gives that back.
func (d *smallDisk) free() {
	d.t.Helper()
	if err := os.RemoveAll(filepath.Join(d.dir, "others")); err != nil {
		d.t.Fatal(err)
	}
}

// mustBeNoSpace checks that a client can act on an error.
func mustBeNoSpace(t testing.TB, what string, err error) {
	t.Helper()
	reason := ""
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			reason = info.GetReason()
		}
	}
	if status.Code(err) != codes.ResourceExhausted || reason != "NO_SPACE" || !strings.Contains(err.Error(), "delete sandboxes and snapshots that nobody needs") {
		t.Errorf("%s: reason %q, %v", what, reason, err)
	}
}

// TestFullDisk has each of the daemon's disks fill up while sandboxes begin: what
// can't be done is said to be so, what runs goes on, and what is there can end. A
// daemon that is killed then comes back.
func TestFullDisk(t *testing.T) {
	for name, tt := range map[string]struct{ dir, options string }{
		"state, bytes":    {"state", "size=1m"},
		"state, names":    {"state", "size=16m,nr_inodes=40"},
		"bundles, bytes":  {"run/sandboxes", "size=256k"},
		"bundles, names":  {"run/sandboxes", "size=16m,nr_inodes=60"},
		"all on one disk": {"", "size=2m"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, "")
			dir := tt.dir
			if dir == "" {
				dir = "disk"
				h.relocate("disk")
			}
			f := &filling{host: h, disk: h.newSmallDisk(dir, tt.options), bundles: strings.HasPrefix(tt.dir, "run")}
			f.test()
		})
	}
}

// TestNoRoomToBegin starts a daemon for the first time, on a disk that is full.
func TestNoRoomToBegin(t *testing.T) {
	for _, options := range []string{"size=64k", "size=64k,nr_inodes=16"} {
		h := newHost(t, "")
		disk := h.newSmallDisk("state", options)
		disk.fill()
		d := h.spawn()
		if err := d.cmd.Wait(); err == nil {
			t.Error("it ended well")
		}
		h.mustSay("the log", d.log.String(), h.path("state/state.db"), "no space left on device", "make room on it, and start again")
		disk.free()
		h.must(unix.Mount("", disk.dir, "", unix.MS_REMOUNT, "size=4m,nr_inodes=100"))
		h.start().stop()
	}
}

// relocate has the daemon's directories below another one.
func (h *host) relocate(dir string) {
	h.t.Helper()
	b, err := os.ReadFile(h.path("config.toml"))
	h.must(err)
	text := string(b)
	for _, name := range []string{"run", "state", "cache"} {
		text = strings.Replace(text, h.dir+"/"+name+`"`, h.path(dir)+"/"+name+`"`, 1)
	}
	h.must(os.WriteFile(h.path("config.toml"), []byte(text), 0o600))
}

// filling is one of its runs.
type filling struct {
	*host
	disk    *smallDisk
	bundles bool // are on it
	c       *client.Client

	mu   sync.Mutex                         // the rest
	told map[string]bulkheadv1.SandboxState // what clients know
}

func (f *filling) set(name string, s bulkheadv1.SandboxState) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.told[name] = s
}

// names returns the sandboxes that are in a state, of those that clients know of.
func (f *filling) names(s bulkheadv1.SandboxState) (all []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, is := range f.told {
		if is == s {
			all = append(all, name)
		}
	}
	return all
}

const (
	created = bulkheadv1.SandboxState_SANDBOX_STATE_CREATED
	running = bulkheadv1.SandboxState_SANDBOX_STATE_RUNNING
	stopped = bulkheadv1.SandboxState_SANDBOX_STATE_STOPPED
)

func (f *filling) test() {
	t := f.t
	f.told = map[string]bulkheadv1.SandboxState{}
	d := f.start()
	f.c = f.dial()
	f.begin()
	f.disk.fill()
	f.traffic("before")
	d.kill()
	d = f.start() // on a full disk
	f.c = f.dial()
	f.mustBeAsTold()
	f.traffic("after")
	for _, name := range append(f.names(created), f.names(stopped)...) {
		f.end(name)
	}
	for _, name := range f.names(running)[1:] {
		f.end(name)
	}
	f.disk.free()
	f.mustBeAsTold()
	if err := f.beginOne("again"); err != nil {
		t.Errorf("there is room again: %v", err)
	}
	f.exec("again")
	f.clear(f.c)
	if panics := scan(d.log.String(), "panic"); len(panics) > 0 {
		t.Error(panics)
	}
	d.stop()
}

// call is a context for one.
func call() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), 30*time.Second)
}

// beginOne makes a sandbox and starts it.
func (f *filling) beginOne(name string) error {
	ctx, cancel := call()
	defer cancel()
	spec := &bulkheadv1.SandboxSpec{Labels: map[string]string{"for": "a-test"}, Command: &bulkheadv1.Command{
		Args: []string{"sh", "-c", "head -c 2000 /dev/zero; exec sleep 1000"}, Env: []string{"LARGE=" + strings.Repeat("x", 5000)},
	}}
	if _, err := f.c.CreateSandbox(ctx, &bulkheadv1.CreateSandboxRequest{Name: name, Spec: spec}); err != nil {
		return err
	}
	f.set(name, created)
	return f.startOne(name)
}

func (f *filling) startOne(name string) error {
	ctx, cancel := call()
	defer cancel()
	r, err := f.c.StartSandbox(ctx, &bulkheadv1.StartSandboxRequest{Name: name})
	if err != nil {
		state, _, err := settled(ctx, f.c, name)
		if err != nil {
			f.t.Errorf("after a failed start of %s: %v", name, err)
		}
		f.set(name, state)
	} else {
		f.set(name, r.GetSandbox().GetStatus().GetState())
	}
	return err
}

// mustBeNoSpace checks an error of a start.
func (f *filling) mustBeNoSpace(what string, err error) {
	f.t.Helper()
	// Only a fake guest has sockets of its own in the bundle, and ends without.
	if f.bundles && strings.Contains(err.Error(), "the guest ended: power off") {
		return
	}
	mustBeNoSpace(f.t, what, err)
}

// begin begins sandboxes until there is no room, or enough of them.
func (f *filling) begin() {
	f.t.Helper()
	for i := range 12 {
		if err := f.beginOne(fmt.Sprintf("s%d", i)); err != nil {
			f.mustBeNoSpace("to begin another one", err)
			break
		}
	}
	n := len(f.names(running))
	if n < 3 {
		f.t.Fatalf("%d sandboxes fit on the disk", n)
	}
	f.t.Logf("%d sandboxes run", n)
}

// traffic is clients that do everything at once on a full disk.
func (f *filling) traffic(what string) {
	var clients sync.WaitGroup
	alive := f.names(running)
	f.disk.fill()
	for i := range 4 {
		clients.Go(func() { // a new one
			name := fmt.Sprintf("%s%d", what, i)
			if err := f.beginOne(name); err != nil {
				f.mustBeNoSpace("to begin "+name, err)
			}
		})
		clients.Go(func() { f.exec(alive[0]) })
	}
	for i, name := range alive[1:] {
		switch i % 3 {
		case 0:
			clients.Go(func() { f.end(name) })
		case 1:
			clients.Go(func() {
				f.stop(name)
				if err := f.startOne(name); err != nil {
					f.mustBeNoSpace("to start "+name+" again", err)
				}
			})
		}
	}
	clients.Wait()
	f.disk.fill() // what that has given back
}

func (f *filling) exec(name string) {
	ctx, cancel := call()
	defer cancel()
	p, err := f.c.Exec(ctx, name, &bulkheadv1.Command{Args: []string{"echo", name}})
	if err != nil {
		f.t.Errorf("exec in %s: %v", name, err)
		return
	}
	go io.Copy(io.Discard, p.Stderr)
	out, _ := io.ReadAll(p.Stdout)
	if _, err := p.Wait(); err != nil || string(out) != name+"\n" {
		f.t.Errorf("exec in %s: %q, %v", name, out, err)
	}
}

func (f *filling) stop(name string) {
	ctx, cancel := call()
	defer cancel()
	r, err := f.c.KillSandbox(ctx, &bulkheadv1.KillSandboxRequest{Name: name})
	if err != nil {
		f.t.Errorf("kill %s: %v", name, err)
		return
	}
	f.set(name, r.GetSandbox().GetStatus().GetState())
}

// end deletes a sandbox: nothing keeps it from that.
func (f *filling) end(name string) {
	ctx, cancel := call()
	defer cancel()
	if _, err := f.c.DeleteSandbox(ctx, &bulkheadv1.DeleteSandboxRequest{Name: name, Force: true}); err != nil {
		f.t.Errorf("delete %s: %v", name, err)
		return
	}
	f.set(name, nothing)
}

// mustBeAsTold compares what clients were told with what the daemon says.
func (f *filling) mustBeAsTold() {
	f.t.Helper()
	ctx, cancel := call()
	defer cancel()
	page, err := f.c.ListSandboxes(ctx, &bulkheadv1.ListSandboxesRequest{PageSize: 1000})
	f.must(err)
	for _, s := range page.GetSandboxes() {
		if _, known := f.told[s.GetName()]; !known {
			f.t.Errorf("nobody was told of %s, which is %v", s.GetName(), s.GetStatus().GetState())
		}
	}
	for name, was := range f.told {
		if state, _, err := settled(ctx, f.c, name); err != nil || state != was {
			f.t.Errorf("%s was %v and is %v, %v", name, was, state, err)
		}
	}
}
