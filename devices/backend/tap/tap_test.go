package tap

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/devices/backend/tap/taptest"
)

// arpRequest asks the host's end for its address: a header and a frame.
func arpRequest() []byte {
	frame := make([]byte, HeaderSize)
	frame = append(frame, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 8, 6)
	frame = append(frame, 0, 1, 8, 0, 6, 4, 0, 1)
	frame = append(frame, 2, 0, 0, 0, 0, 1, 10, 99, 0, 2)
	return append(frame, 0, 0, 0, 0, 0, 0, 10, 99, 0, 1)
}

// TestHostAnswers sends a real frame to the real stack and reads its answer.
func TestHostAnswers(t *testing.T) {
	taptest.Namespace(t, taptest.Options{Address: "10.99.0.1/24"})
	tp, err := Open(taptest.Name, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer tp.Close()
	// More than once: until the interface's carrier is up, what the host sends
	// is dropped.
	done := make(chan struct{})
	defer close(done)
	go func() {
		request := arpRequest()
		for range 100 {
			if err := tp.Send(0, [][]byte{request[:20], request[20:]}); err != nil {
				t.Error(err)
			}
			select {
			case <-done:
				return
			case <-time.After(100 * time.Millisecond):
			}
		}
		tp.Interrupt()
	}()
	header, frame := make([]byte, HeaderSize), make([]byte, 2000)
	for {
		n, err := tp.Receive(0, func() [][]byte { return [][]byte{header, frame} }, func() {})
		if err != nil {
			t.Fatal(err)
		}
		answer := frame[:n-HeaderSize]
		if bytes.Equal(answer[12:14], []byte{8, 6}) && answer[21] == 2 {
			return // an ARP reply
		}
	}
}

func TestInterrupt(t *testing.T) {
	taptest.Namespace(t, taptest.Options{Address: "10.99.0.1/24"})
	tp, err := Open(taptest.Name, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer tp.Close()
	time.AfterFunc(10*time.Millisecond, tp.Interrupt)
	for { // the stack may send frames of its own
		if _, err = tp.Receive(0, func() [][]byte { return [][]byte{make([]byte, 2000)} }, func() {}); err != nil {
			break
		}
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Receive = %v, want ErrDeadlineExceeded", err)
	}
	tp.Rearm()
	if err := tp.Send(0, [][]byte{arpRequest()}); err != nil {
		t.Errorf("Send after Rearm: %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	taptest.Namespace(t, taptest.Options{})
	if _, err := Open("absent0", 1); err == nil || !strings.Contains(err.Error(), "ip tuntap add absent0") {
		t.Errorf("absent tap: %v; want the command that makes it", err)
	}
	if _, err := Open("lo", 1); err == nil {
		t.Error("opened the loopback interface")
	}
	first, err := Open(taptest.Name, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if _, err := Open(taptest.Name, 1); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("second Open: %v", err)
	}
}

// TestSeveralQueues has one guest at a time on a tap that would take many.
func TestSeveralQueues(t *testing.T) {
	taptest.Namespace(t, taptest.Options{MultiQueue: true})
	tp, err := Open(taptest.Name, 3)
	if err != nil {
		t.Fatal(err)
	}
	if tp.Wires() != 3 {
		t.Errorf("%d wires, want 3", tp.Wires())
	}
	for _, n := range []int{3, 1, 2, 1} {
		if err := tp.Use(n); err != nil {
			t.Errorf("use %d: %v", n, err)
		}
	}
	if err := tp.SetOffloads(1<<1 | 1<<7 | 1<<8 | 1<<9); err != nil {
		t.Error(err)
	}
	if _, err := Open(taptest.Name, 3); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("second Open: %v", err)
	}
	if err := tp.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Open(taptest.Name, 1)
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}
