package snapshot

import (
	"bytes"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// stateMagic begins a state file, so that it can be told by itself.
const stateMagic = "bulkhead machine state 1\n"

// maxState bounds a state file: 32 vCPUs with all their registers take less than
// a MiB.
const maxState = 64 << 20

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
	if err := proto.Unmarshal(rest, s); err != nil {
		return nil, err
	}
	return s, nil
}
