package record

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"

	"github.com/bulkhead-vm/bulkhead/vmm/logfile"
)

// recorder is a connected set of streams.
type recorder struct {
	log   *logfile.Writer
	outs  []io.Writer // the log's, of each stream
	conns []*net.UnixConn
	input *input // nil: none

	busy activity
	done chan struct{} // closed by its Set, which has forgotten it by then
}

// connect makes a recorder that is yet to run. The guest has until ctx is done.
func connect(ctx context.Context, c Config) (_ *recorder, err error) {
	r := &recorder{done: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.release())
		}
	}()
	if r.log, err = logfile.Open(c.Log); err != nil {
		return nil, err
	}
	if c.Input != "" {
		if r.input, err = listen(c.Input); err != nil {
			return nil, err
		}
	}
	for _, s := range c.Streams {
		conn, err := s.dial(ctx)
		if err != nil {
			return nil, err
		}
		r.conns = append(r.conns, conn)
	}
	for _, s := range c.Streams { // none is in the log unless all are connected
		out, err := r.log.Stream(s.Label)
		if err != nil {
			return nil, err
		}
		r.outs = append(r.outs, out)
	}
	return r, nil
}

// run records until every stream has ended, or is hung up on.
func (r *recorder) run() {
	var streams, input sync.WaitGroup
	for i, conn := range r.conns {
		streams.Go(func() { record(r.outs[i], conn, &r.busy) })
	}
	if r.input != nil {
		input.Go(func() { r.input.serve(r.conns[0]) })
	} else {
		r.conns[0].CloseWrite() // fails only if the guest has hung up
	}
	streams.Wait()
	r.release() // whatever its log lacks has been said
	input.Wait()
}

// bufferSize is what is read of a stream at once.
const bufferSize = 16 << 10

// record copies what comes until the stream ends, however it ends. Each read is
// written at once: it may be a question that somebody is to answer.
func record(out io.Writer, conn net.Conn, busy *activity) {
	for buf := make([]byte, bufferSize); ; {
		n, err := conn.Read(buf)
		busy.begin()
		out.Write(buf[:n]) // doesn't fail
		busy.end()
		if err != nil {
			return
		}
	}
}

// hangUp ends every stream, whatever the guest does.
func (r *recorder) hangUp() {
	for _, c := range r.conns {
		c.Close() // twice, then: release comes as well
	}
}

// release gives back what the recorder holds. Input that is on its way to the guest
// is given up.
func (r *recorder) release() (err error) {
	r.hangUp()
	if r.input != nil {
		r.input.close()
	}
	if r.log != nil {
		err = r.log.Close()
	}
	return err
}
