package rpc

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
	"time"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/protowire"
)

const (
	headerSize   = 10
	maxMessage   = 4 << 20
	typeRequest  = 1
	typeResponse = 2
)

// conn is a caller.
type conn struct {
	net.Conn
	mu sync.Mutex // held while a message is written
}

// read reads a message. One that is too long has no body.
func (c *conn) read() (stream uint32, kind byte, body []byte, err error) {
	var h [headerSize]byte
	if _, err := io.ReadFull(c, h[:]); err != nil {
		return 0, 0, nil, err
	}
	length := binary.BigEndian.Uint32(h[:])
	stream, kind = binary.BigEndian.Uint32(h[4:]), h[8]
	if length > maxMessage {
		_, err := io.CopyN(io.Discard, c, int64(length))
		return stream, kind, nil, err
	}
	body = make([]byte, length)
	_, err = io.ReadFull(c, body)
	return stream, kind, body, err
}

// respond writes a response. If the caller has gone there is nobody to tell.
func (c *conn) respond(stream uint32, payload []byte, status *Status) {
	b := make([]byte, headerSize, headerSize+len(payload)+16)
	if status != nil {
		s := protowire.AppendVarint(nil, 1, uint64(status.Code))
		s = protowire.AppendBytes(s, 2, status.Message)
		b = protowire.AppendBytes(b, 1, s)
	}
	b = protowire.AppendBytes(b, 2, payload)
	binary.BigEndian.PutUint32(b, uint32(len(b)-headerSize))
	binary.BigEndian.PutUint32(b[4:], stream)
	b[8] = typeResponse
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _ = c.Write(b)
}

// request is ttrpc's Request, less its metadata.
type request struct {
	service, method string
	payload         []byte
	timeout         time.Duration
}

func (r *request) unmarshal(b []byte) error {
	return protowire.Fields(b, func(f protowire.Field) error {
		switch f.Number {
		case 1:
			r.service = f.String()
		case 2:
			r.method = f.String()
		case 3:
			r.payload = f.Bytes
		case 4:
			r.timeout = time.Duration(f.Varint)
		}
		return nil
	})
}
