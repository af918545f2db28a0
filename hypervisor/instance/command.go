package instance

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"

	"github.com/bulkhead-vm/bulkhead/hypervisor/guest"

	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// UntilRecorded waits until all that the command wrote is in its log, or the
// machine has ended.
func (i *Instance) UntilRecorded(ctx context.Context) {
	ctx, cancel := i.whileRunning(ctx)
	defer cancel()
	i.worker.API.AwaitRecord(ctx, &vmmv1.AwaitRecordRequest{Name: guest.MainID}) // or there is nothing to wait for
}

// maxMessage is how much input a message to the worker carries.
const maxMessage = 32 << 10

// Input gives the command input and waits until it has it.
func (i *Instance) Input(ctx context.Context, data []byte) error {
	var messages []byte
	for part := range slices.Chunk(data, maxMessage) {
		messages = append(messages, 'D')
		messages = binary.BigEndian.AppendUint16(messages, uint16(len(part)))
		messages = append(messages, part...)
	}
	if len(messages) == 0 {
		return nil
	}
	return i.input(ctx, messages)
}

// EndInput says that no more will come.
func (i *Instance) EndInput(ctx context.Context) error { return i.input(ctx, []byte{'E'}) }

// input sends the worker messages of the form that vmmv1.RecordRequest has.
func (i *Instance) input(ctx context.Context, messages []byte) error {
	ctx, cancel := i.whileRunning(ctx)
	defer cancel()
	c, err := new(net.Dialer).DialContext(ctx, "unix", i.bundle.Path(inputName))
	if err != nil {
		return i.blame(ctx, fmt.Errorf("the command takes no more input: %w", err))
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	_, err = c.Write(messages)
	if err == nil {
		err = c.(*net.UnixConn).CloseWrite()
	}
	if err == nil {
		_, err = io.Copy(io.Discard, c) // it is closed when they were taken
	}
	if err != nil {
		return i.blame(ctx, fmt.Errorf("give the command input: %w", err))
	}
	return nil
}
