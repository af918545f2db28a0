package server_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/bulkhead-vm/bulkhead/hypervisor/client"
	"github.com/bulkhead-vm/bulkhead/hypervisor/node"
	"github.com/bulkhead-vm/bulkhead/hypervisor/nodetest"
	"github.com/bulkhead-vm/bulkhead/hypervisor/server"
	"github.com/bulkhead-vm/bulkhead/hypervisor/workertest"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

func TestMain(m *testing.M) {
	workertest.Main()
	os.Exit(m.Run())
}

// fixture is a node behind its API, and a client.
type fixture struct {
	*client.Client
	t      *testing.T
	node   *node.Node
	config node.Config
}

func serve(t *testing.T) *fixture {
	t.Helper()
	c := nodetest.Config(t)
	n := nodetest.Open(t, c)
	socket := filepath.Join(filepath.Dir(c.GuestDir), "api.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	server.Register(s, n)
	go s.Serve(l)
	client, err := client.Dial("unix://"+socket, client.TLS{})
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{client, t, n, c}
	t.Cleanup(func() {
		client.Close()
		nodetest.End(t, f.node, c)
		s.Stop()
	})
	return f
}

func (f *fixture) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// start makes and starts a sandbox.
func (f *fixture) start(name string, command *bulkheadv1.Command) {
	f.t.Helper()
	_, err := f.CreateSandbox(f.t.Context(), &bulkheadv1.CreateSandboxRequest{Name: name, Spec: &bulkheadv1.SandboxSpec{Command: command}})
	f.must(err)
	_, err = f.StartSandbox(f.t.Context(), &bulkheadv1.StartSandboxRequest{Name: name})
	f.must(err)
}

// run runs a command to its end.
func (f *fixture) run(sandbox string, c *bulkheadv1.Command, input string) (stdout, stderr string, exit *bulkheadv1.ProcessExit) {
	f.t.Helper()
	p, err := f.Exec(f.t.Context(), sandbox, c)
	f.must(err)
	return f.collect(p, c.GetStdin(), input)
}

func (f *fixture) collect(p *client.Process, stdin bool, input string) (stdout, stderr string, exit *bulkheadv1.ProcessExit) {
	f.t.Helper()
	if stdin {
		go func() {
			io.WriteString(p.Stdin, input)
			p.Stdin.Close()
		}()
	}
	errors := make(chan string)
	go func() {
		b, _ := io.ReadAll(p.Stderr)
		errors <- string(b)
	}()
	out, err := io.ReadAll(p.Stdout)
	stderr = <-errors
	exit, waited := p.Wait()
	if err != nil || waited != nil { // and go on: this may be another goroutine than the test's
		f.t.Errorf("output: %v, exit: %v", err, waited)
	}
	return string(out), stderr, exit
}

// refused checks an error's code, and that it says why in a way for programs.
func (f *fixture) refused(err error, code codes.Code, reason string) {
	f.t.Helper()
	s := status.Convert(err)
	for _, d := range s.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok && s.Code() == code && info.GetReason() == reason && info.GetDomain() == "bulkhead" {
			return
		}
	}
	f.t.Errorf("error %v with details %v, want %v with reason %s", err, s.Details(), code, reason)
}

func sh(script string) *bulkheadv1.Command {
	return &bulkheadv1.Command{Args: []string{"sh", "-c", script}}
}

func TestExec(t *testing.T) {
	f := serve(t)
	f.start("box", nil)
	big := make([]byte, 8<<20)
	rand.NewChaCha8([32]byte{}).Read(big)
	for name, tt := range map[string]struct {
		c            *bulkheadv1.Command
		in, out, err string
		code, signal int32
	}{
		"streams":   {&bulkheadv1.Command{Args: []string{"sh", "-c", "cat; echo err >&2; exit 3"}, Stdin: true}, "in", "in", "err\n", 3, 0},
		"no stdin":  {sh("cat"), "", "", "", 0, 0},
		"signal":    {sh("kill -9 $$"), "", "", "", 137, 9},
		"env, dir":  {&bulkheadv1.Command{Args: []string{"sh", "-c", "echo $A; pwd"}, Env: []string{"A=b c"}, WorkingDir: "/usr"}, "", "b c\n/usr\n", "", 0, 0},
		"user":      {&bulkheadv1.Command{Args: []string{"id", "-u"}, User: "65534"}, "", "65534\n", "", 0, 0},
		"much":      {&bulkheadv1.Command{Args: []string{"sha256sum"}, Stdin: true}, string(big), fmt.Sprintf("%x  -\n", sha256.Sum256(big)), "", 0, 0},
		"much back": {&bulkheadv1.Command{Args: []string{"cat"}, Stdin: true}, string(big), string(big), "", 0, 0},
		"children":  {sh("sleep 1000 & echo left"), "", "left\n", "", 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			out, stderr, exit := f.run("box", tt.c, tt.in)
			if out != tt.out || stderr != tt.err || exit.GetExitCode() != tt.code || exit.GetSignal() != tt.signal {
				t.Errorf("%d bytes of output %.100q, stderr %q, exit %v", len(out), out, stderr, exit)
			}
		})
	}
	_, err := f.Exec(t.Context(), "box", &bulkheadv1.Command{Args: []string{"no-such"}})
	f.refused(err, codes.NotFound, "COMMAND_NOT_FOUND")
	_, err = f.Exec(t.Context(), "box", &bulkheadv1.Command{Args: []string{"/etc/passwd"}})
	f.refused(err, codes.PermissionDenied, "COMMAND_NOT_EXECUTABLE")
	_, err = f.Exec(t.Context(), "absent", sh("true"))
	f.refused(err, codes.NotFound, "SANDBOX_NOT_FOUND")
	_, err = f.Exec(t.Context(), "box", &bulkheadv1.Command{})
	f.refused(err, codes.InvalidArgument, "INVALID_REQUEST")
}

func TestExecTerminal(t *testing.T) {
	f := serve(t)
	f.start("box", nil)
	p, err := f.Exec(t.Context(), "box", &bulkheadv1.Command{
		Args: []string{"sh", "-c", "stty size; read x; stty size; echo got $x"}, Terminal: &bulkheadv1.TerminalSize{Rows: 10, Columns: 20},
	})
	f.must(err)
	first := make([]byte, 7)
	_, err = io.ReadFull(p.Stdout, first)
	f.must(err)
	f.must(p.Resize(t.Context(), &bulkheadv1.TerminalSize{Rows: 30, Columns: 40}))
	io.WriteString(p.Stdin, "it\n")
	out, _, exit := f.collect(p, false, "")
	if string(first) != "10 20\r\n" || !strings.Contains(out, "30 40") || !strings.Contains(out, "got it") || exit.GetExitCode() != 0 {
		t.Errorf("%q, %q, %v", first, out, exit)
	}
}

// TestExecSignals signals a command that doesn't read what it is sent.
func TestExecSignals(t *testing.T) {
	f := serve(t)
	f.start("box", nil)
	p, err := f.Exec(t.Context(), "box", &bulkheadv1.Command{Args: []string{"sh", "-c", "trap 'exit 9' USR1; echo ready; sleep 1000 & wait"}, Stdin: true})
	f.must(err)
	go io.Copy(p.Stdin, endless{})
	_, err = io.ReadFull(p.Stdout, make([]byte, 6))
	f.must(err)
	time.Sleep(200 * time.Millisecond) // for the input to be stuck
	f.must(p.Signal(t.Context(), 10))
	go io.Copy(io.Discard, p.Stdout)
	go io.Copy(io.Discard, p.Stderr)
	if exit, err := p.Wait(); err != nil || exit.GetExitCode() != 9 {
		t.Errorf("exit %v, %v", exit, err)
	}
	f.refused(p.Signal(t.Context(), 10), codes.FailedPrecondition, "GUEST")
	f.refused(p.Signal(t.Context(), 65), codes.InvalidArgument, "INVALID_REQUEST")
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// TestExecCancelled ends a call: the command ends, too.
func TestExecCancelled(t *testing.T) {
	f := serve(t)
	f.start("box", nil)
	mark := filepath.Join(f.config.StateDir, "alive")
	ctx, cancel := context.WithCancel(t.Context())
	p, err := f.Exec(ctx, "box", sh("while :; do echo x >> "+mark+"; sleep 0.02; done"))
	f.must(err)
	for {
		if b, _ := os.ReadFile(mark); len(b) > 4 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	cancel()
	if _, err := p.Wait(); status.Code(err) != codes.Canceled {
		t.Errorf("error %v", err)
	}
	for began, before := time.Now(), -1; ; time.Sleep(500 * time.Millisecond) { // it is some time before it ends
		b, _ := os.ReadFile(mark)
		if len(b) == before {
			break
		}
		if before = len(b); time.Since(began) > 30*time.Second {
			t.Fatal("the command is still running")
		}
	}
	late, end := context.WithTimeout(t.Context(), 3*time.Second) // to start, on a slow host
	defer end()
	p, err = f.Exec(late, "box", sh("sleep 1000"))
	f.must(err)
	if _, err := p.Wait(); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("error %v", err)
	}
}

// TestSlowReader doesn't read what a command writes: the command waits, and
// nobody else.
func TestSlowReader(t *testing.T) {
	f := serve(t)
	f.start("box", nil)
	p, err := f.Exec(t.Context(), "box", sh("yes"))
	f.must(err)
	time.Sleep(300 * time.Millisecond)
	if out, _, _ := f.run("box", sh("echo quick"), ""); out != "quick\n" {
		t.Errorf("%q", out)
	}
	f.must(p.Signal(t.Context(), 9))
	go io.Copy(io.Discard, p.Stdout)
	go io.Copy(io.Discard, p.Stderr)
	if exit, err := p.Wait(); err != nil || exit.GetSignal() != 9 {
		t.Errorf("%v, %v", exit, err)
	}
}

func TestSandboxEndsUnderExec(t *testing.T) {
	f := serve(t)
	f.start("box", nil)
	p, err := f.Exec(t.Context(), "box", sh("sleep 1000"))
	f.must(err)
	_, err = f.KillSandbox(t.Context(), &bulkheadv1.KillSandboxRequest{Name: "box"})
	f.must(err)
	_, err = p.Wait()
	f.refused(err, codes.Aborted, "SANDBOX_ENDED")
	_, err = f.Exec(t.Context(), "box", sh("true"))
	f.refused(err, codes.FailedPrecondition, "WRONG_STATE")
}

// TestExecProtocol sends what no client of ours does.
func TestExecProtocol(t *testing.T) {
	f := serve(t)
	f.start("box", nil)
	start := &bulkheadv1.ExecRequest{Request: &bulkheadv1.ExecRequest_Start{Start: &bulkheadv1.ExecStart{Sandbox: "box", Command: sh("sleep 1000")}}}
	for name, messages := range map[string][]*bulkheadv1.ExecRequest{
		"nothing first":  {{}},
		"input first":    {{Request: &bulkheadv1.ExecRequest_Stdin{Stdin: []byte("x")}}},
		"start twice":    {start, start},
		"nothing":        {start, {}},
		"much input":     {start, {Request: &bulkheadv1.ExecRequest_Stdin{Stdin: make([]byte, 1<<17)}}},
		"signal 0":       {start, {Request: &bulkheadv1.ExecRequest_Signal{Signal: 0}}},
		"a large screen": {start, {Request: &bulkheadv1.ExecRequest_Resize{Resize: &bulkheadv1.TerminalSize{Rows: 1 << 20}}}},
	} {
		t.Run(name, func(t *testing.T) {
			stream, err := f.Processes.Exec(t.Context())
			f.must(err)
			for _, m := range messages {
				stream.Send(m)
			}
			for err == nil {
				_, err = stream.Recv()
			}
			f.refused(err, codes.InvalidArgument, "INVALID_REQUEST")
		})
	}
	stream, err := f.Processes.Exec(t.Context())
	f.must(err)
	stream.Send(start)
	stream.Send(&bulkheadv1.ExecRequest{Request: &bulkheadv1.ExecRequest_Stdin{Stdin: []byte("x")}})
	for err == nil {
		_, err = stream.Recv()
	}
	f.refused(err, codes.FailedPrecondition, "WRONG_STATE") // it has no standard input
}

// TestExecHalfClosed has a client say no more, as gRPC has it: that is the end of
// the command's input, and not of the command.
func TestExecHalfClosed(t *testing.T) {
	f := serve(t)
	f.start("box", nil)
	for name, command := range map[string]*bulkheadv1.Command{
		"pipes":      {Args: []string{"sh", "-c", "cat; exit 3"}, Stdin: true},
		"a terminal": {Args: []string{"sh", "-c", "cat; exit 3"}, Terminal: &bulkheadv1.TerminalSize{Rows: 1, Columns: 1}},
		"no input":   sh("exit 3"),
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			stream, err := f.Processes.Exec(ctx)
			f.must(err)
			f.must(stream.Send(&bulkheadv1.ExecRequest{Request: &bulkheadv1.ExecRequest_Start{Start: &bulkheadv1.ExecStart{Sandbox: "box", Command: command}}}))
			f.must(stream.CloseSend())
			for {
				m, err := stream.Recv()
				if err != nil {
					t.Fatalf("the command doesn't end: %v", err)
				}
				if exit := m.GetExit(); exit != nil {
					if exit.GetExitCode() != 3 {
						t.Errorf("exit %v", exit)
					}
					return
				}
			}
		})
	}
}

func TestAttachAndLogs(t *testing.T) {
	f := serve(t)
	f.start("cat", &bulkheadv1.Command{Args: []string{"sh", "-c", "echo begin; cat; echo err >&2; exit 2"}, Stdin: true})
	first, err := f.Attach(t.Context(), "cat", true)
	f.must(err)
	second, err := f.Attach(t.Context(), "cat", true)
	f.must(err)
	logs := func(r *bulkheadv1.GetLogsRequest) (all string) {
		t.Helper()
		r.Sandbox = "cat"
		stream, err := f.Processes.GetLogs(t.Context(), r)
		f.must(err)
		for {
			m, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				return all
			}
			f.must(err)
			for _, e := range m.GetEntries() {
				all += strings.TrimPrefix(e.GetStream().String(), "LOG_STREAM_") + " " + string(e.GetData())
			}
		}
	}
	both := make(chan [2]string, 2)
	for _, p := range []*client.Process{first, second} {
		go func() {
			out, stderr, exit := f.collect(p, false, "")
			both <- [2]string{out, fmt.Sprint(stderr, exit.GetExitCode())}
		}()
	}
	io.WriteString(first.Stdin, "from the first\n")
	for !strings.Contains(logs(&bulkheadv1.GetLogsRequest{}), "first") { // the input's end doesn't wait for what others write
		time.Sleep(10 * time.Millisecond)
	}
	io.WriteString(second.Stdin, "from the second\n")
	second.Stdin.Close()
	for range 2 {
		got := <-both
		lines := strings.Fields(strings.ReplaceAll(got[0], " ", "_"))
		if len(lines) != 3 || lines[0] != "begin" || !strings.Contains(got[0], "from the first\n") || !strings.Contains(got[0], "from the second\n") || got[1] != "err\n2" {
			t.Errorf("attached: %q", got)
		}
	}
	all := logs(&bulkheadv1.GetLogsRequest{Follow: true})
	lines := strings.SplitAfter(strings.TrimSuffix(all, "\n"), "\n")
	last := lines[len(lines)-1] + "\n"
	// Two streams come in any order.
	if !strings.HasPrefix(all, "STDOUT begin\n") || len(lines) != 4 || !strings.Contains(all, "STDERR err\n") {
		t.Errorf("logs: %q", all)
	}
	if got := logs(&bulkheadv1.GetLogsRequest{Tail: proto.Uint32(1)}); got != last {
		t.Errorf("the last line: %q, want %q", got, last)
	}
	if got := logs(&bulkheadv1.GetLogsRequest{Tail: proto.Uint32(0)}); got != "" {
		t.Errorf("no line: %q", got)
	}
	if got := logs(&bulkheadv1.GetLogsRequest{Console: true}); got != "CONSOLE a fake machine is up\n" {
		t.Errorf("console: %q", got)
	}
	f.start("box", nil)
	_, err = f.Attach(t.Context(), "box", false)
	f.refused(err, codes.FailedPrecondition, "NO_COMMAND")
}

func TestFiles(t *testing.T) {
	f := serve(t)
	f.start("box", nil)
	dir := filepath.Join(f.config.StateDir, "files")
	big := make([]byte, 3<<20+17)
	rand.NewChaCha8([32]byte{}).Read(big)
	for name, content := range map[string][]byte{"empty": nil, "small": []byte("x"), "big": big} {
		path := dir + "/sub/" + name
		info, err := f.WriteFile(t.Context(), &bulkheadv1.WriteFileHeader{Sandbox: "box", Path: path, Mode: proto.Uint32(0o4640), Parents: true}, bytes.NewReader(content))
		if err != nil || info.GetSize() != uint64(len(content)) || info.GetMode() != 0o4640 {
			t.Errorf("write: %v, %v", info, err)
		}
		var got bytes.Buffer
		info, err = f.ReadFile(t.Context(), "box", path, &got)
		if err != nil || !bytes.Equal(got.Bytes(), content) || info.GetType() != bulkheadv1.FileType_FILE_TYPE_REGULAR {
			t.Errorf("read: %d bytes, %v, %v", got.Len(), info, err)
		}
	}
	stream, err := f.Files.ReadFile(t.Context(), &bulkheadv1.ReadFileRequest{Sandbox: "box", Path: dir + "/sub/big", Offset: 5, Length: 7})
	f.must(err)
	var part []byte
	for m, err := stream.Recv(); err == nil; m, err = stream.Recv() {
		part = append(part, m.GetData()...)
	}
	if !bytes.Equal(part, big[5:12]) {
		t.Errorf("a part: %x", part)
	}
	_, err = f.Files.MakeSymlink(t.Context(), &bulkheadv1.MakeSymlinkRequest{Sandbox: "box", Path: dir + "/sub/link", Target: "small"})
	f.must(err)
	_, err = f.Files.MakeDirectory(t.Context(), &bulkheadv1.MakeDirectoryRequest{Sandbox: "box", Path: dir + "/sub/dir"})
	f.must(err)
	var names []string
	f.must(f.ListFiles(t.Context(), "box", dir+"/sub", func(i *bulkheadv1.FileInfo) error {
		names = append(names, filepath.Base(i.GetPath())+" "+strings.TrimPrefix(i.GetType().String(), "FILE_TYPE_")+i.GetSymlinkTarget())
		return nil
	}))
	if want := "big REGULAR,dir DIRECTORY,empty REGULAR,link SYMLINKsmall,small REGULAR"; strings.Join(names, ",") != want {
		t.Errorf("list: %q, want %q", names, want)
	}
	page, err := f.Files.ListFiles(t.Context(), &bulkheadv1.ListFilesRequest{Sandbox: "box", Path: dir + "/sub", PageSize: 2})
	if err != nil || len(page.GetFiles()) != 2 || page.GetNextPageToken() == "" {
		t.Errorf("a page: %v, %v", page, err)
	}
	_, err = f.Files.RemoveFile(t.Context(), &bulkheadv1.RemoveFileRequest{Sandbox: "box", Path: dir + "/sub"})
	f.refused(err, codes.FailedPrecondition, "GUEST")
	_, err = f.Files.RemoveFile(t.Context(), &bulkheadv1.RemoveFileRequest{Sandbox: "box", Path: dir, Recursive: true})
	f.must(err)
	_, err = f.Files.StatFile(t.Context(), &bulkheadv1.StatFileRequest{Sandbox: "box", Path: dir})
	f.refused(err, codes.NotFound, "GUEST")
	_, err = f.Files.StatFile(t.Context(), &bulkheadv1.StatFileRequest{Sandbox: "box", Path: "relative"})
	f.refused(err, codes.InvalidArgument, "INVALID_REQUEST")
	_, err = f.ReadFile(t.Context(), "box", "/usr", io.Discard)
	f.refused(err, codes.FailedPrecondition, "GUEST")
	_, err = f.WriteFile(t.Context(), &bulkheadv1.WriteFileHeader{Sandbox: "box", Path: "/usr"}, strings.NewReader("x"))
	f.refused(err, codes.FailedPrecondition, "GUEST")
}

// TestHalfAFile has a client go in the middle of a file: there is none.
func TestHalfAFile(t *testing.T) {
	f := serve(t)
	f.start("box", nil)
	path := filepath.Join(f.config.StateDir, "half")
	broken := errors.New("the source broke")
	_, err := f.WriteFile(t.Context(), &bulkheadv1.WriteFileHeader{Sandbox: "box", Path: path}, io.MultiReader(strings.NewReader("half"), failing{broken}))
	if !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	time.Sleep(200 * time.Millisecond)
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Error("half a file is there")
	}
	left, _ := filepath.Glob(filepath.Join(f.config.StateDir, ".bulkhead-*"))
	if len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestPortForward(t *testing.T) {
	f := serve(t)
	f.start("box", nil)
	l, err := net.Listen("tcp", "127.0.0.1:0") // a fake guest's loopback is ours
	f.must(err)
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				b, _ := io.ReadAll(c)
				c.Write(append([]byte("you said "), b...))
			}()
		}
	}()
	port := uint16(l.Addr().(*net.TCPAddr).Port)
	big := strings.Repeat("0123456789", 100_000)
	for _, say := range []string{"", "hello", big} {
		c, err := f.Forward(t.Context(), "box", port)
		f.must(err)
		go func() {
			io.WriteString(c, say)
			c.CloseWrite()
		}()
		got, err := io.ReadAll(c)
		if err != nil || string(got) != "you said "+say {
			t.Errorf("%d bytes came back, %v", len(got), err)
		}
		c.Close()
	}
	l.Close()
	_, err = f.Forward(t.Context(), "box", port)
	f.refused(err, codes.Unavailable, "PORT_REFUSED")
	_, err = f.Forward(t.Context(), "box", 0)
	f.refused(err, codes.InvalidArgument, "INVALID_REQUEST")
}
