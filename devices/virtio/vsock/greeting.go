package vsock

import (
	"bytes"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/devices/backend/poll"
)

// The host's side of a connection starts with one line each way.
const (
	askPrefix   = "CONNECT "
	maxAsk      = len(askPrefix) + len("4294967295\r\n")
	answerStart = "OK "

	// Host ports given to host processes, which have none of their own.
	firstHostPort = 1 << 30
	lastHostPort  = 1<<31 - 1
)

// lingerTime is how long either end may take to do what the other waits for.
const lingerTime = 10 * time.Second

// greeting is a host process that has connected and is to name a port.
type greeting struct {
	socket
	timer
	door *door
}

func (e *engine) greet(d *door, fd int) {
	g := &greeting{socket: e.open(fd), door: d}
	g.owner = g
	var err error
	g.token, err = e.watch(fd, poll.In|poll.Out|poll.Edge, g) // as for the connection it may become
	if err != nil {
		e.short(err)
		e.drop(g)
		return
	}
	e.timers.set(&g.timer, e.linger)
}

// event implements source: the line, or part of it, has come. It is looked at
// first and taken then, so that what follows it is left for the guest.
func (g *greeting) event(e *engine, ready uint32) {
	var line [maxAsk]byte
	n, err := peek(g.fd, line[:])
	if err == unix.EAGAIN && ready&poll.Hangup == 0 {
		return
	}
	end := bytes.IndexByte(line[:n], '\n')
	switch {
	case end >= 0:
	case err != nil, n == 0, n == len(line), ready&poll.Hangup != 0:
		e.drop(g)
		return
	default:
		return // more is to come
	}
	port, ok := parseAsk(line[:end])
	if !ok || e.route(port) != g.door {
		e.drop(g)
		return
	}
	unix.Read(g.fd, line[:end+1]) // it is there: it was seen
	if c := e.ask(g, port); ready&poll.Hangup != 0 {
		c.event(e, ready)
	}
}

// peek reads what is there and leaves it there.
func peek(fd int, p []byte) (int, error) {
	for {
		n, _, err := unix.Recvfrom(fd, p, unix.MSG_PEEK)
		if err != unix.EINTR {
			return max(n, 0), err
		}
	}
}

// expired implements the owner of a timer.
func (g *greeting) expired(e *engine) { e.drop(g) }

// drop ends a greeting that comes to nothing.
func (e *engine) drop(g *greeting) {
	e.timers.stop(&g.timer)
	e.hangUp(&g.socket)
	e.close()
}

// parseAsk reads the port out of "CONNECT PORT".
func parseAsk(line []byte) (uint32, bool) {
	rest, ok := bytes.CutPrefix(bytes.TrimSuffix(line, []byte("\r")), []byte(askPrefix))
	if !ok {
		return 0, false
	}
	port, err := strconv.ParseUint(string(rest), 10, 32)
	return uint32(port), err == nil
}

// ask turns the greeting into a connection and asks the guest for it.
func (e *engine) ask(g *greeting, port uint32) *conn {
	e.timers.stop(&g.timer)
	c := e.add(key{guestPort: port, hostPort: e.hostPort(port)}, g.socket, g.door, asked)
	e.tokens[c.token] = c // it keeps what it is watched for
	c.readFD, c.writeFD = true, true
	e.timers.set(&c.timer, e.linger)
	e.owe(c, oweRequest)
	return c
}

// hostPort returns a host port that no connection to the guest port uses.
func (e *engine) hostPort(guestPort uint32) uint32 {
	for {
		e.lastPort++
		if e.lastPort > lastHostPort {
			e.lastPort = firstHostPort
		}
		if _, used := e.conns[key{guestPort, e.lastPort}]; !used {
			return e.lastPort
		}
	}
}

// welcome tells the host process that it is connected. That line isn't the
// guest's.
func (e *engine) welcome(c *conn) {
	line := fmt.Appendf(nil, "%s%d\n", answerStart, c.hostPort)
	e.forward(c, [][]byte{line}, len(line))
	c.fwdCount -= uint32(len(line))
	c.toldFwdCount = c.fwdCount
}
