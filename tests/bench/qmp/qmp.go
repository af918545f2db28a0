// Package qmp asks a running QEMU, by its machine protocol.
package qmp

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"syscall"
	"time"
)

// Client is a connection to one QEMU. Its methods are for one goroutine.
type Client struct {
	conn   net.Conn
	in     *json.Decoder
	limit  time.Duration
	events []Event // that nobody has asked for yet, oldest first
}

// Event is something that QEMU has reported.
type Event struct {
	Name string
	Time time.Time // by QEMU's own clock, the host's
	Data json.RawMessage
}

// message is any that QEMU sends: a greeting, an answer or an event.
type message struct {
	Event     string `json:"event"`
	Timestamp struct {
		Seconds      int64 `json:"seconds"`
		Microseconds int64 `json:"microseconds"`
	} `json:"timestamp"`
	Data   json.RawMessage `json:"data"`
	Return json.RawMessage `json:"return"`
	Error  *struct {
		Class string `json:"class"`
		Desc  string `json:"desc"`
	} `json:"error"`
}

// redial is how often a socket is tried that isn't there yet.
const redial = time.Millisecond

// Dial connects to the socket at path, which may take QEMU a while to make. This, and
// each call of the client, has to be over within limit.
func Dial(path string, limit time.Duration) (*Client, error) {
	deadline := time.Now().Add(limit)
	for {
		conn, err := net.Dial("unix", path)
		if err == nil {
			c := &Client{conn: conn, in: json.NewDecoder(conn), limit: limit}
			if err = errors.Join(c.begin(), c.greet()); err != nil {
				return nil, errors.Join(fmt.Errorf("QMP: %w", err), conn.Close())
			}
			return c, nil
		}
		early := errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)
		if !early || time.Now().After(deadline) {
			return nil, fmt.Errorf("QMP: %w (has QEMU ended?)", err)
		}
		time.Sleep(redial)
	}
}

// begin gives a call its time.
func (c *Client) begin() error { return c.conn.SetDeadline(time.Now().Add(c.limit)) }

// greet begins a conversation, before which QEMU reports nothing.
func (c *Client) greet() error {
	var greeting struct {
		QMP json.RawMessage `json:"QMP"`
	}
	if err := c.in.Decode(&greeting); err != nil {
		return err
	}
	if greeting.QMP == nil {
		return errors.New("no greeting: that is no QEMU")
	}
	return c.Execute("qmp_capabilities", nil, nil)
}

// Execute has QEMU do a command. arguments and result, which may be nil, are as
// encoding/json takes them.
func (c *Client) Execute(command string, arguments, result any) error {
	request := map[string]any{"execute": command}
	if arguments != nil {
		request["arguments"] = arguments
	}
	if err := errors.Join(c.begin(), json.NewEncoder(c.conn).Encode(request)); err != nil {
		return fmt.Errorf("QMP %s: %w", command, err)
	}
	for {
		m, err := c.read()
		switch {
		case err != nil:
			return fmt.Errorf("QMP %s: %w", command, err)
		case m.Error != nil:
			return fmt.Errorf("QMP %s: %s: %s", command, m.Error.Class, m.Error.Desc)
		case m.Event == "" && result != nil:
			return json.Unmarshal(m.Return, result)
		case m.Event == "":
			return nil
		}
	}
}

// read takes one message, and keeps it if it is an event.
func (c *Client) read() (m message, err error) {
	if err := c.in.Decode(&m); err != nil {
		return m, err
	}
	if m.Event != "" {
		at := time.Unix(m.Timestamp.Seconds, m.Timestamp.Microseconds*1000)
		c.events = append(c.events, Event{m.Event, at, m.Data})
	}
	return m, nil
}

// Next waits for an event of that name which no call has returned yet; those before
// it are forgotten.
func (c *Client) Next(name string) (Event, error) {
	err := c.begin()
	for {
		if e, ok := c.Seen(name); ok {
			return e, nil
		}
		if err == nil {
			_, err = c.read()
		}
		if err != nil {
			return Event{}, fmt.Errorf("QMP: wait for %s: %w", name, err)
		}
	}
}

// Seen is Next for what has come already.
func (c *Client) Seen(name string) (Event, bool) {
	i := slices.IndexFunc(c.events, func(e Event) bool { return e.Name == name })
	if i < 0 {
		return Event{}, false
	}
	e := c.events[i]
	c.events = c.events[i+1:]
	return e, true
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }
