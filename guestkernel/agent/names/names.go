// Package names gives a guest its host name and the files that resolve names.
package names

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/plainfile"
)

const (
	maxHostname = 64 // the kernel's limit
	maxHosts    = 1 << 20
)

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

// AddHost has the file hosts of the directory etc know the machine's own name.
// A file that has a line for it stays as it is.
func AddHost(etc, name string) error {
	path := filepath.Join(etc, "hosts")
	old, err := plainfile.Read(path, maxHosts)
	if errors.Is(err, os.ErrNotExist) {
		old, err = []byte("127.0.0.1\tlocalhost\n::1\tlocalhost\n"), os.MkdirAll(etc, 0o755)
	} else if err == nil && (name == "" || hasHost(old, name)) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("add the host name: %w", err)
	}
	if len(old) > 0 && !bytes.HasSuffix(old, []byte("\n")) {
		old = append(old, '\n')
	}
	if name != "" && !hasHost(old, name) {
		old = append(old, "127.0.1.1\t"+name+"\n"...)
	}
	if err := plainfile.Replace(path, old, 0o644); err != nil {
		return fmt.Errorf("add the host name: %w", err)
	}
	return nil
}

func hasHost(hosts []byte, name string) bool {
	for line := range strings.Lines(string(hosts)) {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		for i := 1; i < len(f); i++ {
			if f[i] == name {
				return true
			}
		}
	}
	return false
}

// ReplaceHost has the file hosts of the directory etc know the machine by the name
// next, and no more by the name last: in lines of the loopback's addresses the one
// takes the other's place.
func ReplaceHost(etc, last, next string) error {
	if next == "" {
		return nil
	}
	path := filepath.Join(etc, "hosts")
	old, err := plainfile.Read(path, maxHosts)
	if err == nil && last != "" && last != next && last != "localhost" {
		if b := replaceHost(string(old), last, next); b != string(old) {
			err = plainfile.Replace(path, []byte(b), 0o644)
		}
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("replace the host name: %w", err)
	}
	return AddHost(etc, next)
}

func replaceHost(hosts, last, next string) string {
	var b strings.Builder
	for line := range strings.Lines(hosts) {
		entry, comment, commented := strings.Cut(line, "#")
		f := strings.Fields(entry)
		if len(f) < 2 || !isLoopback(f[0]) || !slices.Contains(f[1:], last) {
			b.WriteString(line)
			continue
		}
		for i := 1; i < len(f); i++ {
			if f[i] == last {
				f[i] = next
			}
		}
		b.WriteString(f[0] + "\t" + strings.Join(f[1:], " "))
		if commented {
			b.WriteString(" #" + comment) // to the end of the line
		} else {
			b.WriteString("\n")
		}
	}
	return b.String()
}

func isLoopback(address string) bool {
	a, err := netip.ParseAddr(address)
	return err == nil && a.IsLoopback()
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
