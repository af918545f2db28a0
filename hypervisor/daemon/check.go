package daemon

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"reflect"
	"strconv"
	"time"

	"go.uber.org/zap/zapcore"

	"github.com/bulkhead-vm/bulkhead/hypervisor/access"
)

// Formats of the log.
const (
	formatAuto    = "auto"
	formatJSON    = "json"
	formatConsole = "console"
	formatJournal = "journal"
)

// needsTLS is for TCP without [tls].
const needsTLS = "TCP is served with mutual TLS only: set tls.certificate, tls.key and tls.client_ca"

// Check returns everything that is wrong with a configuration, as far as that can
// be said without the host's doing anything.
func (c Config) Check() error {
	var errs []error
	wrong := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %s", key, fmt.Sprintf(format, args...)))
	}
	for _, k := range []struct {
		key  string
		dirs []string
	}{
		{"node.runtime_dir", []string{c.Node.RuntimeDir}}, {"node.state_dir", []string{c.Node.StateDir}}, {"node.cache_dir", []string{c.Node.CacheDir}},
		{"node.template_dir", given(c.Node.TemplateDir)},
		{"images.directories", c.Images.Directories}, {"vsock.directories", c.Vsock.Directories},
	} {
		for _, dir := range k.dirs {
			if !filepath.IsAbs(dir) {
				wrong(k.key, "%q is not an absolute path", dir)
			}
		}
	}
	if _, err := c.Listen.mode(); err != nil {
		wrong("listen.unix_mode", "%v", err)
	}
	if c.Listen.TCP != "" {
		if err := checkAddress(c.Listen.TCP); err != nil {
			wrong("listen.tcp", "%v", err)
		}
		if c.TLS.Certificate == "" || c.TLS.Key == "" || c.TLS.ClientCA == "" {
			wrong("listen.tcp", needsTLS)
		}
	}
	if _, err := access.NewRules(c.accessPolicy()); err != nil {
		errs = append(errs, err)
	}
	c.checkNumbers(wrong)
	if _, _, err := metricsAddress(c.Metrics.Listen); c.Metrics.Listen != "" && err != nil {
		wrong("metrics.listen", "%v", err)
	}
	if _, err := zapcore.ParseLevel(c.Log.Level); err != nil {
		wrong("log.level", "%q is none of debug, info, warn and error", c.Log.Level)
	}
	switch c.Log.Format {
	case formatAuto, formatJSON, formatConsole, formatJournal:
	default:
		wrong("log.format", "%q is none of auto, json, console and journal", c.Log.Format)
	}
	return errors.Join(errs...)
}

func (c Config) checkNumbers(wrong func(key, format string, args ...any)) {
	for _, k := range []struct {
		key  string
		n    float64
		zero bool // may be
	}{
		{"capacity.reserved_cpus", c.Capacity.ReservedCPUs, true},
		{"capacity.cpu_overcommit", c.Capacity.CPUOvercommit, false},
		{"capacity.memory_overcommit", c.Capacity.MemoryOvercommit, false},
		{"limits.sandboxes_per_client", float64(c.Limits.SandboxesPerClient), true},
		{"limits.starts_at_once", float64(c.Limits.StartsAtOnce), true},
		{"limits.pool_members", float64(c.Limits.PoolMembers), true},
		{"limits.snapshot_reserve", c.Limits.SnapshotReserve, true},
		{"limits.connections", float64(c.Limits.Connections), false},
		{"limits.calls_per_connection", float64(c.Limits.CallsPerConnection), false},
	} {
		switch {
		case k.n < 0:
			wrong(k.key, "%g is less than nothing", k.n)
		case k.n == 0 && !k.zero:
			wrong(k.key, "%g, it must be more than 0", k.n)
		}
	}
	if share := c.Limits.SnapshotReserve; share >= 1 {
		wrong("limits.snapshot_reserve", "%g, it is a share of the disk: less than 1", share)
	}
	if c.Limits.PrepareTimeout > c.Limits.MaxPrepareTimeout {
		wrong("limits.prepare_timeout", "%v is more than limits.max_prepare_timeout", time.Duration(c.Limits.PrepareTimeout))
	}
	const least, most = 128 << 10, 1 << 30
	if n := c.Limits.MessageBytes; n < least || n > most {
		wrong("limits.message_bytes", "%d bytes, it is 128KiB to 1GiB", n)
	}
}

func checkAddress(address string) error {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("port %q is none", port)
	} else if n == 0 {
		return nil // any: for tests
	}
	return nil
}

// NeedRestart returns the keys, in the order of the file, in which two
// configurations differ and which are only looked at when the daemon starts. The key
// of a table stands for all of it.
func (c Config) NeedRestart(other Config) (keys []string) {
	for _, k := range []struct {
		key      string
		now, new any
	}{
		{"node", c.Node, other.Node}, {"listen", c.Listen, other.Listen}, {"tls", c.TLS, other.TLS},
		{"limits.message_bytes", c.Limits.MessageBytes, other.Limits.MessageBytes},
		{"limits.connections", c.Limits.Connections, other.Limits.Connections},
		{"limits.calls_per_connection", c.Limits.CallsPerConnection, other.Limits.CallsPerConnection},
		{"cgroups", c.Cgroups, other.Cgroups}, {"metrics", c.Metrics, other.Metrics},
		{"log.format", c.Log.Format, other.Log.Format}, {"tracing", c.Tracing, other.Tracing},
	} {
		if !reflect.DeepEqual(k.now, k.new) {
			keys = append(keys, k.key)
		}
	}
	return keys
}

// given is a setting that may be left out.
func given(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}
