package snapshot

import (
	"bytes"
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// stateMagic begins a state file, so that it can be told by itself.
const stateMagic = "bulkhead machine state 1\n"

// maxState bounds a state file: 32 vCPUs with all their registers take less than
// a MiB.
const maxState = 64 << 20

// A state may be anybody's, and each message in it takes a hundred times the room in
// memory that it does in the file. 32 vCPUs have some 10,000, MSI-X tables of 2048
// entries each some 60,000.
const (
	maxMachine  = 16 << 20 // bytes
	maxMessages = 128 << 10
)

func encodeState(s *statev1.Machine) ([]byte, error) {
	b, err := proto.MarshalOptions{Deterministic: true}.MarshalAppend([]byte(stateMagic), s)
	if err != nil {
		return nil, fmt.Errorf("encode the machine's state: %w", err)
	}
	return b, nil
}

func decodeState(b []byte) (*statev1.Machine, error) {
	rest, ok := bytes.CutPrefix(b, []byte(stateMagic))
	if !ok {
		return nil, errors.New("it is no machine's state")
	}
	s := new(statev1.Machine)
	if left := maxMessages; len(rest) > maxMachine || !fewMessages(rest, s.ProtoReflect().Descriptor(), &left) {
		return nil, fmt.Errorf("it has more than any machine's: up to %d bytes and %d messages", maxMachine, maxMessages)
	}
	if err := proto.Unmarshal(rest, s); err != nil {
		return nil, err
	}
	return s, nil
}

// fewMessages reports whether a message of this form has no more messages in it than are
// left. What isn't well-formed is proto.Unmarshal's to refuse.
func fewMessages(b []byte, form protoreflect.MessageDescriptor, left *int) bool {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return true
		}
		b = b[n:]
		if n = protowire.ConsumeFieldValue(number, kind, b); n < 0 {
			return true
		}
		if field := form.Fields().ByNumber(number); kind == protowire.BytesType && field != nil && field.Message() != nil {
			content, _ := protowire.ConsumeBytes(b)
			if *left--; *left < 0 || !fewMessages(content, field.Message(), left) {
				return false
			}
		}
		b = b[n:]
	}
	return true
}
