// Package exchange is what the two ends of a connection say to each other in a
// test: each sends bytes that the other can check, and closes its half.
package exchange

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
)

// Ports of the test, on both sides.
const (
	Port     = 5000 // who listens answers at once
	SlowPort = 5001 // when it is told to
)

const answerSize = 1024

// Conn is a connection with two halves.
type Conn interface {
	io.ReadWriteCloser
	CloseWrite() error
}

// Accept tells the other end that a program has the connection: its kernel may
// have taken more than the program comes to.
func Accept(c Conn) error {
	_, err := c.Write([]byte{1})
	return err
}

// Accepted waits for Accept at the other end.
func Accepted(c Conn) error {
	_, err := io.ReadFull(c, make([]byte, 1))
	return err
}

// Ask sends n bytes made from seed, closes that half and wants the answer that
// only who got them all can give. It closes c.
func Ask(c Conn, seed byte, n int) error {
	defer c.Close()
	data := stream([sha256.Size]byte{seed}, n)
	if _, err := c.Write(data); err != nil {
		return err
	}
	if err := c.CloseWrite(); err != nil {
		return err
	}
	got, err := io.ReadAll(c)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, stream(sha256.Sum256(data), answerSize)) {
		return fmt.Errorf("the answer of %d bytes is a wrong one", len(got))
	}
	return nil
}

// Answer reads until the other half is closed and answers. It closes c.
func Answer(c Conn) error {
	defer c.Close()
	h := sha256.New()
	if _, err := io.Copy(h, c); err != nil {
		return err
	}
	_, err := c.Write(stream([sha256.Size]byte(h.Sum(nil)), answerSize))
	return errors.Join(err, c.CloseWrite())
}

func stream(seed [sha256.Size]byte, n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8(seed).Read(b) // never fails
	return b
}
