package instance

import (
	"errors"
	"fmt"
	"os"

	"google.golang.org/protobuf/encoding/protojson"

	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// keepMachine writes down what the machine is made of, for whoever saves it: images
// may be found elsewhere by then.
func (i *Instance) keepMachine(m *vmmv1.MachineConfig) error {
	b, err := protojson.Marshal(m)
	if err == nil {
		err = os.WriteFile(i.bundle.Path(machineName), b, 0o600)
	}
	if err != nil {
		return fmt.Errorf("keep the machine's configuration: %w", err)
	}
	return nil
}

// Reads returns the paths of what the machine reads and never writes, for each of its
// disks in their order; empty for one that it writes.
func (i *Instance) Reads() (paths []string, err error) {
	b, err := os.ReadFile(i.bundle.Path(machineName))
	if errors.Is(err, os.ErrNotExist) {
		return nil, errors.New("the sandbox was started by an earlier version, which kept nothing of what it is made of: start it again first")
	}
	m := new(vmmv1.MachineConfig)
	if err == nil {
		err = protojson.Unmarshal(b, m)
	}
	if err != nil {
		return nil, fmt.Errorf("read the machine's configuration: %w", err)
	}
	for _, d := range m.GetDisks() {
		path := d.GetPath()
		if !d.GetReadOnly() && d.GetOverlay() == "" {
			path = ""
		}
		paths = append(paths, path)
	}
	if len(paths) == 0 {
		return nil, errors.New("the machine has no root file system")
	}
	return paths, nil
}
