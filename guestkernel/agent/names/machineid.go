package names

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/plainfile"
)

// CheckMachineID fails unless id is 32 hexadecimal digits, not all 0. Empty is
// allowed.
func CheckMachineID(id string) error {
	b, err := hex.DecodeString(id)
	if id != "" && (err != nil || len(b) != 16 || strings.Trim(id, "0") == "") {
		return fail.Errorf(fail.Invalid, "machine ID %.40q: it is 32 hexadecimal digits, not all 0", id)
	}
	return nil
}

// SetMachineID writes the file machine-id of the directory etc, unless id is empty or
// there is no such directory.
func SetMachineID(etc, id string) error {
	if id == "" {
		return nil
	}
	err := plainfile.Replace(filepath.Join(etc, "machine-id"), []byte(strings.ToLower(id)+"\n"), 0o444)
	if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) {
		return fmt.Errorf("set the machine ID: %w", err)
	}
	return nil
}
