package main

import (
	"io"
	"os"
)

// console shows the guest's console on standard error.
type console struct {
	write *os.File // for the worker; nil if nobody wants to see
	done  chan struct{}
}

func startConsole(want bool) (*console, error) {
	c := &console{done: make(chan struct{})}
	if !want {
		close(c.done)
		return c, nil
	}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	c.write = write
	go func() {
		defer close(c.done)
		io.Copy(os.Stderr, read)
		read.Close()
	}()
	return c, nil
}

// started lets go of the worker's end, once the worker has it.
func (c *console) started() {
	if c.write != nil {
		c.write.Close()
		c.write = nil
	}
}

// finish returns when everything was shown. The worker is gone.
func (c *console) finish() {
	c.started()
	<-c.done
}
