package qmp_test

import (
	"bufio"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/tests/bench/qmp"
)

const limit = 10 * time.Second

// serve is a QEMU that answers each request with the next of some lines.
func serve(t *testing.T, greeting string, answers ...string) (path string, asked <-chan string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "qmp")
	requests := make(chan string, 10)
	go func() {
		time.Sleep(20 * time.Millisecond) // it takes a while to come up
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Error(err)
			return
		}
		t.Cleanup(func() { l.Close() })
		c, err := l.Accept()
		if err != nil {
			return
		}
		t.Cleanup(func() { c.Close() })
		fmt.Fprintln(c, greeting)
		lines := bufio.NewScanner(c)
		for i := 0; lines.Scan(); i++ {
			requests <- lines.Text()
			if i < len(answers) {
				fmt.Fprintln(c, answers[i])
			}
		}
	}()
	return path, requests
}

const (
	greeting = `{"QMP": {"version": {"qemu": {"major": 7}}, "capabilities": []}}`
	done     = `{"return": {}}`
)

func TestCommandsAndEvents(t *testing.T) {
	path, asked := serve(t, greeting, done,
		`{"timestamp": {"seconds": 100, "microseconds": 5}, "event": "STOP"}`+"\n"+
			`{"timestamp": {"seconds": 101, "microseconds": 7}, "event": "RESUME", "data": {"a": 1}}`+"\n"+
			`{"return": {"status": "completed"}}`)
	c, err := qmp.Dial(path, limit)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var got struct{ Status string }
	if err := c.Execute("query-migrate", map[string]any{"x": true}, &got); err != nil || got.Status != "completed" {
		t.Fatalf("%+v, %v", got, err)
	}
	if r := <-asked; !strings.Contains(r, "qmp_capabilities") {
		t.Errorf("it begins with %s", r)
	}
	if r := <-asked; r != `{"arguments":{"x":true},"execute":"query-migrate"}` {
		t.Errorf("asked %s", r)
	}
	if _, ok := c.Seen("MIGRATION"); ok {
		t.Error("an event that never was")
	}
	e, err := c.Next("STOP")
	if err != nil || !e.Time.Equal(time.Unix(100, 5000)) {
		t.Errorf("%+v, %v", e, err)
	}
	if _, ok := c.Seen("STOP"); ok {
		t.Error("one event came twice")
	}
	if e, ok := c.Seen("RESUME"); !ok || string(e.Data) != `{"a": 1}` {
		t.Errorf("%+v, %v", e, ok)
	}
}

func TestErrors(t *testing.T) {
	path, _ := serve(t, greeting, done, `{"error": {"class": "CommandNotFound", "desc": "no such thing"}}`)
	c, err := qmp.Dial(path, limit)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Execute("nonsense", nil, nil); err == nil || !strings.Contains(err.Error(), "no such thing") {
		t.Errorf("a command that QEMU refused: %v", err)
	}
	stranger, _ := serve(t, `{"hello": 1}`)
	if _, err := qmp.Dial(stranger, limit); err == nil {
		t.Error("a conversation with somebody who isn't QEMU")
	}
	if _, err := qmp.Dial(filepath.Join(t.TempDir(), "none"), 20*time.Millisecond); err == nil {
		t.Error("a connection to nobody")
	}
}
