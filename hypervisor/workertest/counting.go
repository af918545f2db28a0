package workertest

import (
	"bytes"
	"net"
	"os"
	"strconv"
	"sync/atomic"
)

// counting counts who has called.
type counting struct {
	net.Listener
	n atomic.Int32
}

// Accept implements net.Listener.
func (c *counting) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err == nil {
		c.n.Add(1)
	}
	return conn, err
}

func (c *counting) calls() int { return int(c.n.Load()) }

// startTicks is when this process began; proc(5).
func startTicks() (uint64, error) {
	b, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return 0, err
	}
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	return strconv.ParseUint(string(fields[22-3]), 10, 64)
}
