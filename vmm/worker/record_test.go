package worker

import (
	"bufio"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bulkhead-vm/bulkhead/vmm/logfile"

	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// fakeVsock answers at the path of a machine's vsock in place of a guest. It
// returns what connects, after its greeting.
func fakeVsock(t *testing.T, w *Worker) <-chan *net.UnixConn {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fake")
	l := must(net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"}))(t)
	t.Cleanup(func() { l.Close() })
	conns := make(chan *net.UnixConn, 10)
	go func() {
		for {
			c, err := l.AcceptUnix()
			if err != nil {
				return
			}
			lines := bufio.NewReader(c)
			lines.ReadString('\n')
			io.WriteString(c, "OK 1073741824\n")
			lines.ReadString('\n')
			conns <- c
		}
	}()
	w.sockets = []*vmmv1.VsockPath{{Path: path}}
	return conns
}

func request(t *testing.T) *vmmv1.RecordRequest {
	return &vmmv1.RecordRequest{
		Name:    "main",
		Streams: []*vmmv1.RecordStream{{Port: 1025, Greeting: "hello\n", Label: "stdout"}},
		Log:     &vmmv1.LogFile{Path: filepath.Join(t.TempDir(), "log")},
	}
}

// records returns a log's, up to its writer's end.
func records(t *testing.T, path string) (all []string) {
	t.Helper()
	r := must(logfile.NewReader(path, logfile.Options{Follow: true}))(t)
	defer r.Close()
	for {
		record := must(r.Next(t.Context()))(t)
		if record.End() {
			return all
		}
		all = append(all, record.Label+": "+string(record.Data))
	}
}

// TestRecord records until the machine ends, and leaves nothing behind.
func TestRecord(t *testing.T) {
	w := create(t, &vmmv1.MachineConfig{})
	conns := fakeVsock(t, w)
	goroutines := runtime.NumGoroutine()
	req := request(t)
	req.InputSocket = filepath.Join(t.TempDir(), "input")
	must(w.Record(t.Context(), req))(t)
	conn := <-conns
	io.WriteString(conn, "one\ntwo")
	if _, err := w.Record(t.Context(), req); status.Code(err) != codes.AlreadyExists {
		t.Errorf("a second time: %v", err)
	}
	time.AfterFunc(20*time.Millisecond, func() { io.WriteString(conn, " and three\n"); conn.Close() })
	must(w.AwaitRecord(t.Context(), &vmmv1.AwaitRecordRequest{Name: "main"}))(t)
	must(w.Shutdown(t.Context(), &vmmv1.ShutdownRequest{}))(t)
	got := strings.Join(records(t, req.GetLog().GetPath()), "")
	if got = strings.ReplaceAll(got, "stdout: ", ""); got != "one\ntwo and three\n" {
		t.Errorf("recorded %q", got)
	}
	if _, err := os.Stat(req.GetInputSocket()); err == nil {
		t.Error("the input socket is left")
	}
	for range 100 {
		if runtime.NumGoroutine() <= goroutines {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if n := runtime.NumGoroutine(); n > goroutines {
		t.Errorf("%d goroutines are left, of %d", n, goroutines)
	}
	if _, err := w.Record(t.Context(), req); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("after the end: %v", err)
	}
}

func TestRecordRefuses(t *testing.T) {
	dir := t.TempDir()
	w := create(t, &vmmv1.MachineConfig{Vsock: &vmmv1.Vsock{Paths: []*vmmv1.VsockPath{
		{Path: dir + "/agent", FirstPort: 1024, LastPort: 1025},
	}}})
	for name, tt := range map[string]struct {
		change func(*vmmv1.RecordRequest)
		want   codes.Code
	}{
		"no name":      {func(r *vmmv1.RecordRequest) { r.Name = "" }, codes.InvalidArgument},
		"no streams":   {func(r *vmmv1.RecordRequest) { r.Streams = nil }, codes.InvalidArgument},
		"no log":       {func(r *vmmv1.RecordRequest) { r.Log = nil }, codes.InvalidArgument},
		"a huge log":   {func(r *vmmv1.RecordRequest) { r.Log.Path, r.Log.MaxBytes = "/none/log", 1<<64-1 }, codes.FailedPrecondition},
		"a bad log":    {func(r *vmmv1.RecordRequest) { r.Log.Path = dir }, codes.FailedPrecondition},
		"another port": {func(r *vmmv1.RecordRequest) { r.Streams[0].Port = 7 }, codes.InvalidArgument},
	} {
		req := request(t)
		tt.change(req)
		if _, err := w.Record(t.Context(), req); status.Code(err) != tt.want {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	w.sockets[0].Path += "x"
	if _, err := w.Record(t.Context(), request(t)); status.Code(err) != codes.Unavailable {
		t.Errorf("no answer: %v", err)
	}
}

func TestSocketOf(t *testing.T) {
	paths := []*vmmv1.VsockPath{{Path: "rest"}, {Path: "a", FirstPort: 5, LastPort: 6}, {Path: "b", FirstPort: 6, LastPort: 9}}
	for port, want := range map[uint32]string{4: "rest", 5: "a", 6: "a", 7: "b", 9: "b", 10: "rest", 1<<32 - 1: "rest"} {
		if got, err := socketOf(paths, port); got != want || err != nil {
			t.Errorf("port %d: %q, %v; want %q", port, got, err, want)
		}
	}
	if got, err := socketOf(paths[1:], 4); err == nil {
		t.Errorf("port 4 leads to %q", got)
	}
}
