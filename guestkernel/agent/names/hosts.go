package names

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/plainfile"
)

const maxHosts = 1 << 20

// AddHost has the file hosts of the directory etc know the machine's own name.
// A file that has a line for it stays as it is.
func AddHost(etc, name string) error {
	if err := changeHosts(etc, func(hosts string) string { return addHost(hosts, name) }); err != nil {
		return fmt.Errorf("add the host name: %w", err)
	}
	return nil
}

// changeHosts writes the file hosts if it isn't there, or do changes it.
func changeHosts(etc string, do func(hosts string) string) error {
	path := filepath.Join(etc, "hosts")
	old, err := plainfile.Read(path, maxHosts)
	missing := errors.Is(err, os.ErrNotExist)
	if missing {
		old, err = []byte("127.0.0.1\tlocalhost\n::1\tlocalhost\n"), os.MkdirAll(etc, 0o755)
	}
	if err != nil {
		return err
	}
	hosts := do(string(old))
	if hosts == string(old) && !missing {
		return nil
	}
	return plainfile.Replace(path, []byte(hosts), 0o644)
}

func addHost(hosts, name string) string {
	if name == "" || hasHost(hosts, name) {
		return hosts
	}
	if hosts != "" && !strings.HasSuffix(hosts, "\n") {
		hosts += "\n"
	}
	return hosts + "127.0.1.1\t" + name + "\n"
}

func hasHost(hosts, name string) bool {
	for line := range strings.Lines(hosts) {
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
// next, unless that is empty, and no more by the name last: in lines of the
// loopback's addresses the one takes the other's place.
func ReplaceHost(etc, last, next string) error {
	if next == "" {
		return nil
	}
	err := changeHosts(etc, func(hosts string) string {
		if last != "" && last != "localhost" && last != next {
			hosts = replaceHost(hosts, last, next)
		}
		return addHost(hosts, next)
	})
	if err != nil {
		return fmt.Errorf("replace the host name: %w", err)
	}
	return nil
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
