package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/ttrpc"

	"github.com/bulkhead-vm/bulkhead/vmm/logfile"
	"github.com/bulkhead-vm/bulkhead/vmm/timeline"
	"github.com/bulkhead-vm/bulkhead/vmm/worker"

	agentv1 "github.com/bulkhead-vm/bulkhead/guestkernel/agentapi/v1"
	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// recorded is a worker in this process, with a guest whose agent is ready.
type recorded struct {
	t      *testing.T
	dir    string
	worker *worker.Worker
	agent  agentv1.AgentService
}

// script is what the guest runs, without any other command: they take long to start
// where guests' kernels are emulated.
const script = `
echo begin
echo problem >&2
echo "<0>it speaks" >/dev/kmsg
while read line; do echo got $line; done
s=0123456789abcdef
for i in 1 2 3 4 5 6 7 8 9 10; do s=$s$s; done
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24; do echo $s; done
echo the last
`

// TestRecord runs a command in a guest whose output goes to a log by way of the
// worker, and whose input comes from one client after the other, until one ends it.
// Then the guest turns itself off, and no byte is lost.
func TestRecord(t *testing.T) {
	requireKVM(t)
	r := &recorded{t: t, dir: workDir(t)}
	r.boot()
	r.record("it")
	r.start("it", true, "sh", "-c", script)
	r.send("D\x00\x04one\n")
	r.wait("it", "got one\n")
	r.send("D\x00\x04two\nE")
	if code := r.end("it"); code != 0 {
		t.Errorf("exit code %d", code)
	}
	r.powerOff()
	flood := strings.Repeat(strings.Repeat("0123456789abcdef", 1024)+"\n", 24)
	for label, want := range map[string]string{
		"stdout": "begin\ngot one\ngot two\n" + flood + "the last\n", "stderr": "problem\n",
	} {
		if got := r.logged("it")[label]; got != want {
			t.Errorf("%s: %d bytes, want %d: %.100q", label, len(got), len(want), got)
		}
	}
	r.counted(uint64(len(flood)))
	if console := r.console(); !strings.Contains(console, "it speaks\r\n") || !strings.HasSuffix(console, "Z log F end\n") {
		t.Errorf("the console's log has %.1000q", console)
	}
}

// powerOff has the guest turn itself off, and waits for it.
func (r *recorded) powerOff() {
	if _, err := r.agent.PowerOff(r.t.Context(), &agentv1.PowerOffRequest{GraceNs: uint64(time.Second)}); err != nil {
		r.t.Error(err)
	}
	end, err := r.worker.Wait(r.t.Context(), &vmmv1.WaitRequest{})
	if err != nil || end.GetReason() != vmmv1.EndReason_END_REASON_POWER_OFF {
		r.t.Errorf("%v, %v", end, err)
	}
}

// counted wants the devices to have counted what went through them, of which the
// guest sent so much.
func (r *recorded) counted(sent uint64) {
	stats, err := r.worker.Stats(r.t.Context(), &vmmv1.StatsRequest{})
	if err != nil {
		r.t.Fatal(err)
	}
	for _, d := range stats.GetDevices() {
		r.t.Log(d)
		ok := d.GetRequests() > 0 && d.GetBreaches() == 0
		switch d.GetName() {
		case "vsock":
			ok = ok && d.GetFromGuestBytes() > sent && d.GetToGuestBytes() > 0
		case "blk0":
			ok = ok && d.GetToGuestBytes() > 1<<20
		}
		if !ok {
			r.t.Errorf("it can't be that a device counted %v", d)
		}
	}
}

func (r *recorded) boot() {
	ready, err := net.ListenUnix("unix", &net.UnixAddr{Name: r.vsock() + "_1024", Net: "unix"})
	if err != nil {
		r.t.Fatal(err)
	}
	defer ready.Close()
	ready.SetDeadline(time.Now().Add(5 * time.Minute))
	r.run(&vmmv1.CreateRequest{Machine: r.machine()})
	hello, err := ready.Accept()
	if err != nil {
		r.t.Fatalf("the guest doesn't come up: %v; its console: %q", err, r.console())
	}
	r.t.Cleanup(func() { hello.Close() })
	r.connect()
	if _, err := r.agent.Setup(r.t.Context(), &agentv1.SetupRequest{Root: &agentv1.RootFS{
		Device: "/dev/vda", Upper: &agentv1.RootFS_Tmpfs{Tmpfs: &agentv1.TmpfsUpper{}},
	}}); err != nil {
		r.t.Fatal(err)
	}
}

// machine is what each guest here is like.
func (r *recorded) machine() *vmmv1.MachineConfig {
	return &vmmv1.MachineConfig{
		Kernel: filepath.Join(bin, "guest/vmlinux"), Initrd: filepath.Join(bin, "guest/initramfs.cpio"),
		Vsock:   &vmmv1.Vsock{Paths: []*vmmv1.VsockPath{{Path: r.vsock(), FirstPort: 1024, LastPort: 1025}}},
		Disks:   []*vmmv1.Disk{{Path: filepath.Join(bin, "guest/userland.erofs"), ReadOnly: true}},
		Console: &vmmv1.LogFile{Path: filepath.Join(r.dir, "console.log")},
	}
}

func (r *recorded) vsock() string { return filepath.Join(r.dir, "v") }

// run starts a worker and its machine.
func (r *recorded) run(c *vmmv1.CreateRequest) {
	r.t.Helper()
	r.worker = worker.New(worker.Config{Log: slog.New(slog.NewTextHandler(r.t.Output(), nil)), Timeline: new(timeline.Timeline)})
	r.t.Cleanup(r.worker.Close)
	if _, err := r.worker.Create(r.t.Context(), c); err != nil {
		r.t.Fatal(err)
	}
	if _, err := r.worker.Start(r.t.Context(), &vmmv1.StartRequest{}); err != nil {
		r.t.Fatal(err)
	}
}

// connect reaches the agent of a guest that is up.
func (r *recorded) connect() {
	r.t.Helper()
	conn, err := net.Dial("unix", r.vsock())
	if err != nil {
		r.t.Fatal(err)
	}
	fmt.Fprintf(conn, "CONNECT 1024\n")
	if line, err := bufio.NewReaderSize(oneByte{conn}, 16).ReadString('\n'); err != nil {
		r.t.Fatalf("%q, %v", line, err)
	}
	client := ttrpc.NewClient(conn)
	r.t.Cleanup(func() { client.Close() })
	r.agent = agentv1.NewAgentClient(client)
}

// oneByte keeps a reader from reading more than it was asked for.
type oneByte struct{ io.Reader }

func (r oneByte) Read(p []byte) (int, error) { return r.Reader.Read(p[:1]) }

// record has a process's streams recorded, before it is started.
func (r *recorded) record(id string) {
	stream := func(name string) string { return fmt.Sprintf("bulkhead-stdio/1 %s %s\n", id, name) }
	_, err := r.worker.Record(r.t.Context(), &vmmv1.RecordRequest{
		Name: id,
		Streams: []*vmmv1.RecordStream{
			{Port: 1025, Greeting: stream("stdio"), Label: "stdout"},
			{Port: 1025, Greeting: stream("stderr"), Label: "stderr"},
		},
		Log:         &vmmv1.LogFile{Path: r.log(id)},
		InputSocket: filepath.Join(r.dir, "input"),
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *recorded) log(id string) string { return filepath.Join(r.dir, id+".log") }

func (r *recorded) start(id string, stdin bool, args ...string) {
	if _, err := r.agent.Start(r.t.Context(), &agentv1.StartRequest{Id: id, Args: args, Stdin: stdin}); err != nil {
		r.t.Fatal(err)
	}
}

// send is a client of the input socket, for as long as it takes.
func (r *recorded) send(messages string) {
	c, err := net.Dial("unix", filepath.Join(r.dir, "input"))
	if err != nil {
		r.t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, messages); err != nil {
		r.t.Fatal(err)
	}
}

// end waits for a process.
func (r *recorded) end(id string) int32 {
	ctx, cancel := context.WithTimeout(r.t.Context(), 5*time.Minute)
	defer cancel()
	w, err := r.agent.Wait(ctx, &agentv1.WaitRequest{Id: id})
	if err != nil {
		r.t.Fatal(err)
	}
	return w.GetExitCode()
}

// wait follows a log until a line of standard output comes, in however many
// pieces: a record has what the guest happened to write at once.
func (r *recorded) wait(id, want string) {
	r.t.Helper()
	var line string
	for record := range r.follow(r.log(id)) {
		if record.Label != "stdout" {
			continue
		}
		if line += string(record.Data); line == want {
			return
		}
		if strings.HasSuffix(line, "\n") {
			line = ""
		}
	}
	r.t.Fatalf("%q doesn't come", want)
}

// logged follows a log to its end and returns what each stream has.
func (r *recorded) logged(id string) map[string]string {
	r.t.Helper()
	all := map[string]*strings.Builder{"stdout": {}, "stderr": {}}
	for record := range r.follow(r.log(id)) {
		if b := all[record.Label]; b != nil {
			b.Write(record.Data)
		}
	}
	return map[string]string{"stdout": all["stdout"].String(), "stderr": all["stderr"].String()}
}

// follow yields a log's records until its writer's end.
func (r *recorded) follow(path string) func(yield func(logfile.Record) bool) {
	r.t.Helper()
	return func(yield func(logfile.Record) bool) {
		ctx, cancel := context.WithTimeout(r.t.Context(), 5*time.Minute)
		defer cancel()
		l, err := logfile.NewReader(path, logfile.Options{Follow: true})
		if err != nil {
			r.t.Fatal(err)
		}
		defer l.Close()
		for {
			record, err := l.Next(ctx)
			if err != nil {
				r.t.Fatalf("%v\n%s", err, r.situation(path))
			}
			if record.End() || !yield(record) {
				return
			}
		}
	}
}

// situation says how far a guest has come that isn't heard of any more.
func (r *recorded) situation(log string) string {
	stats, err := r.worker.Stats(context.WithoutCancel(r.t.Context()), &vmmv1.StatsRequest{})
	b, _ := os.ReadFile(log) // for people: what there is of it
	return fmt.Sprintf("devices: %v, %v\nconsole: %q\n%d bytes of log, the last of them: %q",
		stats.GetDevices(), err, r.console(), len(b), b[max(0, len(b)-1000):])
}

// console returns what is in the console's log.
func (r *recorded) console() string {
	b, err := os.ReadFile(filepath.Join(r.dir, "console.log"))
	if err != nil {
		r.t.Fatal(err)
	}
	return string(b)
}
