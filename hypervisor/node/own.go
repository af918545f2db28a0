package node

import (
	"fmt"
	"os"
	"syscall"
)

// checkOwn fails if a directory is another user's, or others can put something into
// it: what is found there is taken for the node's own.
func checkOwn(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok:
		return nil
	case int(st.Uid) != os.Geteuid():
		return fmt.Errorf("%s belongs to user %d, not to %d, who runs this node: see what is in it, and chown it if it is all yours", dir, st.Uid, os.Geteuid())
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("others can write to %s, whose mode is %#o: see what they have put there, and then \"chmod go-w %s\"", dir, info.Mode().Perm(), dir)
	}
	return nil
}
