// Peers is the guest's side of the test of many vsock connections: it answers
// on two ports, on one of them only once a line came on standard input, and
// asks the host on as many connections as its arguments say: how many, and how
// many more that send more than anybody takes before that.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/vsock"
	"github.com/bulkhead-vm/bulkhead/tests/e2e/exchange"
)

const (
	askSize     = 1024
	slowAskSize = 64 << 10
	// atOnce bounds the connects under way: the kernel gives each two
	// seconds.
	atOnce = 8
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

func run() error {
	var p peers
	gate := make(chan struct{})
	if err := errors.Join(p.serve(exchange.Port, nil), p.serve(exchange.SlowPort, gate)); err != nil {
		return err
	}
	fmt.Println("listening")
	stdin := bufio.NewScanner(os.Stdin)
	stdin.Scan() // the host counts, and then listens
	quick, slow, err := counts()
	if err != nil {
		return err
	}
	p.ask(exchange.SlowPort, slow, slowAskSize)
	p.ask(exchange.Port, quick, askSize)
	p.asked.Wait()
	fmt.Printf("asked %d failed %d\n", quick+slow, p.failed.Load())
	for stdin.Scan() { // until the host has finished
		if stdin.Text() == "answer" {
			close(gate)
		}
	}
	return stdin.Err()
}

func counts() (quick, slow int, err error) {
	if quick, err = strconv.Atoi(os.Args[1]); err == nil {
		slow, err = strconv.Atoi(os.Args[2])
	}
	return quick, slow, err
}

// peers is this side of all connections.
type peers struct {
	asked  sync.WaitGroup
	failed atomic.Int64
}

func (p *peers) report(err error) {
	if err != nil && p.failed.Add(1) < 10 {
		fmt.Fprintln(os.Stderr, "peers:", err)
	}
}

// serve answers on a port, once gate is closed if there is one.
func (p *peers) serve(port uint32, gate chan struct{}) error {
	l, err := vsock.Listen(port, vsock.Host)
	if err != nil {
		return err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go p.answer(c.(exchange.Conn), gate)
		}
	}()
	return nil
}

func (p *peers) answer(c exchange.Conn, gate chan struct{}) {
	p.report(exchange.Accept(c))
	if gate != nil {
		<-gate
	}
	p.report(exchange.Answer(c))
}

// ask makes n connections to a port of the host and returns when all but a few
// are there.
func (p *peers) ask(port uint32, n, size int) {
	room := make(chan struct{}, atOnce)
	for i := range n {
		room <- struct{}{}
		p.asked.Go(func() {
			c, err := vsock.Dial(context.Background(), vsock.Host, port)
			if err == nil {
				err = exchange.Accepted(c)
			}
			<-room
			if err == nil {
				err = exchange.Ask(c, byte(i), size)
			}
			p.report(err)
		})
	}
}
