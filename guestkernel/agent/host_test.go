package agent

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"

	agentv1 "github.com/bulkhead-vm/bulkhead/guestkernel/agentapi/v1"
)

// TestAnotherHost has the host go away without a word, as one that is killed
// does, and another come.
func TestAnotherHost(t *testing.T) {
	m := boot(t, programs(t, t.TempDir()), "")
	ctx := t.Context()
	_, err := m.Setup(ctx, &agentv1.SetupRequest{})
	must(t, err)
	const loop = "echo on; while [ ! -e /stop ]; do sleep 0.01; done; "
	for _, id := range []string{"ends", "lasts", "tied"} {
		m.connect(id, "stderr").Close()
		out := m.connect(id, "stdio")
		script := map[string]string{"ends": loop + "exit 5", "lasts": loop + "while [ ! -e /end ]; do sleep 0.01; done; exit 6", "tied": loop}[id]
		_, err := m.Start(ctx, &agentv1.StartRequest{Id: id, Args: []string{"sh", "-c", script}, Tied: id == "tied"})
		must(t, err)
		_, err = io.ReadFull(out, make([]byte, len("on\n")))
		must(t, err)
		defer out.Close()
		if id == "tied" {
			out.Close()
		}
	}
	waited := make(chan error, 1)
	first := m.AgentService
	go func() {
		_, err := first.Wait(ctx, &agentv1.WaitRequest{Id: "ends"})
		waited <- err
	}()
	must(t, m.hello.Close(), m.control.Close())
	if err := <-waited; err == nil {
		t.Error("the first host's call was answered")
	}
	_, err = first.Health(ctx, &agentv1.HealthRequest{})
	if err == nil {
		t.Error("the first host is answered after it left")
	}

	m.call()
	h, err := m.Health(ctx, &agentv1.HealthRequest{})
	if err != nil || h.GetSetup() != agentv1.SetupState_SETUP_STATE_READY || h.GetKernelRelease() == "" {
		t.Errorf("Health = %v, %v", h, err)
	}
	_, err = m.Setup(ctx, &agentv1.SetupRequest{})
	wantCode(t, err, codes.FailedPrecondition)
	w, err := m.Wait(ctx, &agentv1.WaitRequest{Id: "tied"})
	if err != nil || w.GetSignal() != int32(unix.SIGKILL) {
		t.Errorf("Wait for the tied = %v, %v", w, err)
	}
	m.run("stop", ": > /stop") // and with it ends what no host waits for
	m.control.Close()
	time.Sleep(50 * time.Millisecond)

	m.call()
	w, err = m.Wait(ctx, &agentv1.WaitRequest{Id: "ends"})
	if err != nil || w.GetExitCode() != 5 {
		t.Errorf("Wait for what has ended = %v, %v", w, err)
	}
	_, err = m.Start(ctx, &agentv1.StartRequest{Id: "ends", Args: []string{"sh"}})
	wantCode(t, err, codes.AlreadyExists)
	m.run("end", ": > /end")
	w, err = m.Wait(ctx, &agentv1.WaitRequest{Id: "lasts"})
	if err != nil || w.GetExitCode() != 6 {
		t.Errorf("Wait for what went on = %v, %v", w, err)
	}
	m.powerOff(time.Second)
}

// TestHealthSaysHowFarSetupIs goes through the states of Setup.
func TestHealthSaysHowFarSetupIs(t *testing.T) {
	m := boot(t, programs(t, t.TempDir()), "")
	want := func(want agentv1.SetupState) {
		t.Helper()
		h, err := m.Health(t.Context(), &agentv1.HealthRequest{})
		if err != nil || h.GetSetup() != want {
			t.Errorf("Health = %v, %v; want %v", h, err, want)
		}
	}
	want(agentv1.SetupState_SETUP_STATE_FRESH)
	_, err := m.Setup(t.Context(), &agentv1.SetupRequest{Hostname: "no such"})
	wantCode(t, err, codes.InvalidArgument)
	want(agentv1.SetupState_SETUP_STATE_FRESH)
	_, err = m.Setup(t.Context(), &agentv1.SetupRequest{})
	must(t, err)
	want(agentv1.SetupState_SETUP_STATE_READY)
}

// forward asks for a port and returns the answer's line.
func (m *machine) forward(port int) (io.ReadWriteCloser, string) {
	m.t.Helper()
	c := m.dial(socketForward)
	_, err := fmt.Fprintf(c, "bulkhead-forward/1 %d\n", port)
	must(m.t, err, c.SetDeadline(time.Now().Add(20*time.Second)))
	r := bufio.NewReader(c)
	line, err := r.ReadString('\n')
	must(m.t, err)
	return struct {
		io.Reader
		io.WriteCloser
	}{r, c}, line
}

func TestForward(t *testing.T) {
	m := boot(t, programs(t, t.TempDir()), "")
	if _, line := m.forward(echoPort); !strings.Contains(line, "unreachable") {
		t.Errorf("before Setup the answer is %q", line)
	}
	_, err := m.Setup(t.Context(), &agentv1.SetupRequest{})
	must(t, err)
	if _, line := m.forward(echoPort + 1); !strings.Contains(line, "refused") {
		t.Errorf("for a port that nobody has the answer is %q", line)
	}
	c, line := m.forward(echoPort)
	if line != "OK\n" {
		t.Fatalf("the answer is %q", line)
	}
	defer c.Close()
	_, err = io.WriteString(c, "ahoy")
	must(t, err)
	got := make([]byte, 4)
	if _, err := io.ReadFull(c, got); err != nil || string(got) != "ahoy" {
		t.Errorf("back came %q, %v", got, err)
	}
}
