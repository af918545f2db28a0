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
	maxAsk      = len(askPrefix) + len("4294967295\n")
	answerStart = "OK "

	// Host ports given to host processes, which have none of their own.
	firstHostPort = 1 << 30
	lastHostPort  = 1<<31 - 1
)

// greeting is a host process that has connected and is to name a port.
type greeting struct {
	fd       int
	token    uint64
	listener *listener
	deadline time.Time
}

// event implements source: somebody wants to connect.
func (l *listener) event(e *engine, _ uint32) {
	for {
		if len(e.conns)+e.greetings >= maxConns {
			e.acceptLater()
			return
		}
		fd, _, err := unix.Accept4(l.fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch err {
		case nil:
			e.greet(l, fd)
		case unix.EINTR, unix.ECONNABORTED:
		case unix.EAGAIN:
			return
		default: // no descriptors or memory left
			e.acceptLater()
			return
		}
	}
}

// acceptLater leaves who wants to connect in the backlog until there is room.
func (e *engine) acceptLater() { e.acceptOff, e.timers = true, true }

// acceptAgain looks at the backlogs that acceptLater left.
func (e *engine) acceptAgain() {
	if e.acceptOff {
		e.acceptOff = false
		for _, l := range e.listeners {
			l.event(e, poll.In)
		}
	}
}

func (e *engine) greet(l *listener, fd int) {
	g := &greeting{fd: fd, listener: l, deadline: time.Now().Add(lingerTime)}
	token, err := e.watch(fd, poll.In|poll.Out|poll.Edge, g) // as for the connection it may become
	if err != nil {
		unix.Close(fd)
		return
	}
	g.token = token
	e.greetings++
	e.timers = true
}

// event implements source: the line, or part of it, has come. It is looked at
// first and taken then, so that what follows it is left for the guest.
func (g *greeting) event(e *engine, _ uint32) {
	var line [maxAsk]byte
	n, _, err := unix.Recvfrom(g.fd, line[:], unix.MSG_PEEK)
	if err == unix.EAGAIN || err == unix.EINTR {
		return
	}
	end := bytes.IndexByte(line[:max(n, 0)], '\n')
	if err != nil || n == 0 || end < 0 && n == len(line) {
		e.drop(g)
		return
	}
	if end < 0 {
		return // more is to come
	}
	port, ok := parseAsk(line[:end])
	if l, routed := route(e.listeners, port); !ok || !routed || l != g.listener {
		e.drop(g)
		return
	}
	unix.Read(g.fd, line[:end+1]) // it is there: it was seen
	e.ask(g, port)
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
func (e *engine) ask(g *greeting, port uint32) {
	delete(e.tokens, g.token)
	e.greetings--
	c := &conn{key: key{guestPort: port, hostPort: e.hostPort(port)}, fd: g.fd, token: g.token, total: &e.held}
	e.tokens[c.token] = c // it keeps what it is watched for
	e.conns[c.key] = c
	c.readFD, c.writeFD = true, true
	e.setDeadline(c)
	e.owe(c, oweRequest)
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

// drop closes the socket, which is how a refusal looks to the host process.
func (e *engine) drop(g *greeting) {
	delete(e.tokens, g.token)
	e.greetings--
	unix.Close(g.fd)
	e.acceptAgain()
}

// greet tells the host process that it is connected, and returns how many
// bytes that took.
func greet(c *conn) int {
	line := fmt.Appendf(nil, "%s%d\n", answerStart, c.hostPort)
	c.forward([][]byte{line}, len(line))
	return len(line)
}
