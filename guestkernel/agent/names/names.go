// Package names gives a guest its host name and the files that resolve names.
package names

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/plainfile"
)

const maxHostname = 64 // the kernel's limit

// CheckHostname fails unless name can be a host's: letters, digits, '-' and
// '.'. Empty is allowed.
func CheckHostname(name string) error {
	if len(name) > maxHostname {
		return fail.Errorf(fail.Invalid, "a host name of %d characters: %d is the most", len(name), maxHostname)
	}
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', i > 0 && (c == '-' || c == '.'):
		default:
			return fail.Errorf(fail.Invalid, "host name %q: only letters, digits, '-' and '.' are allowed", name)
		}
	}
	return nil
}

// SetHostname names the machine, unless name is empty.
func SetHostname(name string) error {
	if name == "" {
		return nil
	}
	if err := unix.Sethostname([]byte(name)); err != nil {
		return fmt.Errorf("set the host name: %w", err)
	}
	return nil
}

// Hostname returns the machine's name.
func Hostname() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Nodename[:])
}

// CheckNameservers fails unless each is an address.
func CheckNameservers(servers []string) error {
	for _, s := range servers {
		if _, err := netip.ParseAddr(s); err != nil {
			return fail.Errorf(fail.Invalid, "name server: %w", err)
		}
	}
	return nil
}

// SetNameservers writes the file resolv.conf of the directory etc, unless
// there are no servers.
func SetNameservers(etc string, servers []string) error {
	if len(servers) == 0 {
		return nil
	}
	var b strings.Builder
	for _, s := range servers {
		fmt.Fprintf(&b, "nameserver %s\n", s)
	}
	err := os.MkdirAll(etc, 0o755)
	if err == nil {
		err = plainfile.Replace(filepath.Join(etc, "resolv.conf"), []byte(b.String()), 0o644)
	}
	if err != nil {
		return fmt.Errorf("set the name servers: %w", err)
	}
	return nil
}
