package workertest

import (
	"net"
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
